"""Which device a network runs on, and what is said where it cannot be a GPU."""

import dataclasses

import pytest

from data.errors import BackboneError
from embedder import gpu
from embedder.runtimes import dlib, keras, onnx
from embedder.spec import AUTO, BACKBONES, CPU, CUDA
from tests.gpus import NAME, Driver


@pytest.fixture
def row():
    return dataclasses.replace(BACKBONES["SFace"], runtime="onnx")


def lacking(monkeypatch, what):
    for module in (onnx, keras, dlib):
        monkeypatch.setattr(module, "lacks_cuda", lambda: what)


@pytest.mark.parametrize(("driver", "expected"), [(Driver(), NAME), (Driver(devices=0), ""), (None, "")])
def test_gpu_is_named_by_its_driver(monkeypatch, driver, expected):
    monkeypatch.setattr(gpu, "_driver", lambda: driver)
    assert gpu.gpu_name() == expected


def test_driver_that_is_not_installed_is_no_gpu(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: (_ for _ in ()).throw(OSError(f"{name}: cannot open")))
    assert gpu.gpu_name() == ""


@pytest.mark.parametrize(
    ("asked", "devices", "lacks", "expected"),
    [
        (AUTO, 1, "", CUDA),
        (AUTO, 1, "a library", CPU),
        (AUTO, 0, "", CPU),
        (CUDA, 1, "", CUDA),
        (CPU, 1, "", CPU),
    ],
)
@pytest.mark.parametrize("runtime", ["onnx", "keras", "dlib"])
def test_gpu_is_used_where_it_is_and_a_library_can(monkeypatch, row, runtime, asked, devices, lacks, expected):
    monkeypatch.setattr(gpu, "_driver", lambda: Driver(devices))
    lacking(monkeypatch, lacks)
    settled = gpu.settle_device(dataclasses.replace(row, runtime=runtime, device=asked))
    assert settled.device == expected


@pytest.mark.parametrize("executor", ["openvino", "pixels"])
def test_runtime_of_the_cpu_alone_leaves_a_gpu_alone(monkeypatch, row, executor):
    monkeypatch.setattr(gpu, "_driver", Driver)
    assert gpu.settle_device(dataclasses.replace(row, executor=executor)).device == CPU


def test_no_library_is_loaded_for_a_gpu_that_is_not_there(monkeypatch, row):
    monkeypatch.setattr(gpu, "_driver", lambda: None)
    monkeypatch.setattr(keras, "lacks_cuda", lambda: pytest.fail("TensorFlow was loaded"))
    assert gpu.settle_device(dataclasses.replace(row, runtime="keras")).device == CPU


@pytest.mark.parametrize(("devices", "lacks"), [(0, ""), (0, "a library"), (1, "a library")])
def test_gpu_that_was_asked_for_and_cannot_be_had_is_an_error(monkeypatch, row, devices, lacks):
    monkeypatch.setattr(gpu, "_driver", lambda: Driver(devices))
    lacking(monkeypatch, lacks)
    with pytest.raises(BackboneError, match=f"SFace cannot run on a GPU: {lacks or 'no NVIDIA GPU was found'}"):
        gpu.settle_device(dataclasses.replace(row, device=CUDA))


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        (onnx, "pip uninstall onnxruntime onnxruntime-gpu, then pip install 'onnxruntime-gpu[cuda,cudnn]'"),
        (keras, "pip install 'tensorflow[and-cuda]'"),
        (dlib, "pip uninstall dlib-bin, then pip install dlib"),
    ],
)
def test_library_that_cannot_use_a_gpu_says_what_to_install(module, remedy, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr("dlib.DLIB_USE_CUDA", False)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: [])
    assert remedy in module.lacks_cuda()


def test_library_that_can_use_a_gpu_lacks_nothing(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("dlib.DLIB_USE_CUDA", True)
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: [kind])
    assert [module.lacks_cuda() for module in (onnx, keras, dlib)] == ["", "", ""]
