"""ONNX Runtime on the CPU: one single-threaded call per core at a time.

Several calls of one thread each beat one call of several threads (192 against 167 images/s with MobileFaceNet in
batches of 2 on two cores: no thread waits for another at the end of each operator), and make a vector independent of
the number of cores.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import Picture, normalize, padded
from embedder.spec import BackboneSpec

LIBRARY = "onnxruntime"
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
BATCH = 4  # every call has this shape, the last one padded, so results repeat to the bit; 2 to 8 are equally fast


class OnnxRuntime:
    """Runs a graph with one image input (n, ...) and the embedding as its first output."""

    def __init__(self, session: Any, spec: BackboneSpec, *, batch: int, cores: int) -> None:
        self._session = session
        self._spec = spec
        self._batch = batch
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="onnx")

    def embed(self, faces: Picture) -> NDArray[np.float32]:
        """Faces (n, height, width, 3) uint8 RGB to (n, dim) float32."""
        batches = (faces[start : start + self._batch] for start in range(0, len(faces), self._batch))
        return np.concatenate(list(self._threads.map(self._run, batches)))

    def _run(self, faces: Picture) -> NDArray[np.float32]:
        inputs = normalize(
            padded(faces, self._batch),
            normalization=self._spec.normalization,
            channel_order=self._spec.channel_order,
            layout=self._spec.layout,
        )
        (outputs,) = self._session.run([self._output], {self._input: inputs})
        return outputs.reshape(self._batch, *self._spec.dim)[: len(faces)]

    def warm_up(self) -> None:
        """Nothing is left to do: the graph ran when it was loaded."""

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(cancel_futures=True)


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, OnnxRuntime]:
    """Open the graph, complete the spec from it, and check that the two agree.

    Raises
    ------
    BackboneError : the file is no ONNX graph, has no image input, or is not what its sidecar says.
    """
    from embedder.ort import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: a model's harmless warnings are nobody's business here
    # The fingerprint covers one file. Weights in a second one must not be found, wherever it may lie.
    nowhere = f"{spec.weights}/second-file"
    options.add_session_config_entry(_EXTERNAL_DATA, nowhere)
    try:
        content = spec.weights.read_bytes() if spec.weights else b""
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common base
        reason = str(error).strip().splitlines()[0]
        if nowhere in reason:
            reason = "it keeps weights in a second file; save it as one (onnx.save without external data)"
        raise BackboneError(f"{spec.weights} cannot be opened as an ONNX model: {reason}") from None
    spec, batch = _complete(spec, session.get_inputs()[0].shape)
    spec = _check_output(spec, session, batch)
    return spec, OnnxRuntime(session, spec, batch=batch, cores=cores)


def _complete(spec: BackboneSpec, shape: list[Any]) -> tuple[BackboneSpec, int]:
    """Fill layout and input size from the graph's input shape, e.g. ['N', 3, 112, 112]."""
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
    batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else BATCH
    return dataclasses.replace(spec, layout=layout, input_size=size), batch


def _check_output(spec: BackboneSpec, session: Any, batch: int) -> BackboneSpec:
    """Run one grey picture through: only that tells the output's shape for sure."""
    grey = normalize(
        np.full((batch, *spec.input_size, 3), 128, np.uint8),
        normalization=spec.normalization,
        channel_order=spec.channel_order,
        layout=spec.layout,
    )
    try:
        outputs = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: grey})[0]
    except Exception as error:  # noqa: BLE001  as above
        raise BackboneError(f"{spec.name} cannot be run: {str(error).strip().splitlines()[0]}") from None
    dim = (outputs.size // batch,)
    if outputs.shape[0] != batch or outputs.dtype != np.float32:
        raise BackboneError(f"{spec.name} gives {outputs.dtype} of shape {outputs.shape}; expected float32 (n, dim)")
    if spec.dim not in ((), dim):
        raise BackboneError(f"{spec.name} is described as {spec.dim[0]}-d, its graph gives {dim[0]}-d: mend dim")
    return dataclasses.replace(spec, dim=dim)
