"""Bring the small shards of many short runs together, and drop rows that say what an earlier one says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from embedder.shards import Shard, live_shards
from embedder.store import EmbeddingStore
from embedder.upkeep.files import alone, relative, shard_folders
from embedder.upkeep.repeats import find_repeats
from embedder.upkeep.rewrite import Keep, finish, replace

FULL_ROWS, FULL_BYTES = 1 << 16, 32 << 20  # of a shard that is not made larger: what is read or rewritten at once


@dataclass(frozen=True)
class Compacted:
    """What `compact` did in one folder: its name, its shards before and after, and the rows that were dropped."""

    folder: str
    before: int
    after: int
    dropped: int


def compact(
    store: EmbeddingStore, *, on_progress: Callable[[int, int], object] = lambda done, total: None
) -> list[Compacted]:
    """Rewrite neighbouring small shards as one, of 65,536 rows or 32 MB of vectors at most.

    Of rows of embeddings, those go that an earlier one equals bit by bit; of rows of images/, those of which the file
    has a newer one. Readers and writers may be at work meanwhile. A second run finds nothing to do.

    Parameters
    ----------
    on_progress : called with the shards done and their number.

    Raises
    ------
    StoreError : a shard is damaged, another command rewrites the store, or the disk refuses.
    """
    done: list[Compacted] = []
    with alone(store):
        folders = shard_folders(store)
        for folder in folders:
            finish(folder)
        shards = {folder: live_shards(folder) for folder in folders}
        total, passed = sum(map(len, shards.values())), 0
        for folder in folders:
            keep = _newest(shards[folder]) if folder.name == "images" else _unrepeated(shards[folder])
            groups = _groups(shards[folder], keep)
            for group in groups:
                if len(group) > 1 or not keep[group[0]].all():
                    replace(folder, [(shards[folder][n], keep[n]) for n in group])
                passed += len(group)
                on_progress(passed, total)
            dropped = sum(int((~rows).sum()) for rows in keep)
            done.append(Compacted(relative(store.path, folder), len(shards[folder]), len(groups), dropped))
    return done


def _unrepeated(shards: Sequence[Shard]) -> list[Keep]:
    """Which rows of embeddings stay."""
    keep = [np.ones(shard.facts["rows"], bool) for shard in shards]
    for repeats in find_repeats(shards):
        keep[repeats.shard][repeats.rows[repeats.equal]] = False
    return keep


def _newest(shards: Sequence[Shard]) -> list[Keep]:
    """Which rows of images/ stay: of every path_key the last."""
    keys = [np.array(shard.table(["path_key"])["path_key"].to_pylist(), "S32") for shard in shards]
    ends = np.cumsum([0, *map(len, keys)])
    _, last = np.unique(np.concatenate([np.empty(0, "S32"), *keys])[::-1], return_index=True)
    keep = np.zeros(ends[-1], bool)
    keep[ends[-1] - 1 - last] = True
    return [keep[start:end] for start, end in pairwise(ends)]


def _groups(shards: Sequence[Shard], keep: Sequence[Keep]) -> list[list[int]]:
    """Neighbours whose remaining rows fit into one shard."""
    groups: list[list[int]] = []
    rows, size = 0, 0
    for number, shard in enumerate(shards):
        more_rows, more_bytes = int(keep[number].sum()), _bytes(shard, keep[number])
        if not groups or rows + more_rows > FULL_ROWS or size + more_bytes > FULL_BYTES:
            groups.append([])
            rows, size = 0, 0
        groups[-1].append(number)
        rows, size = rows + more_rows, size + more_bytes
    return groups


def _bytes(shard: Shard, keep: Keep) -> int:
    """Of the vectors that remain."""
    if not shard.facts.get("vectors"):
        return 0
    kept = int((shard.table(["row"])["row"].is_valid().to_numpy() & keep).sum())
    return shard.vectors(np.zeros(1, np.int64)).nbytes * kept
