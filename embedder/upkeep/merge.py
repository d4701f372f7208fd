"""Join stores that were made apart, e.g. on several machines."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from data.errors import StoreError
from data.files import PRIVATE, atomic_write
from data.remote import Place
from embedder.shards import Shard, ShardVanished, disk_errors, live_shards, make_folder, shard_names
from embedder.store import EmbeddingStore
from embedder.upkeep.files import relative, shard_folders, unchanged

_BLOCK = 4 << 20


@dataclass
class Merged:
    """What `merge` did: shards copied, shards that were there already, bytes copied."""

    copied: int = 0
    known: int = 0
    bytes: int = 0


def merge(
    sources: Sequence[EmbeddingStore],
    target: EmbeddingStore,
    *,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> Merged:
    """Copy what other stores hold into one, shard by shard, each checked against its hashes while it is copied.

    What a shard of the target replaces is not copied: what was forgotten there does not come back with the shard that
    held it. A stopped merge is continued by the same call. Images that two stores embedded are kept twice until
    `compact`.

    Parameters
    ----------
    on_progress : called with the shards done and their number.

    Raises
    ------
    StoreError : a source is the target, a shard of it is damaged or has other settings under the same fingerprint, or
        the disk refuses; what was copied before is kept.
    """
    for source in sources:
        if source.path.resolve() == target.path.resolve():
            raise StoreError(f"{source.path} would be merged into itself: name another target")
        _check_specs(source, target)
    merged = Merged()
    with ExitStack() as stack:
        stack.enter_context(disk_errors(target.path))
        for source in sources:
            stack.enter_context(unchanged(source))
        todo = [(source, folder, shards) for source in sources for folder, shards in _folders(source)]
        total = sum(len(shards) for _, _, shards in todo)
        for source, folder, shards in todo:
            copies = target.path / relative(source.path, folder)
            _prepare(source, target, copies)
            known = _known(copies)
            for shard in shards:
                if shard.name in known:
                    merged.known += 1
                else:
                    merged.bytes += _copy(shard, copies)
                    merged.copied += 1
                on_progress(merged.known + merged.copied, total)
    return merged


def _check_specs(source: EmbeddingStore, target: EmbeddingStore) -> None:
    held = target.specs()
    for fingerprint, spec in source.specs().items():
        other = held.get(fingerprint, spec)
        if other.dtype != spec.dtype:
            raise StoreError(
                f"{fingerprint} is {spec.dtype} in {source.path} and {other.dtype} in {target.path}: they cannot be one"
            )


def _folders(source: EmbeddingStore) -> Iterator[tuple[Place, list[Shard]]]:
    """Every folder's shards, so that each comes after those that hold what it left out (see `compact`); vectors
    come before the files they are known by.
    """
    for folder in shard_folders(source):
        shards = live_shards(folder)
        yield folder, shards[::-1] if folder.name == "images" else shards


def _prepare(source: EmbeddingStore, target: EmbeddingStore, folder: Place) -> None:
    if folder.name == "images":
        make_folder(folder)
    else:
        target.prepare(source.specs()[folder.name])


def _known(folder: Place) -> set[str]:
    """The shards that a folder holds or has replaced by others."""
    replaced = {old for shard in live_shards(folder) for old in shard.facts.get("replaces", ())}
    return shard_names(folder) | replaced


def _copy(shard: Shard, folder: Place) -> int:
    """Copy a shard, the vectors first, and return its bytes."""
    copy = Shard(folder, shard.name, shard.facts)
    size = 0
    try:
        if "vectors_sha256" in shard.facts:
            size += _copy_file(shard.vectors_path, copy.vectors_path, shard.facts["vectors_sha256"])
        size += _copy_file(shard.table_path, copy.table_path, shard.name[-16:])
    except FileNotFoundError:
        raise ShardVanished from None
    return size


def _copy_file(source: Place, target: Place, expected: str) -> int:
    """Copy a file whose SHA-256 begins with what is expected, and return its bytes."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as original, atomic_write(target, mode=PRIVATE) as file:
        while block := original.read(_BLOCK):
            digest.update(block)
            size += file.write(block)
        if not digest.hexdigest().startswith(expected):
            raise StoreError(f"{source} is damaged and was not copied: run `store verify`, it says what can be done")
    return size
