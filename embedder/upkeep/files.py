"""Every file of a store, by what it is for; and the lock by which rewriting commands keep out of each other's way."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import StoreError
from embedder.shards import NAME, ShardVanished, disk_errors, open_shard, shard_names
from embedder.store import EmbeddingStore

SETTLED = 3600.0  # seconds after which no job is about to commit a file any more
UNFINISHED = ("orphan", "temporary")  # kinds of files that a job at work may be about to commit


@dataclass(frozen=True)
class Entry:
    """A file or folder of a store.

    Attributes
    ----------
    kind : "folder", "marker" (store.json), "spec" (spec.json), "table", "vectors", "replaced" (by another shard: a
        stopped command left it), "orphan" (vectors without a table: a stopped job left them, or a running one is about
        to commit them), "temporary" (the same, half-written) or "foreign".
    bytes, mode, age : its size, its permission bits, and the seconds since it was written.
    """

    path: Path
    kind: str
    bytes: int
    mode: int
    age: float


def inventory(root: Path) -> list[Entry]:
    """Everything that is in a store's folder, the folder itself first."""
    entries: list[Entry | None] = [_entry(root, "folder")]
    for name, folders, files in os.walk(root):
        folders.sort()
        folder = Path(name)
        place = folder.relative_to(root).parts
        holds_shards = place == ("images",) or (len(place) == 2 and place[0] == "embeddings")
        tables = shard_names(folder) if holds_shards else set()
        replaced = {old for table in tables for old in _replaced_by(folder, table)}
        for each in folders:
            entries.append(_entry(folder / each, "folder" if _is_known(place, each) else "foreign"))
        for each in sorted(files):
            kind = (holds_shards and _shard_file(each, tables, replaced)) or _other_file(place, each)
            entries.append(_entry(folder / each, kind))
    return [entry for entry in entries if entry is not None]


def relative(root: Path, path: Path) -> str:
    """A file's name within a store."""
    return path.relative_to(root).as_posix()


def shard_folders(store: EmbeddingStore) -> list[Path]:
    """The folders that hold shards: a fingerprint's each, and images/ last."""
    return [*(store.folder(fingerprint) for fingerprint in store.specs()), store.path / "images"]


@contextlib.contextmanager
def alone(store: EmbeddingStore) -> Iterator[None]:
    """Keep other commands that rewrite shards out until the block ends. Who only reads or adds needs no lock.

    The lock is the system's own (flock on store.json), so it ends with the process, however that ends. A network drive
    may have no locks; then a shard that vanishes tells that two are at work.

    Raises
    ------
    StoreError : another is at work, or the disk refuses.
    """
    busy = StoreError(f"another command is rewriting {store.path}: wait until it has ended and run the same again")
    with disk_errors(store.path), open(store.path / "store.json", "rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        except OSError:
            pass
        try:
            yield
        except ShardVanished:
            raise busy from None


@contextlib.contextmanager
def unchanged(store: EmbeddingStore) -> Iterator[None]:
    """Say what it means when a shard vanishes from under what has to see one state of a store.

    Raises
    ------
    StoreError : `compact` or `forget` rewrote the store meanwhile.
    """
    try:
        yield
    except ShardVanished:
        raise StoreError(f"{store.path} was rewritten meanwhile: run the same command again") from None


def _replaced_by(folder: Path, name: str) -> list[str]:
    try:
        return open_shard(folder, name).facts.get("replaces", [])
    except (ShardVanished, StoreError):
        return []


def _shard_file(name: str, tables: set[str], replaced: set[str]) -> str:
    stem, _, suffix = name.rpartition(".")
    if not NAME.fullmatch(stem) or suffix not in ("parquet", "npy"):
        return ""
    if stem in replaced:
        return "replaced"
    if suffix == "parquet":
        return "table"
    return "vectors" if stem in tables else "orphan"


def _other_file(place: tuple[str, ...], name: str) -> str:
    if name.startswith(".") and name.endswith(".tmp"):
        return "temporary"
    if not place and name == "store.json":
        return "marker"
    return "spec" if len(place) == 2 and place[0] == "embeddings" and name == "spec.json" else "foreign"


def _is_known(place: tuple[str, ...], folder: str) -> bool:
    return place == ("embeddings",) or (not place and folder in ("images", "embeddings"))


def _entry(path: Path, kind: str) -> Entry | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:  # a job has renamed it meanwhile
        return None
    return Entry(path, kind, found.st_size, found.st_mode & 0o777, time.time() - found.st_mtime)
