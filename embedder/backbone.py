"""`load_backbone(name) -> Backbone`: a row of data joined to the runtime that executes it."""

import dataclasses
import hashlib
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
from embedder.spec import BACKBONES, BackboneSpec, EmbeddingSpec
from embedder.weights import find_weights, weights_folder

_SIDECAR_KEYS = ("name", "dim", "input_size", "layout", "channel_order", "normalization", "licence", "note", "url")
_CHANNEL_ORDERS = ("RGB", "BGR")
_LAYOUTS = ("NCHW", "NHWC")


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
        place in the batch or on the number of cores.
        """
        if len(faces) == 0:
            return np.empty((0, *self.spec.dim), self.spec.dtype)
        return self._runtime.embed(np.stack([self._fitted(face) for face in faces]))

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


def load_backbone(name: str, *, cores: int | None = None) -> Backbone:
    """Load a backbone and start its runtime.

    Parameters
    ----------
    name : a name of `BACKBONES`, or the path of any ONNX file with a sidecar `.json` beside it. Settings may follow
        after commas and overrule the sidecar: `model.onnx,channel_order=RGB,normalization=ArcFace`.
    cores : how many to use; all that this process may use by default.

    Raises
    ------
    BackboneError : an unknown name, a missing or unfit file, or settings that do not fit the graph.
    """
    return start_backbone(resolve_backbone(name), cores=cores)


def start_backbone(spec: BackboneSpec, *, cores: int | None = None) -> Backbone:
    """Start the runtime of a row of data; see `load_backbone`."""
    module = importlib.import_module(f"embedder.runtimes.{spec.runtime}")
    spec, runtime = module.load(spec, cores or usable_cores())
    return Backbone(_embedding_spec(spec, module.LIBRARY), runtime)


def usable_cores() -> int:
    """Cores this process may run on, which a container or a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_backbone(name: str) -> BackboneSpec:
    """The row of data for a name or an ONNX file, without loading anything. Raises as `load_backbone`."""
    stem, settings = _split_settings(name)
    if stem in BACKBONES:
        if settings:
            raise BackboneError(f"{stem} has no settings, found {', '.join(settings)}: leave them out")
        return _named_spec(BACKBONES[stem])
    if not stem.lower().endswith(".onnx"):
        raise BackboneError(
            f"unknown backbone {stem!r}; known are {', '.join(BACKBONES)}, and the path of any .onnx file"
        )
    return _onnx_spec(Path(stem), settings)


def _named_spec(row: BackboneSpec) -> BackboneSpec:
    """A row of data with its weight file, if it has one."""
    if not row.files:
        return row
    weights = find_weights(row.files)
    if weights is None:
        raise BackboneError(f"{row.name} needs {' or '.join(row.files)} in {weights_folder()}")
    return dataclasses.replace(row, weights=weights)


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
    _require_choice(path, fields, "channel_order", _CHANNEL_ORDERS)
    _require_choice(path, fields, "normalization", tuple(NORMALIZATIONS))
    if "layout" in fields:
        _require_choice(path, fields, "layout", _LAYOUTS)
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


def _require_choice(path: Path, fields: dict[str, Any], key: str, choices: tuple[str, ...]) -> None:
    found = fields.get(key)
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
        name=spec.name,
        dtype=spec.dtype,
        recorded={
            "licence": spec.licence,
            "url": spec.url,
            "runtime": spec.runtime,
            "layout": spec.layout,
            "library": f"{library} {importlib.metadata.version(library)}",
            "weights_file": spec.weights.name if spec.weights else None,
            "weights_bytes": spec.weights.stat().st_size if spec.weights else 0,
        },
    )


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
