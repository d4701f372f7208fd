"""ONNX Runtime on the CPU: the reference for .onnx files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.runtimes.graph import GraphRuntime, check_output, complete
from embedder.spec import BackboneSpec

LIBRARY = "onnxruntime"
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, GraphRuntime]:
    """Open the graph, complete the spec from it, and check that the two agree.

    Raises
    ------
    BackboneError : the file is no ONNX graph, has no image input, or is not what its sidecar says.
    """
    session = _open(spec)
    spec, batch = complete(spec, session.get_inputs()[0].shape)
    taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(inputs: NDArray[np.float32]) -> NDArray[Any]:
        return session.run([given], {taken: inputs})[0]

    spec = check_output(spec, run, batch)
    return spec, GraphRuntime(run, spec, batch=batch, cores=cores)


def _open(spec: BackboneSpec) -> Any:
    """A session of one thread per call."""
    from embedder.ort import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: a model's harmless warnings are nobody's business here
    # The fingerprint covers one file. Weights in a second one must not be found, wherever it may lie.
    nowhere = f"{spec.weights}/second-file"
    options.add_session_config_entry(_EXTERNAL_DATA, nowhere)
    try:
        content = spec.weights.read_bytes() if spec.weights else b""
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common base
        reason = str(error).strip().splitlines()[0]
        if nowhere in reason:
            reason = "it keeps weights in a second file; save it as one (onnx.save without external data)"
        raise BackboneError(f"{spec.weights} cannot be opened as an ONNX model: {reason}") from None
