"""How weight files get into their folder: fetched from the network, or imported from any other place."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from data.errors import BackboneError
from data.files import atomic_write, sha256_of_file, sync_folder
from embedder.download import DownloadError, Progress, discard, download
from embedder.spec import BACKBONES
from embedder.weights import (
    WEIGHTS,
    WeightFile,
    addresses,
    check,
    find_weights,
    remember,
    weights_folder,
)


def fetch(name: str, *, on_progress: Progress = lambda done, total: None) -> Path:
    """Download a weight file, unless it is there already, and verify it before it gets its name.

    Processes that fetch into one folder do so one after the other. A stopped download is continued by the next call.

    Parameters
    ----------
    name : a backbone, for the file it has or else prefers, or a weight file.
    on_progress : called with bytes done and bytes in all, 0 if that is not known.

    Raises
    ------
    BackboneError : an unknown name, or what each address said.
    OSError : as the file system says, e.g. ENOSPC on a full disk.
    """
    row = _row_of(name)
    target = weights_folder() / row.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent):
        if target.is_file() and not (there := check(target, row.name)).problem:
            remember(there)
            return target
        said = []
        for url in addresses(row):
            try:
                _fetch_from(url, row, target, on_progress)
            except DownloadError as error:
                said.append(f"  {url}\n    {error}\n")
            else:
                return target
    raise BackboneError(
        f"{row.name} could not be fetched:\n{''.join(said)}The same command goes on where it stopped. "
        "Or download the file on another machine, and run `faceprobe weights import FILE` here."
    )


def import_weights(path: Path, *, name: str | None = None) -> Path:
    """Copy a weight file from anywhere into the folder, under its right name, if it is what it must be.

    Parameters
    ----------
    path : a file; recognised by its hash, else by its own name or that in its URL.
    name : the weight file that it is, where neither tells.

    Raises
    ------
    BackboneError : not a file, not recognised, or not what it must be.
    OSError : as the file system says.
    """
    if not path.is_file():
        raise BackboneError(f"no file {path}: give the path of a weight file, e.g. arcface_weights.onnx")
    found = check(path, _recognise(path, name))
    if found.problem:
        raise BackboneError(f"{path} cannot be {found.name}: {found.problem}")
    target = weights_folder() / found.name
    if not (target.is_file() and sha256_of_file(target) == found.sha256):
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(path, target, found.sha256)
    remember(found)
    return target


def _row_of(name: str) -> WeightFile:
    """The weight file meant by its own name, or by that of a backbone."""
    if name in WEIGHTS:
        return WEIGHTS[name]
    having = [row.name for row in BACKBONES.values() if row.files]
    if name in having:
        files = BACKBONES[name].files
        there = find_weights(files)
        return WEIGHTS[there.name if there else files[0]]
    if name in BACKBONES:
        raise BackboneError(f"{name} needs no weight file; those that do are {', '.join(having)}")
    raise BackboneError(f"unknown {name!r}; known are {', '.join(having)}, and the files in `faceprobe weights list`")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into this folder. The lock goes with its process, however that ends."""
    with open(folder / ".faceprobe.lock", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_from(url: str, row: WeightFile, target: Path, on_progress: Progress) -> None:
    part = target.with_name(row.name + ".part")
    download(url, part, expected_bytes=row.bytes, on_progress=on_progress)
    found = check(part, row.name)
    if found.problem:
        discard(part)
        raise DownloadError(found.problem)
    remember(found)
    os.replace(part, target)
    sync_folder(target.parent)
    discard(part)


def _recognise(path: Path, name: str | None) -> str:
    """Which weight file this is: by its known hash, else as told, else by its own name or that in a URL."""
    sha256 = sha256_of_file(path)
    by_hash = next((row.name for row in WEIGHTS.values() if row.sha256 == sha256), None)
    if by_hash and name not in (None, by_hash):
        raise BackboneError(f"{path} is {by_hash} by its SHA-256, not {name}")
    by_name = {url.rpartition("/")[2]: row.name for row in WEIGHTS.values() for url in (row.name, *row.urls)}
    found = by_hash or name or by_name.get(path.name)
    if found not in WEIGHTS:
        raise BackboneError(
            f"{path} is not recognised, neither by its SHA-256 ({sha256}) nor by its name.\n"
            f"Say with --as which weight file it is: {', '.join(WEIGHTS)}"
        )
    return found


def _copy(path: Path, target: Path, sha256: str) -> None:
    """Copy a file, whole or not at all, and only if the bytes that were written are those that were checked."""
    digest = hashlib.sha256()
    with open(path, "rb") as source, atomic_write(target) as copy:
        while piece := source.read(1 << 20):
            digest.update(piece)
            copy.write(piece)
        if digest.hexdigest() != sha256:
            raise BackboneError(f"{path} changed while it was copied: try again, or from another medium")
