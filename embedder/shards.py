"""Shards: the files a store consists of. Each is a Parquet table, with an .npy of vectors beside it if it has any.

    TIME-HASH.npy       the vectors, written first
    TIME-HASH.parquet   the rows, and as metadata the facts, among them the SHA-256 of the .npy; renamed into place, it
                        is the commit: without it the .npy does not exist; in object storage both are put as they are

TIME sorts by time of writing. HASH is 16 digits of the SHA-256 of the .parquet, so a shard's name tells whether a byte
of it has changed, and equal shards have equal names. A shard never changes. Another one can replace it: the names of
those replaced are in its facts, so its commit is the moment at which readers see the new one and no longer the old.
"""

import calendar
import contextlib
import hashlib
import io
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.errors import StoreError
from data.files import PRIVATE, atomic_write, sync_folder
from data.remote import Place, RemotePath

VERSION = 1
IMAGES = pa.schema(
    [
        ("path_key", pa.string()),  # SHA-256 of the absolute path, 32 digits: tells equal names in two folders apart
        ("path", pa.string()),  # image_id: relative, POSIX
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
    ]
)
ROWS = pa.schema(
    [
        ("sha256", pa.string()),
        ("face", pa.int16()),
        ("status", pa.dictionary(pa.int32(), pa.string())),
        ("reason", pa.string()),
        ("row", pa.int32()),  # into the shard's .npy; null unless status is ok
    ]
)
NAME = re.compile(r"\d{8}T\d{15}-[0-9a-f]{16}")
_SECONDS = "%Y%m%dT%H%M%S"
_LISTINGS = 100  # of a folder until two in a row agree: a `compact` at work settles within a few
_PAUSE = 0.1  # seconds before a listed shard that is not there is looked for again: a network drive may lag

T = TypeVar("T")


class ShardVanished(Exception):
    """A shard was replaced by another after it had been listed."""


@dataclass(frozen=True)
class Shard:
    """One committed shard.

    Attributes
    ----------
    folder, name : where it is; its files are `folder/name.parquet` and `folder/name.npy`.
    facts : its metadata: version; rows (how many); for embeddings fingerprint, vectors (how many), vectors_sha256
        (if any), seconds (that the backbone took); replaces (names of shards, if any).

    Its methods raise ShardVanished if it was replaced meanwhile, StoreError if it is damaged.
    """

    folder: Place
    name: str
    facts: dict[str, Any] = field(compare=False, repr=False)

    @property
    def table_path(self) -> Place:
        return self.folder / f"{self.name}.parquet"

    @property
    def vectors_path(self) -> Place:
        return self.folder / f"{self.name}.npy"

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Its rows, or some columns of them."""
        with _reading(self.table_path), open_parquet(self.table_path) as file:
            return file.read(columns=columns, use_threads=False)

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """The vectors of some rows of the .npy, in their order: shape (len(rows), *dim).

        They are read, not mapped: a mapped file that another machine removes would kill this process.
        """
        with _reading(self.vectors_path), self.vectors_path.open("rb") as file:
            shape, dtype = read_npy_header(file)
            found = np.empty((len(rows), *shape[1:]), dtype)
            if not found.size:
                return found
            if not 0 <= rows.min() <= rows.max() < shape[0]:
                raise ValueError(f"{shape[0]} vectors, of which its rows ask for number {rows.max()}")
            begin, size = file.tell(), dtype.itemsize * math.prod(shape[1:])
            content = found.reshape(-1).view(np.uint8).data
            breaks = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()  # consecutive rows are read at once
            for start, stop in zip([0, *breaks], [*breaks, len(rows)], strict=True):
                file.seek(begin + int(rows[start]) * size)
                if file.readinto(content[start * size : stop * size]) < (stop - start) * size:
                    raise ValueError("it is cut short")
            return found


def read_shards(folder: Place, read: Callable[[Shard], T]) -> list[tuple[Shard, T]]:
    """Do something with every shard of a folder that no other replaces, and return the results in order of name.

    Shards may be added and replaced meanwhile. A listing that runs beside a replacement can miss both the old shard and
    the new; the next one shows the new. So the folder is listed until that shows nothing else than the time before.

    Raises
    ------
    StoreError : one of them is damaged.
    """
    done: dict[str, tuple[Shard, T]] = {}
    before = None
    for _ in range(_LISTINGS):
        names = shard_names(folder)
        if names == before and done.keys() >= names:
            replaced = {old for shard, _ in done.values() for old in shard.facts.get("replaces", ())}
            return [done[name] for name in sorted(names - replaced)]
        if names == before:
            time.sleep(_PAUSE)
        for name in sorted(names - done.keys()):
            with contextlib.suppress(ShardVanished):
                shard = open_shard(folder, name)
                done[name] = shard, read(shard)
        before = names
    raise StoreError(f"{folder} changes faster than it can be read: run the same command again")


def live_shards(folder: Place) -> list[Shard]:
    """The shards of a folder that no other replaces, in order of name."""
    return [shard for shard, _ in read_shards(folder, lambda shard: None)]


def shard_names(folder: Place) -> set[str]:
    """What a folder's shards are called, replaced ones included; none where there is no folder."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise StoreError(f"{folder} cannot be read ({error.strerror}): mend its permissions") from None
    stems = (name.removesuffix(".parquet") for name in names if name.endswith(".parquet"))
    return {stem for stem in stems if NAME.fullmatch(stem)}


def open_shard(folder: Place, name: str) -> Shard:
    """A shard with its facts; raises as its methods do."""
    path = folder / f"{name}.parquet"
    with _reading(path), open_parquet(path) as file:
        return Shard(folder, name, facts_of(file.schema_arrow))


def open_parquet(path: Place) -> pq.ParquetFile:
    """Open a table; raises as `open` and pyarrow do."""
    return pq.ParquetFile(path.open() if isinstance(path, RemotePath) else path)


def facts_of(schema: pa.Schema) -> dict[str, Any]:
    """The facts in a table's metadata; ValueError if there are none."""
    facts = json.loads((schema.metadata or {}).get(b"faceprobe", b"null"))
    if not isinstance(facts, dict) or "rows" not in facts:
        raise ValueError("it is no table of a store")
    return facts


def write_shard(
    folder: Place,
    table: pa.Table,
    vectors: NDArray[Any] | None = None,
    *,
    facts: dict[str, Any],
    replaces: Sequence[Shard] = (),
) -> Shard:
    """Commit a shard, whole or not at all.

    One that replaces others takes the time of the newest of them, so that what has been written since comes after it.
    Equal arguments then give equal files of equal names: a repetition after a crash changes nothing.
    """
    facts = {"version": VERSION, "rows": len(table), **facts}
    content = _npy(vectors) if vectors is not None and len(vectors) else ()
    if content:
        digest = hashlib.sha256()
        for part in content:
            digest.update(part)
        facts["vectors_sha256"] = digest.hexdigest()
    if replaces:
        facts["replaces"] = sorted(shard.name for shard in replaces)
    rows = _parquet(table, facts)
    stamp = max((_stamp(shard.name) for shard in replaces), default=None) or _next_stamp(folder)
    shard = Shard(folder, f"{stamp}-{name_hash(rows)}", facts)
    if content:
        with atomic_write(shard.vectors_path, mode=PRIVATE) as file:
            for part in content:
                file.write(part)
    with atomic_write(shard.table_path, mode=PRIVATE) as file:
        file.write(rows)
    return shard


def name_hash(rows: bytes | pa.Buffer) -> str:
    """What the name of a shard ends in, from the bytes of its .parquet."""
    return hashlib.sha256(rows).hexdigest()[:16]


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of an .npy file, read to where its numbers begin.

    Raises
    ------
    ValueError : it is none, or of a kind that no store has.
    """
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("expected version 1.0 of the .npy format")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if by_columns or dtype.hasobject or not shape:
        raise ValueError("expected rows of numbers")
    return shape, dtype


def remove(paths: Sequence[Place]) -> None:
    """Remove files in their order; those that are gone already do no harm. They stay gone after a power cut."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink() if isinstance(path, RemotePath) else os.unlink(path)
    for folder in {path.parent for path in paths}:
        sync_folder(folder)


def make_folder(path: Place) -> None:
    """Make a private folder, if it is not there; object storage has none to be made."""
    if isinstance(path, RemotePath):
        return
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


@contextlib.contextmanager
def disk_errors(path: Place) -> Iterator[None]:
    """Say in one line what a full or read-only disk means; nothing half-written is left behind."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write to {path}: {error.strerror or error}. What was committed before is kept; "
            "make room or mend the permissions and run the same command again"
        ) from None


@contextlib.contextmanager
def _reading(path: Place) -> Iterator[None]:
    """Tell a shard that was replaced from one that is damaged."""
    try:
        yield
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        if not path.with_suffix(".parquet").exists():
            raise ShardVanished from None
        raise StoreError(
            f"{path} is missing or damaged ({error}): run `store verify`, it says what can be done"
        ) from None


def _stamp(name: str) -> str:
    return name.partition("-")[0]


def _next_stamp(folder: Place) -> str:
    """The time in UTC, or just after the newest shard if the clock has been put back since, or another's is ahead."""
    now = _format_time(time.time_ns())
    newest = max(map(_stamp, shard_names(folder)), default="")
    if now > newest:
        return now
    seconds = calendar.timegm(time.strptime(newest[:15], _SECONDS))
    return _format_time(seconds * 10**9 + int(newest[15:]) + 1)


def _format_time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{time.strftime(_SECONDS, time.gmtime(seconds))}{rest:09}"


def _npy(array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """What `np.save` writes: the header, and the array's own memory, of which there is no copy."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue(), array.data.cast("B")


def _parquet(table: pa.Table, facts: dict[str, Any]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({"faceprobe": json.dumps(facts)})
    repeated = [name for name in ("status", "reason") if name in table.column_names]
    pq.write_table(table, sink, compression="zstd", use_dictionary=repeated)
    return sink.getvalue()
