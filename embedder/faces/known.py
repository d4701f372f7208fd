"""Which faces a store knows, held in memory for the length of a job: some 60 bytes a face."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from embedder.faces.choice import TRAITS, Choice
from embedder.faces.table import Rows, column
from embedder.known import Contents, Hashes, Held, Outcome, digests, held_in, rows_of
from embedder.shards import Shard, ShardVanished, read_shards
from embedder.store import EmbeddingStore

_KEY = "S34"  # 32 bytes of a content and two of a face's number


class _Index(NamedTuple):
    """The faces in one shard: contents, numbers, rows of its .npy, and what a choice goes by."""

    contents: Hashes
    faces: NDArray[np.int16]
    rows: NDArray[np.int32]
    traits: NDArray[np.float32]


class KnownFaces:
    """The Faces table of one detector in a store.

    Attributes
    ----------
    store : where it is.
    contents : ndarray of shape (n,), "S32": of which content each face is, sorted.
    faces : ndarray of shape (n,), int16: its number there, from 1.
    """

    def __init__(self, store: EmbeddingStore, fingerprint: str) -> None:
        self.store = store
        read = read_shards(store.folder(fingerprint), _index_of)
        self._shards = [shard for shard, _ in read]
        parts = [part for _, part in read]
        contents = np.concatenate([np.empty(0, "S32"), *(part.contents for part in parts)])
        faces = np.concatenate([np.empty(0, np.int16), *(part.faces for part in parts)])
        order = np.lexsort((faces, contents))  # stable: of two jobs that found one face the first counts
        contents, faces = contents[order], faces[order]
        once = np.ones(len(order), bool)
        once[1:] = (contents[1:] != contents[:-1]) | (faces[1:] != faces[:-1])
        order = order[once]
        self.contents, self.faces = contents[once], faces[once]
        self._rows = np.concatenate([np.empty(0, np.int32), *(part.rows for part in parts)])[order]
        self._shard = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])[order]
        self._traits = np.concatenate([np.empty((0, len(TRAITS)), np.float32), *(part.traits for part in parts)])[order]

    @property
    def traits(self) -> Mapping[str, NDArray[np.float32]]:
        """What a choice goes by, of every face."""
        return dict(zip(TRAITS, self._traits.T, strict=True))

    @property
    def first(self) -> NDArray[np.bool_]:
        """Where the faces of another content begin."""
        first = np.ones(len(self.contents), bool)
        first[1:] = self.contents[1:] != self.contents[:-1]
        return first

    def wanted(self, choice: Choice) -> NDArray[np.bool_]:
        """Which of all faces a choice wants, (n,)."""
        return choice.wanted(self.traits, self.first)

    def refusals(self, choice: Choice) -> dict[bytes, Outcome]:
        """The contents with faces none of which a choice wants, and why."""
        traits, starts = self.traits, np.flatnonzero(self.first)
        wanted = choice.wanted(traits, self.first)
        stops = np.append(starts[1:], len(wanted))
        none = np.add.reduceat(wanted, starts) == 0 if len(starts) else np.empty(0, bool)
        refused = {}
        for start, stop in zip(starts[none].tolist(), stops[none].tolist(), strict=True):
            faces = {name: values[start:stop] for name, values in traits.items()}
            refused[self.contents[start : start + 1].tobytes()] = choice.explain(faces)
        return refused

    def held(self, fingerprint: str, wanted: NDArray[np.bool_], *, retry_failed: bool = False) -> Held:
        """What the store has of wanted faces: a content is settled once each of them has a row."""
        held = held_in(self.store, fingerprint, faces=True, retry_failed=retry_failed)
        parts = [part for _, part in read_shards(self.store.folder(fingerprint), rows_of)]
        rows = np.concatenate([np.empty(0, _KEY), *(_keys(part.contents, part.faces) for part in parts)])
        ok = np.concatenate([np.empty(0, bool), *(part.ok for part in parts)])
        keys = _keys(self.contents, self.faces)
        fine, missing = wanted & np.isin(keys, rows[ok]), wanted & ~np.isin(keys, rows)
        failures = {key: outcome for part in parts for key, outcome in part.failures.items()}
        hopeless = wanted & ~np.isin(self.contents, self.contents[fine | missing])
        for at in np.flatnonzero(hopeless)[::-1].tolist():  # the first face's failure stands for all
            sha256 = self.contents[at : at + 1].tobytes()
            held.failed[sha256] = failures[sha256, int(self.faces[at])]
        unfinished = self.contents[missing | hopeless] if retry_failed else self.contents[missing]
        complete = Contents(self.contents[np.isin(self.contents, unfinished, invert=True)])
        if not retry_failed:
            complete.add(held.failed)
        return Held(complete, held.failed)

    def rows_of(self, sha256: bytes) -> Rows | None:
        """The faces of one content, (k, columns), largest first; None if it has none, or they lie elsewhere now."""
        wanted = np.array(sha256, "S32")
        start, stop = np.searchsorted(self.contents, wanted, "left"), np.searchsorted(self.contents, wanted, "right")
        if start == stop:
            return None
        shards, rows = self._shard[start:stop], self._rows[start:stop]
        try:
            found = {each: iter(self._shards[each].vectors(rows[shards == each])) for each in set(shards.tolist())}
        except ShardVanished:  # `compact` is at work
            return None
        return np.stack([next(found[each]) for each in shards.tolist()])


def _keys(contents: Hashes, faces: NDArray[np.int16]) -> Hashes:
    """Contents and faces as one string each: shape (n,), _KEY."""
    numbers = faces.astype(">i2").view(np.uint8).reshape(-1, 2)
    parts = np.concatenate([np.ascontiguousarray(contents).view(np.uint8).reshape(-1, 32), numbers], axis=1)
    return parts.view(_KEY)[:, 0]


def _index_of(shard: Shard) -> _Index:
    table = shard.table(["sha256", "face", "row"])
    table = table.filter(pc.is_valid(table["row"]))
    rows = table["row"].to_numpy()
    traits = np.empty((0, len(TRAITS)), np.float32)
    if len(rows):  # else there is no .npy
        vectors = shard.vectors(rows)
        traits = np.stack([column(vectors, name) for name in TRAITS], axis=1)
    return _Index(digests(table["sha256"].to_pylist()), table["face"].to_numpy(), rows, traits)
