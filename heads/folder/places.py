"""Copies in a folder of their own: nothing there is ever written over, and no name leads out of it."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from data.errors import FaceprobeError
from data.files import atomic_write
from data.images import printable
from data.remote import is_remote

WRITTEN, THERE, FAILED = "written", "there already", "failed"
COLUMNS = ("path", "place", "outcome", "reason")  # of what became of each copy


class FolderError(FaceprobeError):
    """A folder that copies of photographs cannot be written to, or one of them that cannot."""


def require_apart(folder: Path, sources: Iterable[str], *, scanned: Iterable[Path] = ()) -> Path:
    """Make sure that copies neither lie among the photographs nor will be scored with them, and create their folder.

    Parameters
    ----------
    folder : for the copies; created for its owner alone.
    sources : the photographs: none may lie within it.
    scanned : folders that were searched for photographs: it may not lie within one.

    Returns
    -------
    Path : the folder without links.

    Raises
    ------
    FolderError : it is so, or the folder cannot be created.
    """
    real = Path(os.path.realpath(folder))
    if real.exists() and not real.is_dir():
        raise FolderError(f"expected a folder for copies; found the file {folder}. Name another place")
    for held in sorted({os.path.dirname(source) for source in sources if not is_remote(source)}):
        if Path(os.path.realpath(held)).is_relative_to(real):
            raise FolderError(f"expected a folder apart from the photographs; {folder} holds them. Name another one")
    for searched in scanned:
        if real.is_relative_to(os.path.realpath(searched)):
            raise FolderError(
                f"expected a folder apart from the photographs; {folder} is within {searched}, and copies in it would "
                "be scored the next time. Name another one"
            )
    try:
        real.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"cannot create {folder}: {error.strerror}. Name another place") from None
    return real


def place_within(folder: Path, name: str) -> Path:
    """Where in a folder (without links) the copy of a name belongs; its sub-folders are created.

    Raises
    ------
    FolderError : the name leads out of the folder, by ".." or through a link in it.
    OSError : as the file system says.
    """
    path = PurePosixPath(name)
    parts = path.parts[1:] if path.is_absolute() else path.parts
    if not parts or ".." in parts:
        raise FolderError("its name leads out of the folder")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.realpath(target.parent) != str(target.parent):
        raise FolderError("a link in the folder leads out of it")
    return target


def holds(target: Path, content: bytes) -> bool:
    """Whether a file is there with exactly these bytes."""
    return target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content


def put(target: Path, content: bytes, *, mtime_ns: int | None = None) -> str:
    """Write a file that is not there yet, whole: WRITTEN, or THERE if it holds these bytes already.

    Raises
    ------
    FolderError : something else is there.
    OSError : as the file system says.
    """
    if holds(target, content):
        return THERE
    if os.path.lexists(target):
        raise FolderError("another file of that name is there already")
    with atomic_write(target) as file:
        file.write(content)
    if mtime_ns is not None:
        os.utime(target, ns=(mtime_ns, mtime_ns))
    return WRITTEN


def failure(error: Exception) -> str:
    """The reason in words that belongs to FAILED."""
    return printable(error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def outcomes(found: Iterable[tuple[str, str, str, str]]) -> pd.DataFrame:
    """What became of copies, as a table with COLUMNS."""
    return pd.DataFrame(list(found), columns=list(COLUMNS))
