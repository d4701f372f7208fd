"""What the runtimes of ONNX files share: what a graph tells about itself, and faces in batches through it.

Every call is single-threaded, as many at a time as there are cores: several calls of one thread each beat one call of
several threads (192 against 167 images/s with MobileFaceNet in ONNX Runtime, batches of 2, two cores: no thread waits
for another at the end of each operator), and make a vector independent of the number of cores.
"""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import Picture, normalize, padded
from embedder.spec import BackboneSpec

BATCH = 4  # every call has this shape, the last one padded, so results repeat to the bit; 2 to 8 are equally fast

Run = Callable[[NDArray[np.float32]], NDArray[Any]]


class GraphRuntime:
    """Runs a graph with one image input (n, ...) and the embedding as its first output.

    Parameters
    ----------
    run : input of a whole batch to the output; called by several threads at once.
    spec : a complete one, see `complete` and `check_output`.
    batch : of the graph.
    """

    def __init__(self, run: Run, spec: BackboneSpec, *, batch: int, cores: int) -> None:
        self._run = run
        self._spec = spec
        self._batch = batch
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix=spec.runs_on)

    def embed(self, faces: Picture) -> NDArray[np.float32]:
        """Faces (n, height, width, 3) uint8 RGB to (n, dim) float32."""
        batches = (faces[start : start + self._batch] for start in range(0, len(faces), self._batch))
        return np.concatenate(list(self._threads.map(self._embed, batches)))

    def _embed(self, faces: Picture) -> NDArray[np.float32]:
        outputs = self._run(graph_input(self._spec, padded(faces, self._batch)))
        return outputs.reshape(self._batch, *self._spec.dim)[: len(faces)]

    def warm_up(self) -> None:
        """Nothing is left to do: the graph ran when it was loaded."""

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(cancel_futures=True)


def graph_input(spec: BackboneSpec, faces: Picture) -> NDArray[np.float32]:
    """Faces (n, height, width, 3) uint8 RGB as a graph wants them, whose spec is complete."""
    return normalize(faces, normalization=spec.normalization, channel_order=spec.channel_order, layout=spec.layout)


def complete(spec: BackboneSpec, shape: list[Any]) -> tuple[BackboneSpec, int | None]:
    """Fill layout and input size from the graph's input shape, e.g. ['N', 3, 112, 112].

    Returns
    -------
    The spec, and the one batch size that the graph takes; None if it takes any.

    Raises
    ------
    BackboneError : it has no image input, or another one than the spec says.
    """
    if len(shape) != 4:
        raise BackboneError(f"{spec.weights} takes input of shape {shape}; expected one batch of images, 4 sides")
    layout = spec.layout or ("NCHW" if shape[1] == 3 else "NHWC" if shape[3] == 3 else "")
    if not layout:
        raise BackboneError(f"{spec.name}: add layout=NCHW or layout=NHWC, the graph's input {shape} does not tell")
    sides = shape[2:] if layout == "NCHW" else shape[1:3]
    channels = shape[1] if layout == "NCHW" else shape[3]
    size = spec.input_size or tuple(side for side in sides if isinstance(side, int))
    if len(size) != 2:
        raise BackboneError(f"{spec.name}: add input_size=HEIGHTxWIDTH, the graph takes any size")
    fits = all(found in (side, None) or isinstance(found, str) for found, side in zip(sides, size, strict=True))
    if not fits or (isinstance(channels, int) and channels != 3):
        raise BackboneError(
            f"{spec.name} is described as {layout} with faces of {size[0]} x {size[1]}, its graph takes {shape}: "
            "mend layout or input_size"
        )
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
    return dataclasses.replace(spec, layout=layout, input_size=size), batch


def check_output(spec: BackboneSpec, run: Run, batch: int) -> BackboneSpec:
    """Run one grey picture through, which alone tells the output's shape for sure, and fill in the spec's dim.

    Raises
    ------
    BackboneError : the graph cannot be run, or gives no vectors, or others than the spec says.
    """
    try:
        outputs = run(graph_input(spec, np.full((batch, *spec.input_size, 3), 128, np.uint8)))
    except Exception as error:  # noqa: BLE001  the libraries' exceptions have no common base
        raise BackboneError(f"{spec.name} cannot be run: {str(error).strip().splitlines()[0]}") from None
    dim = (outputs.size // batch,)
    if outputs.shape[0] != batch or outputs.dtype != np.float32:
        raise BackboneError(f"{spec.name} gives {outputs.dtype} of shape {outputs.shape}; expected float32 (n, dim)")
    if spec.dim not in ((), dim):
        raise BackboneError(f"{spec.name} is described as {spec.dim[0]}-d, its graph gives {dim[0]}-d: mend dim")
    return dataclasses.replace(spec, dim=dim)
