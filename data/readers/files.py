"""What every reader of image files shares: look at each file once, in parallel, and account for all of them."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pandas as pd

from data.errors import ManifestError
from data.images import RejectedFile, identify, printable, scan_images
from data.manifest import Manifest
from data.phash import perceptual_hash

Row = dict[str, object]
Reading = tuple[Manifest, pd.DataFrame]
Progress = Callable[[int, int], None]  # (files done, files in all)

_THREADS = 8  # reading waits for the disk, hashing releases the GIL
_BATCH = 2048  # files in flight: an executor that is given everything at once holds a future per file


def read_files(
    root: str | os.PathLike[str], labels_of: Callable[[str], Row], *, on_progress: Progress | None = None
) -> Reading:
    """Index a folder of images whose labels follow from their relative paths.

    Parameters
    ----------
    root : the folder; the images' ids are their paths relative to it.
    labels_of : takes an id, returns its label columns or raises RejectedFile.
    on_progress : called after each file, in this thread.

    Returns
    -------
    manifest : the images, in the order of their ids.
    rejected : DataFrame with the columns `path` (relative, escaped by `printable`) and `reason`, in the order of the
        paths; with the manifest it accounts for every file of `scan_images`.

    Raises
    ------
    ManifestError : if the folder cannot be read or holds no image that can be used.
    """
    folder = os.path.abspath(root)
    names = scan_images(folder)
    rows: list[Row] = []
    rejected: list[Row] = []
    for done, row in enumerate(_examine_all(folder, names, labels_of), start=1):
        (rejected if "reason" in row else rows).append(row)
        if on_progress:
            on_progress(done, len(names))
    if not rows:
        raise ManifestError(
            f"expected images in {printable(folder)}; found {len(rejected)} files, none of them usable, the first "
            f"being {rejected[0]['path']} ({rejected[0]['reason']}).\nName another folder or another dataset."
        )
    return Manifest(pd.DataFrame(rows)), pd.DataFrame(rejected, columns=["path", "reason"], dtype=object)


def _examine_all(folder: str, names: list[str], labels_of: Callable[[str], Row]) -> Iterator[Row]:
    """Yield what `_examine` says of each file, in order."""
    examine = partial(_examine, folder, labels_of)
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(names), _BATCH):
            yield from pool.map(examine, names[start : start + _BATCH])


def _examine(folder: str, labels_of: Callable[[str], Row], name: str) -> Row:
    """Return a row of the manifest, or of the rejected files: the one that has a reason."""
    try:
        path = os.path.join(folder, name)
        if printable(path) != path:  # no table could hold it
            raise RejectedFile("the path holds control characters or is not UTF-8: rename it")
        labels = labels_of(name)
        header = identify(path)
        hashes = {"sha256": header.sha256, "phash": perceptual_hash(path, header)}
        return {"image_id": name, "path": path, **hashes, **labels}
    except RejectedFile as rejection:
        return {"path": printable(name), "reason": str(rejection)}
