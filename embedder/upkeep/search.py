"""Look for images through every byte of a store: what `forget` rests on when it says that they are gone."""

import contextlib
import re
from collections.abc import Collection, Iterator, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.remote import Place
from embedder.shards import Shard, open_parquet, read_npy_header
from embedder.store import SHA256, EmbeddingStore
from embedder.upkeep.files import Entry, inventory, relative

_BLOCK = 4 << 20
_DIGITS = re.compile(f"(?=({SHA256}))".encode())  # at every place, also within longer runs of digits
_PLACES = 256 ** np.arange(8, dtype=np.uint64)


def search(
    store: EmbeddingStore, sha256: Set[str], vectors: dict[str, set[bytes]], *, kinds: Collection[str] = ()
) -> tuple[list[str], set[str]]:
    """Find hashes in every file and in what every table unpacks to, and vectors in every .npy.

    Parameters
    ----------
    vectors : the bytes of each, by fingerprint.
    kinds : of the entries to look at, see `Entry`; by default all.

    Returns
    -------
    (files, twins) : the files that hold one, or of which nobody can say, by their names in the store; and the contents
        not searched for to which a vector found belongs: two files of one picture have equal vectors.
    """
    found, twins = [], set()
    for entry in inventory(store.path):
        if entry.path.is_file() and (not kinds or entry.kind in kinds):
            with contextlib.suppress(FileNotFoundError):  # a job has renamed its temporary file
                is_there, others = _look(entry, sha256, vectors.get(entry.path.parent.name, set()))
                twins |= others
                if is_there:
                    found.append(relative(store.path, entry.path))
    return found, twins


def _look(entry: Entry, sha256: Set[str], vectors: set[bytes]) -> tuple[bool, set[str]]:
    """Whether a file holds one, and the twins in it."""
    if ".npy" in entry.path.suffixes:  # also of NAME.npy.0123.tmp
        owners = set(_owners(entry, vectors))
        twins = {owner for owner in owners if owner and owner not in sha256}
        return len(owners) > len(twins), twins
    is_there = bool(_hashes(entry.path, sha256))
    if ".parquet" in entry.path.suffixes and entry.kind != "foreign":
        is_there = is_there or _in_table(entry.path, sha256)
    return is_there, set()


def _hashes(path: Place, sha256: Set[str]) -> set[str]:
    """Which of the hashes stand in a file as they are."""
    found: set[str] = set()
    with path.open("rb") as file:
        end = b""
        while block := file.read(_BLOCK):
            text = end + block
            found |= {digits.decode() for digits in _DIGITS.findall(text)} & sha256
            end = text[-63:]
    return found


def _in_table(path: Place, sha256: Set[str]) -> bool:
    try:
        hashes = open_parquet(path).read(columns=["sha256"])["sha256"]
    except pa.ArrowInvalid:  # half-written: it may be in there
        return True
    return bool(pc.any(pc.is_in(hashes, pa.array(sorted(sha256), pa.string()))).as_py())


def _owners(entry: Entry, vectors: set[bytes]) -> Iterator[str | None]:
    """Whose rows of an .npy file are among some vectors: SHA-256s, or None without a table that tells."""
    rows = list(_rows_among(entry.path, vectors)) if vectors else []
    if not rows:
        return
    if entry.kind != "vectors":
        yield None
        return
    table = Shard(entry.path.parent, entry.path.stem, {}).table(["sha256", "row"])
    yield from table["sha256"].filter(pc.is_in(table["row"], pa.array(rows, pa.int32()))).to_pylist()


def _rows_among(path: Place, vectors: set[bytes]) -> Iterator[int]:
    """Which rows of an .npy file are among some vectors: their first bytes are compared, then, if equal, all."""
    size = len(next(iter(vectors)))
    head = min(size, 8)
    heads = np.array([vector[:head] for vector in vectors], f"V{head}")
    heads = np.unique(np.frombuffer(heads.tobytes(), np.uint8).reshape(-1, head).astype(np.uint64) @ _PLACES[:head])
    with path.open("rb") as file:
        try:
            read_npy_header(file)
        except ValueError:  # half-written, not even the header is there
            return
        start = 0
        while block := file.read(max(1, _BLOCK // size) * size):
            whole = len(block) // size * size
            rows = np.frombuffer(block[:whole], np.uint8).reshape(-1, size)
            alike = np.isin(rows[:, :head].astype(np.uint64) @ _PLACES[:head], heads)
            yield from (start + int(row) for row in np.flatnonzero(alike) if rows[row].tobytes() in vectors)
            start += len(rows)
            rest = block[whole:]  # of a half-written file
            if len(rest) >= head and any(vector.startswith(rest) for vector in vectors):
                yield start
