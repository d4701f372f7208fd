"""Take images out of a store, so that no file of it holds anything of them."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import StoreError
from data.remote import Place, is_remote, place
from embedder.shards import IMAGES, ShardVanished, live_shards, open_shard, read_shards, shard_names
from embedder.store import EmbeddingStore, path_key
from embedder.upkeep.files import UNFINISHED, alone, shard_folders
from embedder.upkeep.gc import gc
from embedder.upkeep.rewrite import replace
from embedder.upkeep.search import search

_HASH = re.compile("[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Forgotten:
    """What `forget` took out, or would.

    Attributes
    ----------
    sha256 : of the images.
    paths : the names under which the store knew them: all names of the same bytes.
    rows : how many rows of embeddings, by fingerprint.
    twins : contents that stay and have the very same vector as one that went: the same picture in another file.
    """

    sha256: list[str]
    paths: list[str]
    rows: dict[str, int]
    twins: list[str]


def forget(store: EmbeddingStore, names: Sequence[str], *, dry_run: bool = False) -> Forgotten:
    """Remove every row and vector of some images from every file, and look through all of them afterwards.

    A kill leaves a store that reads correctly; the same call finishes the work. Jobs that have read one of the images
    already may add it again: stop them before. Backups and a disk's free blocks are out of reach.

    Parameters
    ----------
    names : files that exist (their content, and what the store found in them), s3:// ones also if they are gone, paths
        as the store recorded them, or SHA-256s, of which 8 digits do if they say which.

    Raises
    ------
    StoreError : a name is unknown or ambiguous, a shard is damaged, a running job may be about to commit something,
        another command rewrites the store, or the disk refuses; or something of the images is still there.
    """
    asked = resolve(store, names)
    wanted = pa.array(asked, pa.string())
    images = _image_rows(store, "sha256", asked)
    paths = sorted(set(images["path"].to_pylist()))
    if dry_run:
        return Forgotten(asked, paths, {folder.name: n for folder, n, _ in _held(store, wanted)}, [])
    gc(store)
    with alone(store):
        held = _held(store, wanted)
        vectors = {folder.name: vectors for folder, _, vectors in held}
        # of what nobody has committed the rows are not known later on: look before the vectors are gone
        unfinished, _ = search(store, set(asked), vectors, kinds=UNFINISHED)
        if unfinished:
            raise StoreError(
                f"{', '.join(unfinished)}: a job at work, or one that was stopped, has not committed this, and it may "
                "hold some. Stop the job and run `store gc --older-than 0`; then run the same command again"
            )
        for folder in shard_folders(store):  # images/ last: until then a path says what to forget
            _rewrite(folder, wanted)
        left, twins = search(store, set(asked), vectors)
    if left:
        raise StoreError(
            f"not all of it is gone: {', '.join(left)} still hold some. A job may have written it meanwhile: "
            "stop it and run the same command again"
        )
    return Forgotten(asked, paths, {folder.name: n for folder, n, _ in held}, sorted(twins))


def resolve(store: EmbeddingStore, names: Sequence[str]) -> list[str]:
    """The SHA-256s of the images that are meant, in order.

    What a stopped command left to be removed is looked at as well: its work can be named by the same names.
    """
    found: set[str] = set()
    for name in names:
        if os.path.isdir(name):
            raise StoreError(f"{name} is a folder: name the files in it")
        if is_remote(name):
            found |= _by_url(store, name)
        elif os.path.isfile(name):
            found |= {_file_sha256(Path(name)), *_image_rows(store, "path_key", [path_key(name)])["sha256"].to_pylist()}
        elif _HASH.fullmatch(name):
            found |= {name} if len(name) == 64 else {_by_prefix(store, name)}
        else:
            found |= _by_path(store, name)
    return sorted(found)


def _file_sha256(path: Place) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(partial(file.read, 1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): name it by its SHA-256") from None
    return digest.hexdigest()


def _by_url(store: EmbeddingStore, url: str) -> set[str]:
    """What the store found in an object, which may be gone, and what is in it now."""
    hashes = set(_image_rows(store, "path_key", [path_key(url)])["sha256"].to_pylist())
    path = place(url)
    if path.is_file():
        hashes.add(_file_sha256(path))
    if not hashes:
        raise StoreError(f"{url} is no object, and {store.path} knows no image of that name: give its SHA-256")
    return hashes


def _by_prefix(store: EmbeddingStore, prefix: str) -> str:
    hashes: set[str] = set()
    for folder in shard_folders(store):
        for table in _all_tables(folder, ["sha256"]):
            hashes |= set(table["sha256"].filter(pc.starts_with(table["sha256"], prefix)).to_pylist())
    if len(hashes) > 1:
        raise StoreError(f"{prefix} could be any of {', '.join(sorted(hashes))}: give more digits")
    if not hashes:
        raise StoreError(f"{store.path} has nothing whose SHA-256 begins with {prefix}: give all 64 digits to be sure")
    return hashes.pop()


def _by_path(store: EmbeddingStore, path: str) -> set[str]:
    rows = _image_rows(store, "path_key", [path_key(path)])  # where it was, though no name is kept and it is gone
    rows = rows if len(rows) else _image_rows(store, "path", [path])
    hashes = set(rows["sha256"].to_pylist())
    if not hashes:
        raise StoreError(
            f"{path} is no file, and {store.path} knows no image of that name: give its SHA-256 (8 digits or more)"
        )
    if len(hashes) > 1 and len(set(rows["path_key"].to_pylist())) > 1:
        raise StoreError(
            f"{path} was the name of several files, {', '.join(sorted(hashes))}: name one of these instead"
        )
    return hashes


def _image_rows(store: EmbeddingStore, column: str, values: Sequence[str]) -> pa.Table:
    """Rows of images/ with some values in a column."""
    wanted = pa.array(values, pa.string())
    tables = [table.filter(pc.is_in(table[column], wanted)) for table in _all_tables(store.path / "images")]
    return pa.concat_tables([IMAGES.empty_table(), *tables])


def _all_tables(folder: Place, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The tables of a folder, replaced ones that are still there included."""
    for name in sorted(shard_names(folder)):
        with contextlib.suppress(ShardVanished):
            yield open_shard(folder, name).table(columns).replace_schema_metadata(None)


def _held(store: EmbeddingStore, wanted: pa.Array) -> list[tuple[Place, int, set[bytes]]]:
    """By fingerprint's folder, how many rows some images have, and the bytes of their vectors."""
    held = []
    for fingerprint in store.specs():
        rows, vectors = 0, set()
        for shard, table in read_shards(store.folder(fingerprint), lambda shard: shard.table(["sha256", "row"])):
            numbers = table["row"].filter(pc.is_in(table["sha256"], wanted))
            rows += len(numbers)
            if len(numbers) > numbers.null_count:
                vectors |= {vector.tobytes() for vector in shard.vectors(numbers.drop_null().to_numpy())}
        held.append((store.folder(fingerprint), rows, vectors))
    return held


def _rewrite(folder: Place, wanted: pa.Array) -> None:
    for shard in live_shards(folder):
        gone = pc.is_in(shard.table(["sha256"])["sha256"], wanted).to_numpy()
        if gone.any():
            replace(folder, [(shard, ~gone)])
