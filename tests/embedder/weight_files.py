"""Small stand-ins for weight files, served from this machine alone."""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from embedder.weights import WEIGHTS, WeightFile


def h5_bytes(place: Path, seed: int = 0) -> bytes:
    """A real HDF5 file of 400 kB; equal seeds give equal bytes."""
    with h5py.File(place / "made.h5", "w") as file:
        file["kernel"] = np.random.default_rng(seed).random(50_000)
    content = (place / "made.h5").read_bytes()
    (place / "made.h5").unlink()
    return content


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def set_row(monkeypatch: pytest.MonkeyPatch, name: str, *urls: str, known: bytes | None = None) -> None:
    """Serve a weight file from other addresses; `known` is the content whose hash and length are known."""
    row = WeightFile(name, urls, sha256(known), len(known)) if known else WeightFile(name, urls)
    monkeypatch.setitem(WEIGHTS, name, row)


def stay_inside(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Use a folder of one's own for weights, and let no request leave this machine; returns the folder."""
    monkeypatch.setenv("DEEPFACE_HOME", str(home))
    monkeypatch.delenv("FACEPROBE_WEIGHTS_URL", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # where nobody is
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return home / ".deepface" / "weights"
