"""OpenVINO on the CPU: .onnx files and deepface's .h5 files, several times as fast where the processor helps.

It stands in for the reference, so it computes in the precision that the spec says, whatever the processor would rather
have: OpenVINO's own choice is bfloat16 on processors with matrix units, which moves vectors visibly.
"""

import importlib.metadata
import importlib.util
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from data.files import sha256_of_file
from embedder.cache import cache_folder
from embedder.int8 import read_int8
from embedder.runtimes import keras
from embedder.runtimes.graph import BATCH, GraphRuntime, Run, check_output, complete
from embedder.spec import INT8, BackboneSpec

LIBRARIES = ("openvino",)
_HINTS = {"fp16": "f16"}  # what is not fp16 computes in fp32 where it is not quantized


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, GraphRuntime]:
    """Compile the graph, complete the spec from it, and check that the two agree.

    Raises
    ------
    BackboneError : OpenVINO is not installed, cannot read the file, or the graph is not what the spec says.
    """
    if importlib.util.find_spec("openvino") is None:
        raise BackboneError(f"{spec.name} on OpenVINO needs openvino: pip install openvino")
    try:
        spec, model = _read(spec)
        spec, only = complete(spec, input_shape(model))
        batch = only or BATCH
        run = _compiled(model, spec, batch=batch, cores=cores)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise BackboneError(f"{spec.weights} cannot be run by OpenVINO: {reason}") from None
    spec = check_output(spec, run, batch)
    return spec, GraphRuntime(run, spec, batch=batch, cores=cores)


def _compiled(model: Any, spec: BackboneSpec, *, batch: int, cores: int) -> Run:
    """Compile for calls of one thread each, as many at a time as there are cores."""
    from embedder.ov import openvino

    sides = (3, *spec.input_size) if spec.layout == "NCHW" else (*spec.input_size, 3)
    model.reshape({model.input(0): [batch, *sides]})
    options = {
        "NUM_STREAMS": cores,
        "INFERENCE_NUM_THREADS": cores,
        "INFERENCE_PRECISION_HINT": _HINTS.get(spec.precision, "f32"),
        "ENABLE_CPU_PINNING": False,  # worker processes would all be pinned to the first core
    }
    compiled = openvino.Core().compile_model(model, "CPU", options)
    own = threading.local()

    def run(inputs: NDArray[np.float32]) -> NDArray[Any]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer({0: inputs}, share_inputs=True)
        return own.request.get_output_tensor(0).data.copy()  # of which the next call would make another

    return run


def input_shape(model: Any) -> list[Any]:
    """The shape of a model's input: numbers, and text for sides of any length."""
    return [side.get_length() if side.is_static else str(side) for side in model.input(0).partial_shape]


def _read(spec: BackboneSpec) -> tuple[BackboneSpec, Any]:
    """The model in the precision of a spec, which is completed by the digest of one in int8."""
    from embedder.ov import openvino

    if spec.precision.startswith(INT8):
        held = read_int8(spec)
        return replace(spec, precision=held.precision), openvino.Core().read_model(held.xml, held.weights)
    if spec.runtime == "onnx" and spec.weights:
        return spec, openvino.Core().read_model(spec.weights.read_bytes())
    return spec, fused_model(spec)


def fused_model(spec: BackboneSpec) -> Any:
    """The model of a weight file in fp32, its batch norms part of the layers before them.

    Raises
    ------
    BackboneError : the converted model cannot be kept in the cache folder.
    RuntimeError : as OpenVINO says, which cannot read the file.
    """
    from embedder.ov import openvino

    if spec.runtime == "onnx":
        return openvino.convert_model(spec.weights)
    folder = cache_folder() / "openvino"
    version = importlib.metadata.version("openvino")
    kept = folder / f"{sha256_of_file(spec.weights) if spec.weights else spec.name}-{version}.xml"
    try:
        if not kept.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _convert(spec, kept)
    except OSError as error:
        raise BackboneError(f"cannot write to {folder}: {error.strerror}. Make room, or set XDG_CACHE_HOME") from None
    return openvino.Core().read_model(kept)


def _convert(spec: BackboneSpec, kept: Path) -> None:
    """Build deepface's network and write it down for OpenVINO, which takes TensorFlow a quarter of a minute."""
    from embedder.ov import openvino

    keras.load(spec, cores=1)  # says which packages are missing
    network = keras.build_network(spec, keras.KerasRuntime(spec, cores=1).load_weights)
    model = openvino.convert_model(network)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=kept.parent) as work:
        made = Path(work) / "model.xml"
        openvino.save_model(model, made, compress_to_fp16=False)
        os.replace(made.with_suffix(".bin"), kept.with_suffix(".bin"))
        os.replace(made, kept)  # last: it says that both are there
