"""Every file of a store, by what it is for; and the lock by which rewriting commands keep out of each other's way."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from data.errors import StoreError
from data.remote import Place, RemotePath, StorageError
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
    bytes, mode, age : its size, its permission bits (0 in object storage), and the seconds since it was written.
    """

    path: Place
    kind: str
    bytes: int
    mode: int
    age: float


def inventory(root: Place) -> list[Entry]:
    """Everything that is in a store's folder, the folder itself first."""
    shards: dict[Place, _Shards] = {}
    entries = []
    for path, is_folder, size, mode, written in _objects(root) if isinstance(root, RemotePath) else _files(root):
        within = PurePosixPath(relative(root, path)).parts
        if is_folder:
            kind = "folder" if _is_known(within) else "foreign"
        elif not _holds_shards(within[:-1]):
            kind = _other_file(within)
        else:
            if path.parent not in shards:
                shards[path.parent] = _shards(path.parent)
            kind = _shard_file(path.name, shards[path.parent]) or _other_file(within)
        entries.append(Entry(path, kind, size, mode, time.time() - written))
    return entries


def relative(root: Place, path: Place) -> str:
    """The name of a file or folder within a store."""
    return path.relative_to(root).as_posix()  # type: ignore[arg-type]  # both are of one kind


def shard_folders(store: EmbeddingStore) -> list[Place]:
    """The folders that hold shards: a fingerprint's each, and images/ last."""
    return [*(store.folder(fingerprint) for fingerprint in store.specs()), store.path / "images"]


@contextlib.contextmanager
def alone(store: EmbeddingStore) -> Iterator[None]:
    """Keep other commands that rewrite shards out until the block ends. Who only reads or adds needs no lock.

    The lock is the system's own (flock on store.json), so it ends with the process, however that ends. A network drive
    may have no locks, object storage has none; then a shard that vanishes tells that two are at work.

    Raises
    ------
    StoreError : another is at work, or the disk refuses.
    """
    busy = StoreError(f"another command is rewriting {store.path}: wait until it has ended and run the same again")
    with disk_errors(store.path), contextlib.ExitStack() as stack:
        if not isinstance(store.path, RemotePath):
            file = stack.enter_context(open(store.path / "store.json", "rb+"))
            if not _lock(file):
                raise busy
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


class _Found(NamedTuple):
    """What the file system says of a file or folder: its permission bits, and when it was written, in seconds."""

    path: Place
    is_folder: bool
    bytes: int
    mode: int
    written: float


def _files(root: Path) -> Iterator[_Found]:
    yield from _found(root, is_folder=True)
    for name, folders, files in os.walk(root):
        folders.sort()
        for each in folders:
            yield from _found(Path(name, each), is_folder=True)
        for each in sorted(files):
            yield from _found(Path(name, each), is_folder=False)


def _found(path: Path, *, is_folder: bool) -> Iterator[_Found]:
    with contextlib.suppress(FileNotFoundError):  # a job has renamed it meanwhile
        status = os.lstat(path)
        yield _Found(path, is_folder, status.st_size, status.st_mode & 0o777, status.st_mtime)


def _objects(root: RemotePath) -> Iterator[_Found]:
    yield _Found(root, True, 0, 0, time.time())
    for name, is_folder, status in root.listing(recursive=True):
        yield _Found(root / name, is_folder, status.st_size, 0, status.st_mtime_ns / 1e9)


class _Shards(NamedTuple):
    """The names of a folder's shards, and of those that others replaced."""

    tables: set[str]
    replaced: set[str]


def _shards(folder: Place) -> _Shards:
    tables = shard_names(folder)
    return _Shards(tables, {old for table in tables for old in _replaced_by(folder, table)})


def _replaced_by(folder: Place, name: str) -> list[str]:
    try:
        return open_shard(folder, name).facts.get("replaces", [])
    except StorageError:
        raise
    except (ShardVanished, StoreError):
        return []


def _shard_file(name: str, shards: _Shards) -> str:
    stem, _, suffix = name.rpartition(".")
    if not NAME.fullmatch(stem) or suffix not in ("parquet", "npy"):
        return ""
    if stem in shards.replaced:
        return "replaced"
    if suffix == "parquet":
        return "table"
    return "vectors" if stem in shards.tables else "orphan"


def _other_file(within: tuple[str, ...]) -> str:
    *folders, name = within
    if name.startswith(".") and name.endswith(".tmp"):
        return "temporary"
    if not folders and name == "store.json":
        return "marker"
    return "spec" if len(folders) == 2 and folders[0] == "embeddings" and name == "spec.json" else "foreign"


def _holds_shards(within: tuple[str, ...]) -> bool:
    return within == ("images",) or (len(within) == 2 and within[0] == "embeddings")


def _is_known(within: tuple[str, ...]) -> bool:
    return within in ((), ("embeddings",)) or _holds_shards(within)


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; False if another process has. Where there are no locks, anyone may go on."""
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
