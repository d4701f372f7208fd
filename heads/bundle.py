"""A bundle: heads for embeddings of one fingerprint, in files that hold no code.

    bundle/
      SHA256SUMS          of the files below; `sha256sum -c SHA256SUMS` checks them too
      README.md           the model card
      report.html         what was measured, with plots; bundles of older versions have none
      bundle.json         embedding settings, tasks, shape of the nets, calibration, and the facts of the card
      heads.safetensors   the nets' arrays
      backbone.onnx       the backbone's weights, where they are an ONNX file of the user's own
      backbone.int8.zip   its model in int8, where the heads learned from that one's embeddings

Weights known by name stay where they are: large, and under licences of their own. Seeded ones are drawn again.

The bundle's id is the SHA-256 of SHA256SUMS: it names every byte.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import BundleError
from data.files import atomic_write, sha256_of_file
from embedder.backbone import Backbone, start_backbone
from embedder.faces.choice import Choice
from embedder.preprocess import Picture
from embedder.resolve import in_precision, on_device, recall_backbone, resolve_backbone, with_view
from embedder.spec import AUTO, BACKBONES, BackboneSpec, EmbeddingSpec, difference
from heads.calibrate import Calibration, from_dict, to_dict
from heads.net import Net
from heads.tasks import Task

FORMAT = "faceprobe bundle"
VERSION = 2  # 1 had no calibration, and can still be read

_SUMS, _CARD, _MAIN, _ARRAYS, _BACKBONE = "SHA256SUMS", "README.md", "bundle.json", "heads.safetensors", "backbone.onnx"
_PAGE, _INT8 = "report.html", "backbone.int8.zip"
_NAMES = (_CARD, _PAGE, _MAIN, _ARRAYS, _BACKBONE, _INT8)
_OPTIONAL = (_PAGE, _BACKBONE, _INT8)
ACCEPTABLE = ("detector", "alignment", "crop")  # in which embeddings may differ where that is accepted


@dataclass(frozen=True)
class Bundle:
    """A trained net with all that is needed to use it rightly.

    Calibration is learned from rows that some heads did not train on, by the average of those heads (two of five); the
    bundle averages all. More heads err a little less and their average distribution is a little wider, so intervals
    should hold rather more ages than promised, and probabilities be rather too modest. That is no proof: rows to
    calibrate all heads together on would have to be kept from each. Measured on UTKFace, a fifth of the rows kept away,
    three splits: 90% intervals held 91% of ages (dense heads), 92% (linear) and 89% (ridge).

    Attributes
    ----------
    embedding : the only embeddings it may meet.
    tasks : what it predicts.
    nets : the heads, in NumPy; each predicts one task or several.
    facts : what the model card says: data, split, metrics, licences.
    id : 16 hexadecimal digits that name every byte; "" before it is saved.
    backbone_file : an ONNX file, where the backbone is one.
    int8_file : its model in int8, where the embeddings are of that.
    calibration : by task, intervals of ages and temperatures of classes; none where validation rows were too few.
    """

    embedding: EmbeddingSpec
    tasks: tuple[Task, ...]
    nets: tuple[Net, ...]
    facts: dict[str, Any]
    id: str = ""
    backbone_file: Path | None = None
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    int8_file: Path | None = None

    def predict(self, vectors: NDArray[Any], *, tasks: Sequence[Task] | None = None) -> pd.DataFrame:
        """Vectors (n, *dim) of the bundle's own fingerprint to n rows of its tasks' columns, or of those given.

        An age has its interval in two further columns, age_low and age_high, NaN where the bundle has no calibration;
        probabilities of classes are calibrated.
        """
        return self.decode(self.outputs(vectors), self.tasks if tasks is None else tasks)

    def outputs(self, vectors: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Vectors (n, *dim) to what the nets say of every task, not calibrated: (n, classes), or numbers (n,)."""
        outputs: dict[str, NDArray[np.float32]] = {}
        for net in self.nets:
            outputs |= net.predict(vectors)
        return outputs

    def decode(self, outputs: Mapping[str, NDArray[np.floating]], tasks: Sequence[Task]) -> pd.DataFrame:
        """What `outputs` gave to what `predict` gives."""
        return pd.concat([self._columns(task, outputs[task.name]) for task in tasks], axis=1)

    def _columns(self, task: Task, output: NDArray[np.floating]) -> pd.DataFrame:
        """Decode one task's output, calibrated."""
        calibration = self.calibration.get(task.name)
        if task.kind != "age":
            return task.decode(calibration(task, output) if calibration else output)
        bounds = calibration(task, output) if calibration else np.full((len(output), 2), np.nan)
        return task.decode(output).assign(**{f"{task.name}_low": bounds[:, 0], f"{task.name}_high": bounds[:, 1]})

    def score(
        self,
        pictures: Iterable[str | os.PathLike[str] | Picture],
        *,
        backbone: Backbone | None = None,
        detector: str | None = None,
        faces: str = "all",
        ethnicity: bool = False,
    ) -> pd.DataFrame:
        """Predict for pictures as the command `score` does for files, keeping nothing of them.

        Parameters
        ----------
        pictures : paths, or arrays of shape (height, width, 3), uint8, RGB; both may stand in one list.
        backbone : one that `load_backbone` started, for more calls than one; else it is started for this one.
        detector : "none" if the pictures are face crops already; by default faces are found as they were in what the
            bundle was trained on.
        faces : "all" that are found in a picture, or the "largest".
        ethnicity : whether to predict it, if the bundle can.

        Returns
        -------
        DataFrame, in the order of the pictures, of the columns that `heads.score.rows.Scorer` describes; path is
        missing for an array. A picture that cannot be used has a status and a reason, and no prediction.

        Raises
        ------
        HeadError : an array of another shape or dtype; ethnicity without a head for it. And as `load_backbone`.
        """
        from embedder.faces.detect import parse_detector
        from embedder.faces.finder import FinderSettings, load_finder
        from heads.score.rows import Asked, Scorer  # which are built on bundles
        from heads.score.run import detector_for, score_pictures

        with contextlib.ExitStack() as stack:
            own = backbone or stack.enter_context(self.load_backbone())
            name = detector_for(self, detector)
            looks = FinderSettings(parse_detector(name), Choice(faces)) if name else None
            finder = stack.enter_context(load_finder(looks)) if looks else None
            return score_pictures(pictures, Scorer(self, own, finder=finder, asked=Asked(ethnicity)))

    def load_backbone(
        self,
        name: str | None = None,
        *,
        view: Mapping[str, str] = MappingProxyType({}),
        accept_mismatch: bool = False,
        device: str = AUTO,
        cores: int | None = None,
    ) -> Backbone:
        """Start the bundle's backbone, or the one named if its embeddings are the same.

        Parameters
        ----------
        view : settings `crop`, `margin` and `detector` in place of those that the heads were trained with,
        accept_mismatch : which is refused unless it is asked for by this.
        device : where it runs, one of `embedder.spec.DEVICES`; AUTO leaves it to the name.

        Raises
        ------
        BundleError : the backbone gives other embeddings than the heads were trained on, with the fields that differ;
            or its file was given by hand, is not in the bundle, and no name was given.
        BackboneError : its file, known by name, is not where it was.
        """
        row = with_view(self.backbone_spec(name), view)
        row = row if device == AUTO else on_device(row, device)
        backbone = start_backbone(row, cores=cores)
        differing = self.mismatch(backbone)
        if not differing or (accept_mismatch and {field for field, _, _ in differing} <= set(ACCEPTABLE)):
            return backbone
        backbone.close()
        lines = "\n".join(
            f"  {field}: {found} given, the heads were trained on {own}" for field, found, own in differing
        )
        raise BundleError(
            f"{backbone.spec.name} {backbone.spec.fingerprint} does not give the embeddings of this bundle, "
            f"{self.embedding.name} {self.embedding.fingerprint}.\n{lines}\n"
            "Score with the bundle's own backbone, or train a bundle on this one."
        )

    def mismatch(self, backbone: Backbone) -> list[tuple[str, Any, Any]]:
        """In what a backbone's embeddings differ from the bundle's own: field, what it is, what it should be."""
        return difference(backbone.spec, self.embedding)

    def backbone_spec(self, name: str | None = None) -> BackboneSpec:
        """Find the bundle's backbone, or the one named, without starting it. Raises as `load_backbone`."""
        if name:
            return resolve_backbone(name)
        spec, recorded = self.embedding, self.embedding.recorded
        if self.backbone_file:
            row = BackboneSpec(
                name=recorded.get("backbone", spec.name),
                runtime="onnx",
                dim=spec.dim,
                input_size=spec.input_size,
                channel_order=spec.channel_order,
                normalization=spec.normalization,
                crop=spec.crop,
                alignment=spec.alignment,
                detector=spec.detector,
                layout=recorded["layout"],
                layer=spec.layer,
                weights=self.backbone_file,
                int8_file=self.int8_file,
                given=True,
                licence=recorded["licence"],
            )
            return in_precision(row, spec.precision)
        if not recorded.get("given", recorded["runtime"] == "onnx"):
            return recall_backbone(spec)
        known = recorded.get("backbone", spec.name)
        name = f"{known},weights=FILE" if known in BACKBONES else "FILE.onnx"
        view = "".join(f",{key}={value}" for key, value in spec.view.items())
        raise BundleError(
            f"the bundle holds no weights of {spec.name}: add --backbone {name},channel_order={spec.channel_order},"
            f"normalization={spec.normalization}{view} (the file with SHA-256 {spec.weights_sha256})"
        )


def save_bundle(bundle: Bundle, path: str | os.PathLike[str], *, card: str, page: str = "") -> Bundle:
    """Write a bundle, replacing a bundle that is there; the new one appears whole or not at all.

    Parameters
    ----------
    bundle : what to save; `backbone_file` and `int8_file` are copied into it.
    path : folder to create.
    card : text of README.md.
    page : text of report.html, if there is to be one.

    Raises
    ------
    BundleError : `path` holds anything but a bundle, or the disk refuses.
    """
    target = Path(path).absolute()
    require_replaceable(target)
    work = target.with_name(f".{target.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        _write_files(bundle, work, card=card, page=page)
        _replace_folder(work, target)
    except OSError as error:
        raise BundleError(
            f"cannot write {path}: {error.strerror or error}. Make room, or choose another place"
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_bundle(target)


def _replace_folder(new: Path, target: Path) -> None:
    """Put a folder in the place of another, which is back if that fails."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        if old.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_files(bundle: Bundle, folder: Path, *, card: str, page: str) -> None:
    from safetensors.numpy import save

    parts = [net.to_arrays() for net in bundle.nets]
    arrays = {f"{i}.{name}": array for i, (held, _) in enumerate(parts) for name, array in held.items()}
    main = {
        "format": FORMAT,
        "version": VERSION,
        "embedding": bundle.embedding.to_json(),
        "tasks": [task.to_dict() for task in bundle.tasks],
        "nets": [structure for _, structure in parts],
        "calibration": {name: to_dict(each) for name, each in bundle.calibration.items()},
        "facts": bundle.facts,
    }
    contents = {_CARD: card.encode(), _MAIN: json.dumps(main, indent=1).encode(), _ARRAYS: save(arrays)}
    if page:
        contents[_PAGE] = page.encode()
    if bundle.backbone_file:
        contents[_BACKBONE] = bundle.backbone_file.read_bytes()
    if bundle.int8_file:
        contents[_INT8] = bundle.int8_file.read_bytes()
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    for name, content in {**contents, _SUMS: sums.encode()}.items():
        with atomic_write(folder / name) as file:
            file.write(content)


def require_replaceable(target: Path) -> None:
    """Refuse a place with anything in it that is not of a bundle: it would be deleted. Raises BundleError."""
    if not target.exists():
        return
    held = {entry.name for entry in target.iterdir()} if target.is_dir() else {""}
    if held and not {_SUMS, _MAIN} <= held <= {_SUMS, *_NAMES}:
        raise BundleError(f"{target} holds something that is not a bundle: choose another place")


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Load a bundle after checking every byte of it.

    Raises
    ------
    BundleError : no bundle there, a file is missing, altered or unknown, or the format is newer than this program.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = Path(path)
    contents = _verified(folder)
    try:
        main = json.loads((folder / _MAIN).read_text("utf-8"))
        if main["format"] != FORMAT or main["version"] > VERSION:
            raise BundleError(
                f"{folder} has bundle format {main['version']}, this program reads {VERSION}: update faceprobe"
            )
        return Bundle(
            embedding=EmbeddingSpec.from_json(main["embedding"]),
            tasks=tuple(Task.from_dict(task) for task in main["tasks"]),
            nets=_nets(main["nets"], load((folder / _ARRAYS).read_bytes())),
            facts=main["facts"],
            id=contents,
            backbone_file=folder / _BACKBONE if (folder / _BACKBONE).exists() else None,
            calibration=_calibration(main),
            int8_file=folder / _INT8 if (folder / _INT8).exists() else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BundleError(f"{folder} is not a bundle this program understands ({error!r}): train it again") from None


def _calibration(main: dict[str, Any]) -> dict[str, Calibration]:
    """Every task's calibration; none in a bundle of version 1."""
    return {} if main["version"] < 2 else {name: from_dict(each) for name, each in main["calibration"].items()}


def _nets(structures: list[dict[str, Any]], arrays: dict[str, NDArray[Any]]) -> tuple[Net, ...]:
    """Every net from the arrays whose names begin with its number."""
    own = [{n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(f"{i}.")} for i in range(len(structures))]
    return tuple(Net.from_arrays(held, structure) for held, structure in zip(own, structures, strict=True))


def _verified(folder: Path) -> str:
    """The bundle's id, once every file has the hash that SHA256SUMS gives."""
    try:
        sums = (folder / _SUMS).read_bytes()
    except OSError:
        raise BundleError(f"no bundle at {folder} (no {_SUMS} in it): make one with `train`") from None
    lines = (line.partition("  ") for line in sums.decode("ascii", "replace").splitlines())
    listed = {name: digest for digest, _, name in lines}
    required = set(_NAMES) - set(_OPTIONAL)
    as_written = "".join(f"{digest}  {name}\n" for name, digest in listed.items()).encode()
    if sums != as_written or not required <= set(listed) <= set(_NAMES):
        raise BundleError(f"{folder / _SUMS} must list {', '.join(sorted(required))}: train the bundle again")
    unlisted = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} - {_SUMS, *listed}
    if unlisted:
        raise BundleError(
            f"{folder} holds {', '.join(sorted(unlisted))}, not of the bundle: remove what is not its own"
        )
    for name, expected in listed.items():
        try:
            found = sha256_of_file(folder / name)
        except OSError as error:
            raise BundleError(f"{folder / name}: {error.strerror}. Train the bundle again") from None
        if found != expected:
            raise BundleError(
                f"{folder / name} was altered: its SHA-256 is {found}, expected {expected}. Train it again"
            )
    return hashlib.sha256(sums).hexdigest()[:16]
