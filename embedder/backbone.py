"""`load_backbone(name) -> Backbone`: a row of data joined to the runtime that executes it."""

import dataclasses
import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.files import sha256_of_file
from embedder.faces.face import Face
from embedder.faces.templates import align
from embedder.preprocess import DECODE, Picture, crop
from embedder.resolve import resolve_backbone, with_runtime
from embedder.seeded import seeded_weights
from embedder.spec import (
    AUTO,
    BACKBONES,
    CUDA,
    EXECUTORS,
    L2_NORMALIZED,
    MIRRORED,
    SEEDED,
    BackboneSpec,
    EmbeddingSpec,
    split_alignment,
)
from embedder.start import Runtime, fastest, reference_of, start_runtime


class Backbone:
    """A frozen face-recognition network: pictures in, rows of a fixed shape out.

    Attributes
    ----------
    spec : EmbeddingSpec, with the fingerprint of everything that changes a vector.
    row : what it was started from, and can be started from in other processes.
    note : what the user should know of how it runs, in a line; mostly "".
    """

    def __init__(self, spec: EmbeddingSpec, runtime: Runtime, *, row: BackboneSpec, note: str = "") -> None:
        self.spec = spec
        self.row = row
        self.note = note
        self._runtime = runtime

    def crop(self, picture: Picture) -> Picture:
        """One picture (height, width, 3) uint8 RGB, any size, to what the network sees: (h, w[, 3]) uint8."""
        return crop(picture, self.spec.input_size, how=self.spec.crop)

    def crop_face(self, picture: Picture, face: Face) -> Picture:
        """One face in a picture to what the network sees: aligned as its spec says, then cropped."""
        template, margin = split_alignment(self.spec.alignment)
        aligned = align(picture, face, template, side=max(self.spec.input_size), margin=margin)
        return self.crop(aligned)

    def embed(self, faces: Sequence[Picture]) -> NDArray[Any]:
        """Embed pictures.

        Parameters
        ----------
        faces : sequence of n arrays, uint8: RGB pictures (height, width, 3) of any size, or what `crop` returned.

        Returns
        -------
        ndarray of shape (n, *dim), of the spec's dtype. A row depends on its own picture alone: not on n, on its
        place in the batch or on the number of cores. That is true to the bit, but for an .h5 file or a GPU, of which
        no more than a cosine of 0.999999 is promised.
        """
        if len(faces) == 0:
            return np.empty((0, *self.spec.dim), self.spec.dtype)
        fitted = np.stack([self._fitted(face) for face in faces])
        rows = self._rows(fitted)
        if self.spec.layer.endswith(MIRRORED):
            rows = (rows + self._rows(np.ascontiguousarray(fitted[:, :, ::-1]))) / 2
        return rows

    def _rows(self, faces: Picture) -> NDArray[Any]:
        rows = self._runtime.embed(faces)
        return _l2_normalized(rows) if self.spec.layer.startswith(L2_NORMALIZED) else rows

    def _fitted(self, face: Picture) -> Picture:
        seen = (*self.spec.input_size,) if self.spec.channel_order == "GRAY" else (*self.spec.input_size, 3)
        return face if face.shape == seen else self.crop(face)

    def warm_up(self) -> None:
        """Load what is loaded late, which `embed` would do by itself."""
        self._runtime.warm_up()

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
        Any of them takes `crop`, the percentage of the picture's sides that is seen, from its middle (above 100 there
        is black around it), or the template that faces are aligned to, with its `margin` in percent and the `detector`
        that finds them; and `flip=yes` for the mean of its embedding and its mirror image's.
        `runtime` says what executes a file: onnx or keras, the references for .onnx and .h5 files, openvino for either,
        or auto for the fastest here; `precision` fp16 or int8 is for openvino. `device` is cpu, cuda, or auto: a GPU
        where there is one and a library that uses it.
    cores : how many to use; all that this process may use by default.

    Raises
    ------
    BackboneError : an unknown name, a missing or unfit file, or settings that do not fit the graph.
    """
    return start_backbone(resolve_backbone(name), cores=cores)


def start_backbone(spec: BackboneSpec, *, cores: int | None = None) -> Backbone:
    """Start the runtime of a row of data; see `load_backbone`."""
    started = start_runtime(drawn_weights(spec), cores or usable_cores())
    return Backbone(_embedding_spec(started.spec, started.library), started.runtime, row=spec, note=started.note)


def settle_runtime(name: str, held: Mapping[str, EmbeddingSpec]) -> str:
    """A backbone's name with runtime=auto replaced: what a store has begun is continued by the runtime that began it.

    Embeddings of two runtimes differ in their last digits. So the fastest is chosen for new embeddings alone.

    Parameters
    ----------
    name : as `load_backbone` takes it.
    held : what the store holds, by fingerprint: `EmbeddingStore.specs`.
    """
    row = resolve_backbone(name)
    if row.executor != AUTO:
        return name
    row = drawn_weights(row)
    with start_backbone(reference_of(row), cores=1) as reference:
        begun = held.get(reference.spec.fingerprint)
    runtime = begun.recorded["runtime"] if begun else fastest(row, usable_cores())
    can = row.device != CUDA and runtime in EXECUTORS.get(row.runtime, ()) and importlib.util.find_spec(runtime)
    return with_runtime(name, runtime if can else row.runtime)


def drawn_weights(spec: BackboneSpec) -> BackboneSpec:
    """A row with its weight file, where that has to be drawn first."""
    if spec.seed is None or spec.weights:
        return spec
    return dataclasses.replace(spec, weights=seeded_weights(BACKBONES[spec.name], spec.seed))


def usable_cores() -> int:
    """Cores this process may run on, which a container or a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _display_name(spec: BackboneSpec) -> str:
    """A name that tells settings of one backbone apart in a table."""
    words = [spec.name]
    words += [] if spec.seed is None else [f"{SEEDED}{spec.seed}"]
    view = spec.view
    crop = view.get("crop", "")
    words += [f"crop {crop}%" if crop.isdecimal() else crop] if crop else []
    words += [f"margin {view['margin']}%"] if "margin" in view else []
    words += [view["detector"]] if "detector" in view else []
    words += ["mirrored"] if "flip" in view else []
    words += [spec.precision.partition(" ")[0]] if spec.executor and spec.precision != "fp32" else []
    return " ".join(words)


def _embedding_spec(spec: BackboneSpec, library: str) -> EmbeddingSpec:
    return EmbeddingSpec(
        weights_sha256=sha256_of_file(spec.weights) if spec.weights else None,
        dim=spec.dim,
        input_size=spec.input_size,
        channel_order=spec.channel_order,
        normalization=spec.normalization,
        layer=spec.layer,
        detector=spec.detector,
        alignment=spec.alignment,
        crop=spec.crop,
        decode=DECODE,
        precision=spec.precision,
        name=_display_name(spec),
        dtype=spec.dtype,
        recorded={
            "backbone": spec.name,
            "given": spec.given,
            "seeded": spec.seed,
            "licence": spec.licence,
            "url": spec.url,
            "runtime": spec.runs_on,
            "device": spec.device,
            "layout": spec.layout,
            "library": library,
            "weights_file": spec.weights.name if spec.weights else None,
            "weights_bytes": spec.weights.stat().st_size if spec.weights else 0,
        },
    )
