"""`load_backbone(name) -> Backbone`: a row of data joined to the runtime that executes it."""

import dataclasses
import importlib
import importlib.metadata
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import CROPS, DECODE, NORMALIZATIONS, Picture
from embedder.seeded import seeded_weights
from embedder.spec import BACKBONES, L2_NORMALIZED, BackboneSpec, EmbeddingSpec
from embedder.weights import require_weights, sha256_of_file

_SIDECAR_KEYS = ("name", "dim", "input_size", "layout", "channel_order", "normalization", "licence", "note", "url")
_ROW_KEYS = ("weights", "normalization", "channel_order")
_CHOICES = {"channel_order": ("RGB", "BGR"), "normalization": tuple(NORMALIZATIONS), "layout": ("NCHW", "NHWC")}
_RUNTIMES = {".onnx": "onnx", ".h5": "keras"}  # by the ending of the weight file
_SEEDED = "seeded:"


class Runtime(Protocol):
    """Executes one graph on all the cores it was given."""

    def embed(self, faces: Picture) -> NDArray[Any]:
        """Faces (n, height, width[, 3]) uint8 to rows (n, *dim)."""

    def close(self) -> None:
        """Free what it holds: threads, processes."""


class Backbone:
    """A frozen face-recognition network: pictures in, rows of a fixed shape out.

    Attributes
    ----------
    spec : EmbeddingSpec, with the fingerprint of everything that changes a vector.
    """

    def __init__(self, spec: EmbeddingSpec, runtime: Runtime) -> None:
        self.spec = spec
        self._runtime = runtime

    def crop(self, picture: Picture) -> Picture:
        """One picture (height, width, 3) uint8 RGB, any size, to what the network sees: (h, w[, 3]) uint8."""
        return CROPS[self.spec.crop](picture, self.spec.input_size)

    def embed(self, faces: Sequence[Picture]) -> NDArray[Any]:
        """Embed pictures.

        Parameters
        ----------
        faces : sequence of n arrays, uint8: RGB pictures (height, width, 3) of any size, or what `crop` returned.

        Returns
        -------
        ndarray of shape (n, *dim), of the spec's dtype. A row depends on its own picture alone: not on n, on its
        place in the batch or on the number of cores. That is true to the bit, but for an .h5 file, where TensorFlow
        does not promise more than a cosine of 0.999999.
        """
        if len(faces) == 0:
            return np.empty((0, *self.spec.dim), self.spec.dtype)
        rows = self._runtime.embed(np.stack([self._fitted(face) for face in faces]))
        return _l2_normalized(rows) if self.spec.layer == L2_NORMALIZED else rows

    def _fitted(self, face: Picture) -> Picture:
        seen = (*self.spec.input_size,) if self.spec.channel_order == "GRAY" else (*self.spec.input_size, 3)
        return face if face.shape == seen else self.crop(face)

    def close(self) -> None:
        """Stop the threads or processes of the runtime."""
        self._runtime.close()

    def __enter__(self) -> "Backbone":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _l2_normalized(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of length 1; the small number, which is deepface's, leaves a row of zeros as it is."""
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-10)


def load_backbone(name: str, *, cores: int | None = None) -> Backbone:
    """Load a backbone and start its runtime.

    Parameters
    ----------
    name : a name of `BACKBONES`, or the path of any ONNX file with a sidecar `.json` beside it. Settings may follow
        after commas. Those of an ONNX file overrule its sidecar: `model.onnx,channel_order=RGB,normalization=ArcFace`.
        A network of deepface takes `normalization`, `channel_order`, and `weights`: a file (.onnx or .h5) in place of
        the one in deepface's folder, or `seeded:SEED` for a dry run on weights drawn at random.
    cores : how many to use; all that this process may use by default.

    Raises
    ------
    BackboneError : an unknown name, a missing or unfit file, or settings that do not fit the graph.
    """
    return start_backbone(resolve_backbone(name), cores=cores)


def start_backbone(spec: BackboneSpec, *, cores: int | None = None) -> Backbone:
    """Start the runtime of a row of data; see `load_backbone`."""
    if spec.seed is not None:
        spec = dataclasses.replace(spec, weights=seeded_weights(BACKBONES[spec.name], spec.seed))
    module = importlib.import_module(f"embedder.runtimes.{spec.runtime}")
    spec, runtime = module.load(spec, cores or usable_cores())
    return Backbone(_embedding_spec(spec, module.LIBRARY), runtime)


def usable_cores() -> int:
    """Cores this process may run on, which a container or a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_backbone(name: str) -> BackboneSpec:
    """The row of data for a name or an ONNX file, without loading anything. Raises as `load_backbone`."""
    stem, settings = _split_settings(name)
    if stem.lower().endswith(".onnx"):
        return _onnx_spec(Path(stem), settings)
    return _named_spec(_row(stem), settings)


def recall_backbone(spec: EmbeddingSpec) -> BackboneSpec:
    """The row of data that gave such embeddings: its weight file is found by its name, or drawn again by its seed.

    Raises
    ------
    BackboneError : the file is not where it was, or the program knows no such row.
    """
    row = _row(spec.recorded.get("backbone", spec.name))
    row = dataclasses.replace(row, channel_order=spec.channel_order, normalization=spec.normalization)
    if spec.seeded is not None:
        return _seeded(row, spec.seeded)
    return _on_file(row, require_weights(row.name, (spec.recorded["weights_file"],))) if row.files else row


def _row(name: str) -> BackboneSpec:
    if name in BACKBONES:
        return BACKBONES[name]
    raise BackboneError(f"unknown backbone {name!r}; known are {', '.join(BACKBONES)}, and the path of any .onnx file")


def _named_spec(row: BackboneSpec, settings: dict[str, Any]) -> BackboneSpec:
    """A row of data with its settings, and its weight file if it has one."""
    if not row.files:
        if settings:
            raise BackboneError(f"{row.name} has no settings, found {', '.join(settings)}: leave them out")
        return row
    unknown = sorted(set(settings) - set(_ROW_KEYS))
    if unknown:
        raise BackboneError(f"unknown settings {', '.join(unknown)} for {row.name}; known: {', '.join(_ROW_KEYS)}")
    for key in settings.keys() & _CHOICES.keys():
        if settings[key] not in _CHOICES[key]:
            raise BackboneError(f"{key} of {row.name} must be one of {', '.join(_CHOICES[key])}; found {settings[key]}")
    weights = settings.pop("weights", None)
    row = dataclasses.replace(row, **settings)
    if weights is None:
        return _on_file(row, require_weights(row.name, row.files))
    if weights.startswith(_SEEDED):
        return _seeded(row, weights.removeprefix(_SEEDED))
    path = Path(weights).expanduser()
    if not path.is_file():
        raise BackboneError(f"no file {path}: weights of {row.name} are a file or {_SEEDED}SEED")
    return dataclasses.replace(_on_file(row, path), given=True, licence="unknown: the file was given by hand", url="")


def _on_file(row: BackboneSpec, path: Path) -> BackboneSpec:
    runtime = _RUNTIMES.get(path.suffix.lower())
    if runtime is None or (runtime == "keras" and not row.graph):
        known = " or ".join(_RUNTIMES) if row.graph else ".onnx"
        raise BackboneError(f"weights of {row.name} must be a file ending in {known}; found {path.name}")
    return dataclasses.replace(row, weights=path, runtime=runtime)


def _seeded(row: BackboneSpec, seed: str | int) -> BackboneSpec:
    if not str(seed).isdecimal():
        raise BackboneError(f"a seed must be a whole number, as in weights={_SEEDED}0; found {seed!r}")
    if not row.graph:
        raise BackboneError(f"{row.name} cannot be seeded: deepface does not define its network, it comes as one file")
    return dataclasses.replace(row, seed=int(seed), runtime="keras", licence="none: drawn at random", url="")


def _split_settings(name: str) -> tuple[str, dict[str, Any]]:
    stem, *pairs = re.split(r",(?=[a-z_]+=)", name)
    settings: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs)
    for key in ("dim", "input_size"):
        if key in settings:
            numbers = [int(number) for number in re.findall(r"\d+", settings[key])]
            settings[key] = numbers or settings[key]  # text without a number is refused by `_shape`
    return stem, settings


def _onnx_spec(path: Path, settings: dict[str, Any]) -> BackboneSpec:
    if not path.is_file():
        raise BackboneError(f"no file {path}: give the path of an ONNX model")
    sidecar = path.with_suffix(".json")
    fields = {**_read_sidecar(sidecar), **settings}
    unknown = sorted(set(fields) - set(_SIDECAR_KEYS))
    if unknown:
        raise BackboneError(f"unknown settings {', '.join(unknown)} for {path.name}; known: {', '.join(_SIDECAR_KEYS)}")
    for key in ("channel_order", "normalization", "layout"):
        if key in fields or key != "layout":  # which the graph tells
            _require_choice(path, fields, key)
    return BackboneSpec(
        name=str(fields.get("name", path.stem)),
        runtime="onnx",
        dim=_shape(path, fields, "dim", 1),
        input_size=_shape(path, fields, "input_size", 2),  # type: ignore[arg-type]
        channel_order=fields["channel_order"],
        normalization=fields["normalization"],
        crop="whole picture, letterbox, bilinear",
        layout=fields.get("layout", ""),
        weights=path,
        given=True,
        licence=str(fields.get("licence", "unknown")),
        url=str(fields.get("url", "")),
    )


def _read_sidecar(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} is not readable JSON ({error}): mend it or remove it") from None
    if not isinstance(fields, dict):
        raise BackboneError(f"{path} must hold a JSON object with the keys {', '.join(_SIDECAR_KEYS)}")
    return fields


def _require_choice(path: Path, fields: dict[str, Any], key: str) -> None:
    found, choices = fields.get(key), _CHOICES[key]
    if found in choices:
        return
    raise BackboneError(
        f"{path.name} needs {key} (one of {', '.join(choices)}), found {found}: a graph does not tell it. "
        f"Write it into {path.with_suffix('.json').name} or add it: --backbone {path.name},{key}={choices[0]}"
    )


def _shape(path: Path, fields: dict[str, Any], key: str, sides: int) -> tuple[int, ...]:
    """A shape from a sidecar; () where it says nothing, to be read from the graph."""
    found = fields.get(key, [])
    numbers = [found] if isinstance(found, int) else found
    if isinstance(numbers, list) and all(isinstance(n, int) and n > 0 for n in numbers):
        if not numbers or len(numbers) == sides:
            return tuple(numbers)
        if len(numbers) == 1:
            return tuple(numbers * sides)
    raise BackboneError(f"{key} of {path.name} must be {sides} positive whole number(s), found {found}")


def _embedding_spec(spec: BackboneSpec, library: str) -> EmbeddingSpec:
    return EmbeddingSpec(
        weights_sha256=sha256_of_file(spec.weights) if spec.weights else None,
        dim=spec.dim,
        input_size=spec.input_size,
        channel_order=spec.channel_order,
        normalization=spec.normalization,
        layer=spec.layer,
        detector="none",
        alignment="none",
        crop=spec.crop,
        decode=DECODE,
        precision=spec.precision,
        name=spec.name if spec.seed is None else f"{spec.name} {_SEEDED}{spec.seed}",
        dtype=spec.dtype,
        recorded={
            "backbone": spec.name,
            "given": spec.given,
            "seeded": spec.seed,
            "licence": spec.licence,
            "url": spec.url,
            "runtime": spec.runtime,
            "layout": spec.layout,
            "library": f"{library} {importlib.metadata.version(library)}",
            "weights_file": spec.weights.name if spec.weights else None,
            "weights_bytes": spec.weights.stat().st_size if spec.weights else 0,
        },
    )
