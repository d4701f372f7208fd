"""Small embedding stores whose content is known, and what they hold whatever their shards look like."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from embedder.spec import EmbeddingSpec
from embedder.store import IMAGE_COLUMNS, ROW_COLUMNS, EmbeddingStore, path_key
from tests.fakes import FAKE_SPEC

PRINT = FAKE_SPEC.fingerprint


def key(name: str) -> str:
    """Stand in for the SHA-256 of an image."""
    return hashlib.sha256(name.encode()).hexdigest()


def rows_of(*names: str, status: str = "ok") -> pd.DataFrame:
    """Rows of images with one outcome."""
    reason = "" if status == "ok" else "why"
    return pd.DataFrame([(key(name), 0, status, reason) for name in names], columns=ROW_COLUMNS)


def vector_of(name: str, spec: EmbeddingSpec = FAKE_SPEC) -> np.ndarray:
    """The one vector of an image."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(1, 200, spec.dim).astype(spec.dtype)


def add(store: EmbeddingStore, *names: str, failed: tuple[str, ...] = (), spec: EmbeddingSpec = FAKE_SPEC) -> None:
    """Commit a shard of images, and the files NAME.jpg that hold them."""
    rows = pd.concat([rows_of(*names), rows_of(*failed, status="no_face")], ignore_index=True)
    vectors = np.array([vector_of(name, spec) for name in names]).reshape(-1, *spec.dim)
    store.add(spec, rows, vectors, seconds=0.5 * len(names))
    add_images(store, {f"{name}.jpg": name for name in (*names, *failed)})


def add_images(store: EmbeddingStore, contents: dict[str, str]) -> None:
    """Commit what files hold: image name by path."""
    rows = [(path_key(f"/faces/{path}"), path, 5, 6, key(name)) for path, name in contents.items()]
    store.add_images(pd.DataFrame(rows, columns=IMAGE_COLUMNS))


def content(store: EmbeddingStore) -> dict[tuple[Any, ...], Any]:
    """Everything that can be read: outcomes and vectors of every fingerprint, and what every file holds."""
    found: dict[tuple[Any, ...], Any] = {}
    for fingerprint in store.specs():
        rows = store.rows(fingerprint)
        ok = rows[rows["status"] == "ok"]
        keys = [(fingerprint, *key) for key in zip(ok["sha256"], ok["face"], strict=True)]
        found |= dict(zip(keys, map(bytes, store.vectors(fingerprint, ok)), strict=True))
        failed = rows[rows["status"] != "ok"]
        keys = [(fingerprint, *key) for key in zip(failed["sha256"], failed["face"], strict=True)]
        found |= dict(zip(keys, failed["status"], strict=True))
    images = store.images()
    found |= {("path", path): sha256 for path, sha256 in zip(images["path"], images["sha256"], strict=True)}
    return found
