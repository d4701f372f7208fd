"""Remove what stopped commands and jobs left behind."""

from dataclasses import dataclass

from embedder.shards import remove
from embedder.store import EmbeddingStore
from embedder.upkeep.files import SETTLED, UNFINISHED, alone, inventory, relative, shard_folders
from embedder.upkeep.rewrite import finish


@dataclass(frozen=True)
class Collected:
    """What `gc` removed, or would: paths within the store, their bytes, and the paths left because they are too new."""

    removed: list[str]
    bytes: int
    too_new: list[str]


def gc(store: EmbeddingStore, *, older_than: float = SETTLED, dry_run: bool = False) -> Collected:
    """Remove shards that others replaced, and vectors without a table and half-written files of a certain age.

    Parameters
    ----------
    older_than : seconds; a running job may be about to commit what is newer.

    Raises
    ------
    StoreError : another command rewrites the store, or the disk refuses.
    """
    with alone(store):
        entries = inventory(store.path)
        unfinished = [entry for entry in entries if entry.kind in UNFINISHED]
        old = [entry for entry in unfinished if entry.age >= older_than]
        replaced = [entry for entry in entries if entry.kind == "replaced"]
        if not dry_run:
            for folder in shard_folders(store) if replaced else ():
                finish(folder)
            remove([entry.path for entry in old if not entry.path.with_suffix(".parquet").exists()])
    return Collected(
        [relative(store.path, entry.path) for entry in [*replaced, *old]],
        sum(entry.bytes for entry in [*replaced, *old]),
        [relative(store.path, entry.path) for entry in unfinished if entry not in old],
    )
