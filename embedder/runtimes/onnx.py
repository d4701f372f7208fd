"""ONNX Runtime: on the CPU the reference for .onnx files, and on a GPU with the package onnxruntime-gpu."""

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import Picture
from embedder.runtimes.gpu import GpuRuntime
from embedder.runtimes.graph import BATCH, GraphRuntime, check_output, complete, graph_input
from embedder.spec import CUDA, BackboneSpec

LIBRARIES = ("onnxruntime", "onnxruntime-gpu")
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
_ON_CPU = "CPUExecutionProvider"
_ON_GPU = "CUDAExecutionProvider"
_GPU_OPTIONS = {
    "arena_extend_strategy": "kSameAsRequested",  # memory grows as it is needed, not by powers of two
    "cudnn_conv_algo_search": "HEURISTIC",  # the default measures which algorithm is fastest: another one each time
    "use_tf32": "0",  # which rounds to 10 bits
}
# "bfc_arena.cc ... Failed to allocate memory for requested buffer of size 939524096", "CUDA failure 2: out of memory",
# "CUBLAS_STATUS_ALLOC_FAILED", cuDNN 9's "..._DEVICE_ALLOCATION_FAILED"
_MEMORY_ERRORS = ("Failed to allocate memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, GraphRuntime | GpuRuntime]:
    """Open the graph, complete the spec from it, and check that the two agree.

    Raises
    ------
    BackboneError : the file is no ONNX graph, has no image input, or is not what its sidecar says; or the GPU cannot
        be used.
    """
    session = _open(spec)
    spec, only = complete(spec, session.get_inputs()[0].shape)
    taken, given = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(inputs: NDArray[np.float32]) -> NDArray[Any]:
        return session.run([given], {taken: inputs})[0]

    if spec.device != CUDA:
        batch = only or BATCH
        spec = check_output(spec, run, batch)
        return spec, GraphRuntime(run, spec, batch=batch, cores=cores)
    spec = check_output(spec, run, only or 1)

    def embed(faces: Picture) -> NDArray[Any]:
        return run(graph_input(spec, faces)).reshape(len(faces), *spec.dim)

    return spec, GpuRuntime(embed, spec, is_memory_error=is_memory_error, only=only)


def lacks_cuda() -> str:
    """What keeps ONNX Runtime from a GPU, and what to do; "" if nothing is known to."""
    from embedder.ort import onnxruntime

    if _ON_GPU in onnxruntime.get_available_providers():
        return ""
    return (
        "the installed onnxruntime has no CUDA: pip uninstall onnxruntime onnxruntime-gpu, then pip install "
        "'onnxruntime-gpu[cuda,cudnn]' (both packages at once do not work)"
    )


def is_memory_error(error: Exception) -> bool:
    """Whether ONNX Runtime says that the GPU's memory ran out, which its classes of exceptions do not tell."""
    own = type(error).__module__.startswith("onnxruntime")
    return own and any(text in str(error) for text in _MEMORY_ERRORS)


def _open(spec: BackboneSpec) -> Any:
    """A session of one thread per call."""
    from embedder.ort import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: a model's harmless warnings are nobody's business here
    # The fingerprint covers one file. Weights in a second one must not be found, wherever it may lie.
    nowhere = f"{spec.weights}/second-file"
    options.add_session_config_entry(_EXTERNAL_DATA, nowhere)
    providers: list[Any] = [_ON_CPU]
    if spec.device == CUDA:
        options.log_severity_level = 4  # memory that runs out is no error here
        options.use_deterministic_compute = True
        providers = [(_ON_GPU, _GPU_OPTIONS), _ON_CPU]
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            getattr(onnxruntime, "preload_dlls", lambda: None)()  # CUDA from NVIDIA's Python packages; since 1.21
    try:
        content = spec.weights.read_bytes() if spec.weights else b""
        # without its fallback, by which it would go on with the CPU and print that
        session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common base
        reason = str(error).strip().splitlines()[0]
        if nowhere in reason:
            reason = "it keeps weights in a second file; save it as one (onnx.save without external data)"
        raise BackboneError(f"{spec.weights} cannot be opened as an ONNX model: {reason}") from None
    if spec.device == CUDA and _ON_GPU not in session.get_providers():
        raise BackboneError(
            f"{spec.name} cannot run on a GPU: onnxruntime-gpu does not find CUDA or cuDNN in the versions that it "
            "needs: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return session
