"""Write whole or not at all: a reader sees the old file or the new one, never half of one."""

import contextlib
import functools
import glob
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from data.remote import Place, RemotePath

_LONGEST = 50  # characters of a name that are in the name of its temporary file
PRIVATE = 0o600  # embeddings and predictions are about people: readable by their owner alone


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str] | RemotePath, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that replaces it when the block ends without an exception.

    The bytes reach the disk before `path` changes (fsync of the file, then of its folder), so a power cut leaves the
    old content or the new one. On any exception, Ctrl-C included, the temporary file goes and `path` is as it was.
    In object storage the bytes are held in memory and put at the end: there is no temporary object.

    Parameters
    ----------
    path : the file to replace or create; its folder must exist.
    mode : permission bits of a new file, less the umask; objects have none.

    Raises
    ------
    OSError : as the file system says, e.g. ENOSPC on a full disk; its filename is `path`.
    StorageError : object storage does not answer, or refuses.
    """
    if isinstance(path, RemotePath):
        content = io.BytesIO()
        yield content
        path.write_bytes(content.getbuffer())
        return
    target = Path(path)
    # these are 200 bytes at most, which leaves room within a name's 255
    temporary = target.with_name(f".{target.name[:_LONGEST]}.{secrets.token_hex(6)}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(target)) from None  # nobody knows the temporary name
        raise
    sync_folder(target.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what a killed `atomic_write` to a path left, for a caller that knows that nobody else writes there."""
    if len(path.name) <= _LONGEST:  # else it could be another's
        for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 12}.tmp"):
            left.unlink(missing_ok=True)


def sync_folder(folder: Place) -> None:
    """Make what was renamed into a folder, or removed from it, last through a power cut."""
    if isinstance(folder, RemotePath):
        return  # what a server has said it has done lasts
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str] | RemotePath, text: str, *, mode: int = 0o666) -> None:
    """Replace `path` by `text` in UTF-8, atomically."""
    with atomic_write(path, mode=mode) as file:
        file.write(text.encode("utf-8"))


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; one that has not been touched since is not read again."""
    status = path.stat()
    return _sha256(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, *_: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
