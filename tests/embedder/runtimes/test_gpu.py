"""Batches halve where a GPU's memory ends, the job goes on, and no other error is taken for that."""

import logging

import numpy as np
import pytest

from data.errors import BackboneError
from embedder.ort import onnxruntime
from embedder.runtimes import dlib, keras, onnx
from embedder.runtimes.gpu import BATCH, GpuRuntime
from embedder.spec import BACKBONES
from tests.gpus import MEMORY_ERROR

ROW = BACKBONES["pixels"]  # of which the name and the size count here


class Network:
    """The sums of faces' rows, of no more than so many faces at once, and wrong by the size of the batch."""

    def __init__(self, holds=10**6, error=MemoryError):
        self.holds, self.error = holds, error
        self.batches = []

    def __call__(self, faces):
        self.batches.append(len(faces))
        if len(faces) > self.holds:
            raise self.error("full")
        return faces.sum(axis=(2, 3), dtype=np.float32) + np.float32(len(faces) / 1024)


def runtime(network, **options):
    return GpuRuntime(network, ROW, is_memory_error=lambda error: isinstance(error, MemoryError), **options)


def faces(n):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)


def test_batches_have_one_shape_and_rows_the_order_of_their_faces():
    network = Network()
    rows = runtime(network).embed(faces(150))
    assert network.batches == [BATCH] * 3
    np.testing.assert_array_equal(rows, faces(150).sum(axis=(2, 3), dtype=np.float32) + np.float32(BATCH / 1024))


def test_memory_that_runs_out_halves_the_batch_for_good(caplog, monkeypatch):
    network = Network(holds=20)
    shrinking = runtime(network)
    with caplog.at_level(logging.WARNING):
        rows = shrinking.embed(faces(40))
    assert network.batches == [64, 32, 16, 16, 16]
    assert caplog.messages == [
        "pixels: the GPU's memory does not hold 64 faces, so 32 at a time",
        "pixels: the GPU's memory does not hold 32 faces, so 16 at a time",
    ]
    monkeypatch.setattr("embedder.runtimes.gpu.BATCH", 16)
    np.testing.assert_array_equal(rows, runtime(Network()).embed(faces(40)))
    shrinking.embed(faces(1))
    assert network.batches[5:] == [16]


def test_memory_that_runs_out_in_between_loses_no_row_and_repeats_none():
    network = Network()
    shrinking = runtime(network)
    first = shrinking.embed(faces(100))
    network.holds = 32
    assert np.abs(shrinking.embed(faces(100)) - first).max() == np.float32((64 - 32) / 1024)
    assert network.batches == [64, 64, 64, 32, 32, 32, 32]


@pytest.mark.parametrize(("options", "tried"), [({}, [64, 32, 16, 8, 4, 2, 1]), ({"only": 8}, [8])])
def test_memory_for_less_than_the_smallest_batch_is_an_error(options, tried):
    network = Network(holds=0)
    told = "pixels: the GPU's memory does not hold a batch of (1 face|8 faces): .* or --device cpu"
    with pytest.raises(BackboneError, match=told):
        runtime(network, **options).embed(faces(3))
    assert network.batches == tried


def test_other_error_is_not_taken_for_a_lack_of_memory():
    network = Network(holds=3, error=RuntimeError)
    with pytest.raises(RuntimeError, match="full"):
        runtime(network).embed(faces(4))
    assert network.batches == [BATCH]


def test_warming_up_finds_the_batch_that_fits():
    network = Network(holds=16)
    warm = runtime(network)
    warm.warm_up()
    network.batches.clear()
    warm.embed(faces(20))
    assert network.batches == [16, 16]


CUDA_MALLOC = "Error while calling cudaMalloc(&data, n) in file cuda_data_ptr.cpp:28. code: 2, reason: out of memory"
NOT_READY = "Error while calling cudaGetDevice(&id) in file gpu_data.cpp:178. code: 3, reason: initialization error"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MEMORY_ERROR, True),
        ("[ONNXRuntimeError] : 1 : FAIL : cuda_call.cc:121 CUDA failure 2: out of memory ; GPU=0 ; hostname=h", True),
        ("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", True),
        ("[ONNXRuntimeError] : 11 : EP_FAIL : CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: image", False),
        ("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 700: an illegal memory access was encountered", False),
    ],
)
def test_onnx_runtime_tells_a_lack_of_memory_by_its_words(text, expected):
    states = onnxruntime.capi.onnxruntime_pybind11_state
    for kind in (states.RuntimeException, states.Fail, states.EPFail):
        assert onnx.is_memory_error(kind(text)) == expected
    assert not onnx.is_memory_error(ValueError(text))


def test_tensorflow_tells_a_lack_of_memory_by_its_class_or_while_it_copies():
    from embedder.tensorflow import tf

    errors = tf.errors
    assert keras.is_memory_error(errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"))
    assert keras.is_memory_error(errors.InternalError(None, None, "Failed copying: Dst tensor is not initialized."))
    assert not keras.is_memory_error(errors.InternalError(None, None, "cuDNN launch failure"))
    assert not keras.is_memory_error(errors.InvalidArgumentError(None, None, "OOM"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [(RuntimeError(CUDA_MALLOC), True), (RuntimeError(NOT_READY), False), (ValueError(CUDA_MALLOC), False)],
)
def test_dlib_tells_a_lack_of_memory_by_its_words(error, expected):
    assert dlib.is_memory_error(error) == expected
