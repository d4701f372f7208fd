"""What each listed image is to a store: known, new, changed, moved, a copy; and which files are gone."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.archives import container_of
from data.errors import ManifestError
from data.images import printable
from data.remote import RemotePath, StorageError, is_remote, place
from embedder.engine import REMOTE_READERS, Image
from embedder.known import Contents, Files, Hashes, find, keys_of

MOST_ROOTS = 8  # folders in which files that are gone or moved are looked for


class Changes:
    """Tells images apart by path, size and mtime, and by content where these do not say it.

    Parameters
    ----------
    images : DataFrame with image_id and path, of this job; where a listing has told them, also size and mtime_ns.
    files : what the store knows.
    listed : ndarray of path_keys, "S16", sorted: of all images that there are, those of other shards included.
    """

    def __init__(self, images: pd.DataFrame, files: Files, *, listed: Hashes) -> None:
        self._images = images
        self._paths = images["path"]
        self._files, self._listed = files, listed
        self._known_as = files.find(keys_of(self._paths))  # where in `files` each image is, or -1
        self._taken = Contents(np.empty(0, "S32"))  # that moved, or are new: whatever else has them is a copy

    def unchanged(self) -> tuple[NDArray[np.int64], Hashes]:
        """The positions of images whose path, size and mtime the store knows, and what it found in them."""
        sizes, times = self._looks()
        known = self._known_as >= 0
        at = self._known_as[known]
        known[known] = (self._files.sizes[at] == sizes[known]) & (self._files.times[at] == times[known])
        same = np.flatnonzero(known)
        return same, self._files.contents[self._known_as[same]]

    def _looks(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Sizes and mtimes of all images, (n,) each; -1 where there are none, which reading will explain."""
        if "mtime_ns" in self._images:
            return self._images["size"].to_numpy(np.int64), self._images["mtime_ns"].to_numpy(np.int64)
        found = np.empty((len(self._paths), 2), np.int64)
        if any(map(is_remote, self._paths)):
            with ThreadPoolExecutor(REMOTE_READERS) as threads:
                found[:] = [*threads.map(_look, self._paths)]
        else:
            for position, path in enumerate(self._paths):
                found[position] = _look(path)
        sizes, times = found.T
        return sizes, times

    def is_recorded(self, image: Image) -> bool:
        """Whether the store knows an image's file exactly as it was read."""
        at = self._known_as[image.position]
        if at < 0:
            return False
        known = (self._files.content(at), self._files.sizes[at], self._files.times[at])
        return bool(known == (image.sha256, image.size, image.mtime_ns))

    def of(self, position: int, sha256: bytes) -> str:
        """What an image is to the store, by its content and its path."""
        at = self._known_as[position]
        if at >= 0:
            return "known" if self._files.content(at) == sha256 else "changed"
        if sha256 in self._taken:
            return "copy"
        self._taken.add([sha256])
        others = self._files.with_content(sha256)
        if not len(others):
            return "new"
        moved = (find(self._listed, self._files.keys[others]) < 0).all() and any(
            self._files.is_below(other, self._roots) for other in others.tolist()
        )
        return "moved" if moved else "copy"

    @functools.cached_property
    def _roots(self) -> list[str]:
        """The folders that image ids are relative to: one, or few; of a manifest from too many nothing is said."""
        pairs = zip(self._images["image_id"], self._paths, strict=True)
        roots = {path[: -len(name)] for name, path in pairs if path.endswith(name)}
        return sorted(roots) if len(roots) <= MOST_ROOTS else []

    def count_gone(self) -> int:
        """How many files the store knows from the same folders that are not listed any more."""
        return sum(1 for _ in self._files.gone(self._listed, self._roots))

    def require_source(self) -> None:
        """Refuse to go on where the folder of all images is gone, with its drive or its server.

        Raises
        ------
        ManifestError : it is not there, or empty, as a place is where nothing is mounted any more.
        """
        first, last = container_of(self._paths.min()), container_of(self._paths.max())
        folder = os.path.commonprefix([first, last]).rpartition("/")[0]  # noqa: RUF071  addresses have no other paths
        if not _holds_something(folder):
            raise ManifestError(
                f"expected images in {printable(folder)}; it is gone, or empty now. What was embedded before is kept: "
                "bring it back and run the same command again"
            )


def _look(path: str) -> tuple[int, int]:
    try:
        status = cast(RemotePath, place(path)).status() if is_remote(path) else os.stat(path)
    except (OSError, ValueError, StorageError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _holds_something(folder: str) -> bool:
    """Whether a folder is there and not empty."""
    try:
        return next(iter(place(folder).iterdir()), None) is not None
    except (OSError, StorageError):
        return False
