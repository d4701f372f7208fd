"""dlib's face recognition network, in several processes: it holds Python's lock while it computes.

Its weights come with the PyPI package face_recognition_models, whose import needs a module that newer setuptools
lack; the files are found without importing it.
"""

import dataclasses
import functools
import importlib.util
import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import Picture
from embedder.processes import exit_of, start_processes
from embedder.runtimes.gpu import GpuRuntime
from embedder.spec import CUDA, BackboneSpec

# read when NVIDIA's libraries load: dlib has no switch of its own for TF32, which rounds to 10 bits
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

LIBRARIES = ("dlib-bin", "dlib")
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
CHUNK = 8  # faces per message to a process: half a second of work
IN_PROCESS = 8  # starting processes takes longer than this many faces


class DlibRuntime:
    """128-d vectors of faces of 150 x 150 pixels (He et al. 2016's ResNet of 29 layers, by D. King)."""

    def __init__(self, weights: Path, *, cores: int) -> None:
        self._weights = str(weights)
        self._cores = cores
        self._pool: Any = None

    def embed(self, faces: Picture) -> NDArray[np.float32]:
        """Faces (n, 150, 150, 3) uint8 RGB to (n, 128) float32."""
        if self._cores == 1 or len(faces) <= IN_PROCESS:
            return _embed_chunk(self._weights, faces)
        if self._pool is None:
            self._pool = start_processes(self._cores)
        chunks = [faces[start : start + CHUNK] for start in range(0, len(faces), CHUNK)]
        try:
            return np.concatenate(list(self._pool.map(functools.partial(_embed_chunk, self._weights), chunks)))
        except BrokenProcessPool as error:
            self.close()
            raise BackboneError(
                f"a process of Dlib was killed{exit_of(error)}, perhaps for want of memory: run the same command again "
                "to go on"
            ) from None

    def warm_up(self) -> None:
        """Nothing that takes time: the processes are started by the batch that needs them."""

    def close(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(kill_workers=True)


@functools.lru_cache(maxsize=1)
def _network(weights: str) -> Any:
    import dlib

    return dlib.face_recognition_model_v1(weights)


def _embed_chunk(weights: str, faces: Picture) -> NDArray[np.float32]:
    network = _network(weights)
    return np.array([network.compute_face_descriptor(face) for face in faces], np.float32)


def _embed_batch(weights: str, faces: Picture) -> NDArray[np.float32]:
    return np.array(_network(weights).compute_face_descriptor(list(faces)), np.float32)


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, DlibRuntime | GpuRuntime]:
    """Find dlib and its weights.

    Raises
    ------
    BackboneError : says which package is missing; or dlib is compiled for a GPU and is to compute without.
    """
    found = importlib.util.find_spec("face_recognition_models")
    if importlib.util.find_spec("dlib") is None or found is None:
        raise BackboneError("Dlib needs dlib and its weights: pip install dlib-bin face_recognition_models")
    folders = found.submodule_search_locations or []
    files = [path for folder in folders if (path := Path(folder) / "models" / WEIGHTS).is_file()]
    if not files:
        raise BackboneError(f"face_recognition_models is installed without {WEIGHTS}: install it again")
    spec = dataclasses.replace(spec, weights=files[0])
    if spec.device == CUDA:
        run = functools.partial(_embed_batch, str(files[0]))
        return spec, GpuRuntime(run, spec, is_memory_error=is_memory_error)
    if not lacks_cuda():
        raise BackboneError(
            "Dlib cannot run on the CPU: the installed dlib is compiled with CUDA and computes on a GPU alone: "
            "pip uninstall dlib, pip install dlib-bin"
        )
    return spec, DlibRuntime(files[0], cores=cores)


def lacks_cuda() -> str:
    """What keeps dlib from a GPU, and what to do; "" if nothing does."""
    import dlib

    if dlib.DLIB_USE_CUDA:
        return ""
    return (
        "the installed dlib is compiled without CUDA: pip uninstall dlib-bin, then pip install dlib, which compiles it "
        "with CUDA if its compiler and cuDNN are there"
    )


def is_memory_error(error: Exception) -> bool:
    """Whether dlib says that the GPU's memory ran out: "calling cudaMalloc() ... reason: out of memory"."""
    return isinstance(error, RuntimeError) and "reason: out of memory" in str(error)


def kept_reference() -> NDArray[np.float32]:
    """What dlib on a CPU makes of the self-check's pictures: a dlib that computes on a GPU cannot say it."""
    return np.load(Path(__file__).with_name("dlib_reference.npy"), allow_pickle=False)
