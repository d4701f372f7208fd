"""The true architecture on weights drawn at random: for dry runs and tests without a download, never for results.

Keras' own start leaves the embeddings of different pictures almost equal. Here every batch norm has the statistics of
what it sees of a fixed batch of drawn pictures, so signals stay alive through all layers.
"""

import math
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from data.files import sha256_of_file
from embedder.cache import cache_folder
from embedder.preprocess import Picture
from embedder.spec import BackboneSpec

RECIPE = 2  # one more whenever the same seed gives other weights
PICTURES = 32
FREQUENCIES = 12  # half waves over a side: as fine as what tells faces from one another at these sizes
MARK = "faceprobe: drawn at random, not trained, from seed"  # an attribute of the file
_WORK, _HOUR = ".making-", 3600.0
BITS = 12  # of the statistics: fewer than in which machines differ


def seeded_folder() -> Path:
    """Where such files are kept."""
    return cache_folder() / f"seeded-{RECIPE}"


def is_seeded(path: Path) -> bool:
    """Whether a file holds weights that were drawn here, wherever it lies by now."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            return MARK in file.attrs
    except OSError:
        return False  # not an .h5 file: another one's concern


def is_made(row: BackboneSpec, seed: int) -> bool:
    """Whether there is a file for this seed already; making one takes some seconds to a minute."""
    return any(seeded_folder().glob(f"{row.name}-seed{seed}-*.h5"))


def seeded_weights(row: BackboneSpec, seed: int) -> Path:
    """The .h5 file of a row's network with weights drawn from a seed; made once, by TensorFlow, in some seconds.

    Its name ends in 16 digits of its SHA-256: one that was damaged is drawn again. Machines whose arithmetic differs
    (another kind of processor, oneDNN switched off) may round a statistic otherwise, so a seed is the same file only on
    the same kind of machine; the fingerprint tells.

    Parameters
    ----------
    row : of `BACKBONES`, with its own normalization and channel order: other settings run on the same file.

    Raises
    ------
    BackboneError : packages are missing, or the file cannot be written.
    """
    folder, stem = seeded_folder(), f"{row.name}-seed{seed}-"
    try:
        for path in sorted(folder.glob(f"{stem}*.h5")):
            if path.name == _named(stem, path):
                return path
            path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        return _make(row, seed, folder, stem)
    except OSError as error:
        said = error.strerror or str(error).partition(",")[0]  # HDF5 adds a dump
        raise BackboneError(f"cannot write to {folder}: {said}. Make room, or set XDG_CACHE_HOME") from None


def _named(stem: str, file: Path) -> str:
    """What a file is called that has not been damaged since it was made."""
    return f"{stem}{sha256_of_file(file)[:16]}.h5"


def _make(row: BackboneSpec, seed: int, folder: Path, stem: str) -> Path:
    from embedder.runtimes.keras import build_network, load

    row, _ = load(row, cores=1)
    for left in folder.glob(f"{_WORK}*"):
        if left.stat().st_mtime < time.time() - _HOUR:  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=folder) as work:
        made = Path(work) / "weights.h5"  # Keras writes to names alone
        build_network(row, lambda network: _fill_and_save(network, row, seed, made))
        path = folder / _named(stem, made)
        os.replace(made, path)
    return path


def _fill_and_save(network: Any, row: BackboneSpec, seed: int, path: Path) -> None:
    import h5py

    for position, tensor in enumerate(network.weights):  # one by one: VGG-Face's largest has 400 MB
        tensor.assign(draw_tensor(tensor.name, tuple(tensor.shape), [seed, position]))
    _set_statistics(network, row)
    network.save_weights(str(path))
    with h5py.File(path, "a") as weights:
        weights.attrs[MARK] = str(seed)


def draw_tensor(name: str, shape: tuple[int, ...], seed: list[int]) -> NDArray[Any]:
    """One tensor, float32, by the last part of its name in Keras, of uniform numbers: the same bits on every machine.

    Kernels have a variance of 2 / inputs (He et al. 2015), biases and the rest are small disturbances.
    """
    drawn = np.random.default_rng(seed).random(shape, np.float32)
    drawn -= np.float32(0.5)
    kind = name.rpartition("/")[2].partition(":")[0]
    match kind:
        case "kernel":
            drawn *= np.float32(math.sqrt(24 / math.prod(shape[:-1])))
        case "depthwise_kernel":
            drawn *= np.float32(math.sqrt(24 / math.prod(shape[:2])))
        case "gamma" | "moving_variance":
            drawn = 1 + drawn * np.float32(0.4)
        case "alpha":  # of a PReLU
            drawn = np.float32(0.25) + drawn * np.float32(0.2)
        case _:
            drawn *= np.float32(0.2)
    return drawn


def _set_statistics(network: Any, row: BackboneSpec) -> None:
    """Let every batch norm keep the mean and variance of what it sees of the drawn pictures, and nothing else."""
    from embedder.runtimes.keras import network_input

    norms = [layer for layer in network.layers if type(layer).__name__ == "BatchNormalization"]
    if not norms:
        return
    for layer in network.layers:
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    for norm in norms:
        norm.momentum = 0.0
    network(network_input(row, draw_pictures(PICTURES, row.input_size)), training=True)
    for norm in norms:
        *learnt, mean, variance = norm.get_weights()
        norm.set_weights([*learnt, _rounded(mean), _rounded(variance)])


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    mantissas, exponents = np.frexp(values)
    return np.ldexp(np.rint(mantissas * 2**BITS) / 2**BITS, exponents).astype(np.float32)


def draw_pictures(n: int, size: tuple[int, int], *, seed: int = 0) -> Picture:
    """Smooth random pictures: as in photographs, an amplitude falls with its frequency, and colours go together.

    Returns
    -------
    ndarray of shape (n, *size, 3), uint8, RGB.
    """
    rng = np.random.default_rng([seed, FREQUENCIES])
    frequency = np.arange(FREQUENCIES)
    amplitude = (1 + frequency[:, None] ** 2 + frequency**2) ** -0.75
    down, across = (np.cos(np.pi * np.outer((np.arange(side) + 0.5) / side, frequency)) for side in size)

    def waves(channels: int) -> NDArray[np.float64]:
        drawn = rng.standard_normal((n, channels, FREQUENCIES, FREQUENCIES)) * amplitude
        return np.moveaxis(down @ drawn @ across.T, 1, -1)

    pictures = waves(1) + 0.3 * waves(3)
    pictures -= pictures.mean(axis=(1, 2), keepdims=True)
    pictures /= pictures.std(axis=(1, 2, 3), keepdims=True)
    light, contrast = rng.uniform((90, 35), (160, 60), (n, 2)).T[:, :, None, None, None]
    return np.clip(np.rint(light + contrast * pictures), 0, 255).astype(np.uint8)
