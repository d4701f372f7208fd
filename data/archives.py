"""Images in .zip and .tar files, read where they are: `ARCHIVE!/MEMBER` is the path of one.

Nothing is unpacked to disk, so a member's name leads nowhere; one that would is refused all the same, as is a link.
"""

import functools
import gzip
import lzma
import os
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Protocol

from data.errors import ManifestError
from data.images import RejectedFile, printable
from data.remote import ObjectStatus

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MARK = "!/"  # between an archive and a member
KEPT_BYTES = 64 << 20  # of members that were passed on the way to another: threads do not ask quite in order

_ZIP, _TAR = ".zip", ".tar"
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)


class _Archive(Protocol):
    """An archive that is open for reading, by any number of threads."""

    def names(self) -> Iterator[str]:
        """Every member that is a file, in order."""

    def read(self, name: str, check_size: Callable[[int], None]) -> bytes:
        """One of them; KeyError if it is not there."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file is called like an archive that can be read."""
    return os.fspath(path).lower().endswith(ARCHIVE_SUFFIXES)


def list_members(path: str) -> list[str]:
    """The files in an archive, in its order, each once; names that begin with a dot are passed over.

    Raises
    ------
    ManifestError : it cannot be read, or the name of a member leads out of it.
    """
    try:
        names = [*dict.fromkeys(_open_now(path).names())]
    except OSError as error:
        raise ManifestError(f"expected an archive; {printable(path)}: {error.strerror or error}.") from None
    except (*_BROKEN, NotImplementedError) as error:
        raise ManifestError(f"expected an archive; {printable(path)} is none, or damaged: {error}.") from None
    for name in names:
        if name.startswith("/") or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise ManifestError(
                f"expected members within the archive; {printable(path)} has one called {printable(name)}.\n"
                "No camera and no packing program makes that: do not trust the archive."
            )
    return [name for name in names if not any(part.startswith(".") and part != "." for part in name.split("/"))]


def container_of(path: str) -> str:
    """The archive that a path leads into; any other path as it is."""
    try:
        return _parted(path)[0]
    except FileNotFoundError:
        return path


def read_member(path: str, check_size: Callable[[int], None]) -> tuple[ObjectStatus, bytes]:
    """A member's size, its archive's mtime, and its bytes.

    Parameters
    ----------
    path : ARCHIVE!/MEMBER.
    check_size : called with the member's size before it is unpacked, to refuse it by an exception.

    Raises
    ------
    FileNotFoundError : there is no such archive, or nothing in it has the name.
    RejectedFile : it is damaged, encrypted, or packed in a way that is not known.
    """
    archive, name = _parted(path)
    try:
        content = _open_now(archive).read(name, check_size)
    except KeyError:
        raise FileNotFoundError(path) from None
    except (*_BROKEN, NotImplementedError, RuntimeError) as error:  # RuntimeError: it is encrypted
        raise RejectedFile(f"cannot be unpacked: {error}") from None
    return ObjectStatus(len(content), os.stat(archive).st_mtime_ns), content


def _parted(path: str) -> tuple[str, str]:
    """The archive and the member of a path."""
    at = path.find(MARK)
    while at >= 0:
        archive = path[:at]
        if is_archive(archive) and os.path.isfile(archive):
            return archive, path[at + len(MARK) :]
        at = path.find(MARK, at + 1)
    raise FileNotFoundError(path)


def _open_now(path: str) -> _Archive:
    status = os.stat(path)
    return _opened(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _opened(path: str, *_: int) -> _Archive:
    lowered = path.lower()
    return _Zip(path) if lowered.endswith(_ZIP) else _Tar(path) if lowered.endswith(_TAR) else _PackedTar(path)


class _Zip:
    def __init__(self, path: str) -> None:
        self._zip = zipfile.ZipFile(path)
        self._lock = threading.Lock()  # zipfile promises nothing to threads

    def names(self) -> Iterator[str]:
        return (each.filename for each in self._zip.infolist() if not each.is_dir() and not _is_link(each))

    def read(self, name: str, check_size: Callable[[int], None]) -> bytes:
        found = self._zip.getinfo(name)
        if _is_link(found):
            raise KeyError(name)
        check_size(found.file_size)
        with self._lock, self._zip.open(found) as file:
            return file.read(found.file_size)


def _is_link(found: zipfile.ZipInfo) -> bool:
    return found.external_attr >> 28 == 0o12


class _Tar:
    """One that is not compressed: any member can be read at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        with tarfile.open(path, "r:") as tar:
            self._places = {each.name: (each.offset_data, each.size) for each in tar if _is_plain(each)}

    def names(self) -> Iterator[str]:
        return iter(self._places)

    def read(self, name: str, check_size: Callable[[int], None]) -> bytes:
        start, size = self._places[name]
        check_size(size)
        with open(self._path, "rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise EOFError("the archive ends within it")
        return content


class _PackedTar:
    """One that is compressed: it can be read from its beginning alone, so members are asked for in their order."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._tar: tarfile.TarFile | None = None
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def names(self) -> Iterator[str]:
        with tarfile.open(self._path, "r|gz") as tar:
            yield from (each.name for each in tar if _is_plain(each))

    def read(self, name: str, check_size: Callable[[int], None]) -> bytes:
        with self._lock:
            if name in self._kept:
                return self._taken(name)
            for _ in range(2):  # what is behind is found from the beginning
                for found in self._onwards():
                    if found.name == name:
                        check_size(found.size)
                        return self._content(found)
                    if found.size < KEPT_BYTES // 4:
                        self._keep(found.name, self._content(found))
        raise KeyError(name)

    def _onwards(self) -> Iterator[tarfile.TarInfo]:
        """The members from here to the end, where the next call begins anew."""
        self._tar = self._tar or tarfile.open(self._path, "r|gz")  # noqa: SIM115
        try:
            while found := self._tar.next():
                self._tar.members.clear()  # type: ignore[attr-defined]  # which would grow with the archive
                if _is_plain(found):
                    yield found
        except _BROKEN:
            self._tar = None
            raise
        self._tar = None

    def _content(self, found: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(found) if self._tar else None
        return file.read() if file else b""

    def _keep(self, name: str, content: bytes) -> None:
        self._size += len(content) - len(self._kept.pop(name, b""))
        self._kept[name] = content
        while self._size > KEPT_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)

    def _taken(self, name: str) -> bytes:
        content = self._kept.pop(name)
        self._size -= len(content)
        return content


def _is_plain(found: tarfile.TarInfo) -> bool:
    return found.isreg() and not found.issparse()
