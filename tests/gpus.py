"""A GPU that is not there: its driver, and an ONNX Runtime that computes on the CPU but behaves as if on a GPU."""

import ctypes
from typing import Any

import numpy as np
import pytest

from embedder.ort import onnxruntime

NAME = "Fake 9000, CUDA 12.4"
MEMORY_ERROR = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. Name:'c' "
    "Status Message: bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 939524096"
)


class Driver:
    """What libcuda.so.1 answers where there are so many devices."""

    def __init__(self, devices: int = 1) -> None:
        self._devices = devices

    def cuInit(self, _: int) -> int:
        return 0 if self._devices else 100

    def cuDeviceGet(self, _: Any, number: int) -> int:
        return 0 if number < self._devices else 101

    def cuDeviceGetName(self, name: Any, size: int, _: Any) -> int:
        name.value = b"Fake 9000"[: size - 1]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        ctypes.cast(version, ctypes.POINTER(ctypes.c_int))[0] = 12040
        return 0


class Gpu:
    """A GPU and an onnxruntime-gpu that uses it.

    Attributes
    ----------
    holds : the largest batch that fits into its memory.
    until : calls after which nothing fits any more.
    off : of each number it gives, by which share it is wrong.
    finds_cuda : whether CUDA's libraries are there.
    batches : what it was given.
    asked : the options of the CUDA provider.
    """

    def __init__(self) -> None:
        self.holds, self.until, self.off, self.finds_cuda = 10**6, 10**6, 0.0, True
        self.batches: list[int] = []
        self.asked: dict[str, str] = {}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put it into this machine."""
        own = onnxruntime.InferenceSession
        providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

        def start(content: bytes, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
            session = own(content, options, providers=["CPUExecutionProvider"], enable_fallback=enable_fallback)
            return session if providers == ["CPUExecutionProvider"] else Session(self, session, providers[0])

        patch.setattr("embedder.gpu._driver", Driver)
        patch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        patch.setattr(onnxruntime, "InferenceSession", start)


class Session:
    """A session whose calls go to a GPU."""

    def __init__(self, gpu: Gpu, session: Any, provider: tuple[str, dict[str, str]]) -> None:
        self._gpu, self._session = gpu, session
        gpu.asked = provider[1]

    def get_inputs(self) -> Any:
        return self._session.get_inputs()

    def get_outputs(self) -> Any:
        return self._session.get_outputs()

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"] if self._gpu.finds_cuda else ["CPUExecutionProvider"]

    def run(self, names: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        gpu = self._gpu
        ((faces),) = inputs.values()
        if len(faces) > gpu.holds or len(gpu.batches) >= gpu.until:
            raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException(MEMORY_ERROR)
        gpu.batches.append(len(faces))
        (rows,) = self._session.run(names, inputs)
        wrong = np.random.default_rng(0).normal(size=rows.shape[1:]).astype(np.float32)
        return [rows * (1 + np.float32(gpu.off) * wrong)]
