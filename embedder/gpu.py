"""Whether a network can compute on an NVIDIA GPU here; no fingerprint depends on it."""

import ctypes
import importlib
from dataclasses import replace
from typing import Any

from data.errors import BackboneError
from embedder.spec import AUTO, CPU, CUDA, ON_GPUS, BackboneSpec


def gpu_name() -> str:
    """The first GPU that this process may use, and what CUDA its driver knows: "NVIDIA A10, CUDA 12.4"; "" for none."""
    driver = _driver()
    device, version, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if (
        driver is None
        or driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDriverGetVersion(ctypes.byref(version))
    ):
        return ""
    return f"{name.value.decode(errors='replace')}, CUDA {version.value // 1000}.{version.value % 1000 // 10}"


def _driver() -> Any:
    """The driver's library, which every program for NVIDIA's GPUs goes through."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def settle_device(spec: BackboneSpec) -> BackboneSpec:
    """A row of data with CPU or CUDA for its device.

    Raises
    ------
    BackboneError : CUDA was asked for, and says what is missing.
    """
    if spec.device == CPU or spec.runs_on not in ON_GPUS or (spec.device == AUTO and not gpu_name()):
        return replace(spec, device=CPU)
    lacking = importlib.import_module(f"embedder.runtimes.{spec.runs_on}").lacks_cuda()
    if not (lacking or gpu_name()):
        lacking = "no NVIDIA GPU was found; its driver must be installed, and a container be given it"
    if lacking and spec.device == CUDA:
        raise BackboneError(f"{spec.name} cannot run on a GPU: {lacking}")
    return replace(spec, device=CPU if lacking else CUDA)
