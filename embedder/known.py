"""What a store knows, held in memory for the length of a job: some 100 bytes a file and 32 a content, in sorted arrays.

Sets of Python strings would take five times as much, which decides at ten million images.
"""

import binascii
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from embedder.shards import Shard, read_shards
from embedder.store import EmbeddingStore, path_key

Hashes = NDArray[np.bytes_]  # "S32" for SHA-256s, "S16" for path_keys; trailing zero bytes do no harm, all are as long
Outcome = tuple[str, str]  # status and reason
Key = tuple[bytes, int]  # a content, and a face in it: 0 is the picture as a whole, those that are found count from 1

OK: Outcome = ("ok", "")
_RECENT = 1 << 12  # hashes that are kept apart until they are sorted in, or, where those are more,
_PART = 16  # a part of those that are sorted: so each is sorted in a few times only, however many come


class Contents:
    """A set of SHA-256s that only grows.

    Parameters
    ----------
    hashes : ndarray of shape (n,), "S32", in any order.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._sorted = np.unique(hashes.astype("S32", copy=False))
        self._recent: set[bytes] = set()
        self._shared = False

    def __contains__(self, sha256: bytes) -> bool:
        """Whether 32 bytes are in it; other threads may ask while this one adds."""
        return sha256 in self._recent or bool(find(self._sorted, np.array([sha256], "S32"))[0] >= 0)

    def holds(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Of many at once, (n,) to (n,)."""
        self._sort_in()
        return find(self._sorted, hashes) >= 0

    def add(self, hashes: Iterable[bytes]) -> None:
        """Put more in."""
        self._recent.update(hashes)
        if len(self._recent) >= max(_RECENT, len(self._sorted) // _PART) and not self._shared:
            self._sort_in()

    def save(self, path: Path) -> None:
        """Write them down for other processes."""
        self._sort_in()
        np.save(path, self._sorted, allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> "Contents":
        """What `save` wrote; processes that load one file share its memory."""
        contents = cls(np.empty(0, "S32"))
        contents._sorted, contents._shared = np.load(path, mmap_mode="r", allow_pickle=False), True
        return contents

    def _sort_in(self) -> None:
        if self._recent:
            recent = np.array(sorted(self._recent), "S32")
            places = np.searchsorted(self._sorted, recent)
            new = find(self._sorted, recent) < 0
            # first the one, then the other: who asks meanwhile finds a hash in one of them
            self._sorted = np.insert(self._sorted, places[new], recent[new])
            self._recent = set()


@dataclass
class Held:
    """Which contents need nothing more for a fingerprint, since a store has it, or will at the next commit.

    Attributes
    ----------
    settled : those that are not to be embedded.
    failed : what became of those of which nothing is ok.
    """

    settled: Contents
    failed: dict[bytes, Outcome]

    def add(self, found: Mapping[Key, Outcome]) -> None:
        """Note what became of some contents, all faces of each."""
        self.settled.add(sha256 for sha256, _ in found)
        ok = {sha256 for (sha256, _), outcome in found.items() if outcome == OK}
        for sha256 in ok:
            self.failed.pop(sha256, None)
        for (sha256, _), outcome in sorted(found.items(), key=_number, reverse=True):
            if sha256 not in ok:  # the first face's failure, which comes last here, stands for all
                self.failed[sha256] = outcome


def _number(found: tuple[Key, Outcome]) -> int:
    (_, face), _ = found
    return face


def held_in(store: EmbeddingStore, fingerprint: str, *, faces: bool = False, retry_failed: bool = False) -> Held:
    """What a store has of whole pictures, or of pictures in which it knows faces.

    Parameters
    ----------
    faces : whether it is faces that count, from 1; else the picture as a whole, which is 0.
    retry_failed : whether what failed is to be done again.
    """
    parts = [part for _, part in read_shards(store.folder(fingerprint), rows_of)]
    contents = [part.contents[part.ok & ((part.faces > 0) == faces)] for part in parts]
    settled = Contents(np.concatenate([np.empty(0, "S32"), *contents]))
    failed: dict[bytes, Outcome] = {}
    for part in parts:
        for (sha256, face), outcome in part.failures.items():
            if face == 0 and sha256 not in settled:
                failed.setdefault(sha256, outcome)
    if not retry_failed:
        settled.add(failed)
    return Held(settled, failed)


class Files:
    """Every file that a store knows, as it was found last.

    Attributes
    ----------
    keys : ndarray of shape (n,), "S16", sorted: the path_keys.
    sizes, times : ndarrays of shape (n,), int64: bytes, and mtime in nanoseconds.
    contents : ndarray of shape (n,), "S32".
    paths : Arrow array of n strings, relative; empty where names are not kept.
    """

    def __init__(self, store: EmbeddingStore) -> None:
        read = [part for _, part in read_shards(store.path / "images", _files)]
        keys = np.concatenate([np.empty(0, "S16"), *(part[0] for part in read)])
        _, last = np.unique(keys[::-1], return_index=True)
        newest = len(keys) - 1 - last
        self.keys = keys[newest]
        self.sizes, self.times = (
            np.concatenate([np.empty(0, np.int64), *(part[column] for part in read)])[newest] for column in (1, 2)
        )
        self.contents = np.concatenate([np.empty(0, "S32"), *(part[3] for part in read)])[newest]
        self.paths = pa.concat_arrays([pa.array([], pa.large_string()), *(part[4] for part in read)]).take(newest)

    def find(self, keys: Hashes) -> NDArray[np.int64]:
        """Where files with these keys are, (n,) to (n,); -1 for unknown ones."""
        return find(self.keys, keys)

    @property
    def named(self) -> bool:
        """Whether there is a name of any file."""
        return bool(pc.any(pc.not_equal(self.paths, "")).as_py())

    @property
    def nameless(self) -> bool:
        """Whether there is a file without its name."""
        return bool(pc.any(pc.equal(self.paths, "")).as_py())

    def content(self, place: int) -> bytes:
        """The SHA-256 of a file, 32 bytes."""
        return self.contents[place : place + 1].tobytes()  # of a single one NumPy would strip zero bytes

    def with_content(self, sha256: bytes) -> NDArray[np.int64]:
        """Where files with these bytes are."""
        wanted = np.array(sha256, "S32")
        order, contents = self._by_content
        start, stop = np.searchsorted(contents, wanted, "left"), np.searchsorted(contents, wanted, "right")
        return order[start:stop]

    @functools.cached_property
    def _by_content(self) -> tuple[NDArray[np.int64], Hashes]:
        order = np.argsort(self.contents, kind="stable")
        return order, self.contents[order]

    def gone(self, listed: Hashes, roots: Sequence[str]) -> Iterator[str]:
        """The paths of files that once lay below some folders and are not among those listed, which are sorted."""
        for place in np.flatnonzero(find(listed, self.keys) < 0).tolist():
            if self.is_below(place, roots):
                yield self.paths[place].as_py()

    def is_below(self, place: int, roots: Sequence[str]) -> bool:
        """Whether a file lay below one of some folders: only then do its path and its key go together."""
        path = self.paths[place].as_py()
        key = self.keys[place : place + 1].tobytes()
        return bool(path) and any(binascii.unhexlify(path_key(root + path)) == key for root in roots)


def keys_of(paths: Iterable[str]) -> Hashes:
    """The path_keys of absolute paths: shape (n,), "S16"."""
    return _unhexed(map(path_key, paths), "S16")


def digests(hashes: Iterable[str]) -> Hashes:
    """SHA-256s of 64 hexadecimal digits as 32 bytes each: shape (n,), "S32"."""
    return _unhexed(hashes, "S32")


def _unhexed(texts: Iterable[str], dtype: str) -> Hashes:
    return np.fromiter(map(binascii.unhexlify, texts), dtype)


def find(ordered: Hashes, wanted: Hashes) -> NDArray[np.int64]:
    """Where each of some hashes is among sorted ones, (n,) to (n,); -1 where it is not."""
    places = np.searchsorted(ordered, wanted)
    places[places == len(ordered)] = 0
    return np.where(ordered[places] == wanted, places, -1) if len(ordered) else np.full(len(wanted), -1)


class RowsOf(NamedTuple):
    """The rows of a shard of embeddings: content, face and whether it has a vector; and why not."""

    contents: Hashes
    faces: NDArray[np.int16]
    ok: NDArray[np.bool_]
    failures: dict[Key, Outcome]


def rows_of(shard: Shard) -> RowsOf:
    """What a shard of embeddings says of which contents."""
    table = shard.table(["sha256", "face", "status", "reason", "row"])
    contents, faces = digests(table["sha256"].to_pylist()), table["face"].to_numpy()
    ok = table["row"].is_valid().to_numpy()
    rest = table.filter(pc.invert(table["row"].is_valid())).to_pydict()
    keys = zip(map(binascii.unhexlify, rest["sha256"]), rest["face"], strict=True)
    failures = dict(zip(keys, zip(rest["status"], rest["reason"], strict=True), strict=True))
    return RowsOf(contents, faces, ok, failures)


def _files(shard: Shard) -> tuple[Hashes, NDArray[np.int64], NDArray[np.int64], Hashes, pa.Array]:
    """A shard of images/ in arrays: keys, sizes, times, contents, paths."""
    table = shard.table()
    return (
        _unhexed(table["path_key"].to_pylist(), "S16"),
        table["size"].to_numpy(),
        table["mtime_ns"].to_numpy(),
        digests(table["sha256"].to_pylist()),
        table["path"].cast(pa.large_string()).combine_chunks(),
    )
