"""Object storage: what images and stores use of `s3://BUCKET/KEY`, as paths with a few of pathlib's names.

pyarrow speaks S3, to Amazon's servers or to the one that AWS_ENDPOINT_URL names. A request that fails, stalls or breaks
off is made again a few times. What then remains is a StorageError; an object that is not there, FileNotFoundError.
"""

import calendar
import contextlib
import errno
import functools
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from data.errors import StoreError

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileInfo, FileType, S3FileSystem

SCHEME = "s3://"
RETRIES = 7  # of one request: 50 ms apart, then 100, 200 ...: six seconds of failures are sat out
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 10.0  # without a byte, until the request is made again
_UNSEEN = "Failed to flush response stream"
SMALL = 1 << 20  # bytes that cost no more than a request: a smaller object is read whole, a larger one in such pieces


T = TypeVar("T")


class StorageError(StoreError):
    """Object storage that does not answer, or refuses."""


class ObjectStatus(NamedTuple):
    """An object's size in bytes and the time of its writing in whole seconds, under the names of os.stat_result."""

    st_size: int
    st_mtime_ns: int


class Listed(NamedTuple):
    """What a listing says of an object or a folder: its key after that of the folder listed."""

    name: str
    is_folder: bool
    status: ObjectStatus


@dataclass(frozen=True, order=True)
class RemotePath:
    """An object, or a folder that the slashes in keys make.

    Methods are those of pathlib.Path and raise FileNotFoundError as those do, and StorageError.

    Attributes
    ----------
    key : "BUCKET/KEY", as it is: storage tells "a//b" from "a/b".
    """

    key: str

    def __str__(self) -> str:
        return SCHEME + self.key

    def __truediv__(self, name: str | PurePath) -> "RemotePath":
        return RemotePath(f"{self.key}/{name}")

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "RemotePath":
        return RemotePath(self.key.rpartition("/")[0])

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffixes(self) -> list[str]:
        return PurePosixPath(self.name).suffixes

    def with_suffix(self, suffix: str) -> "RemotePath":
        return self.parent / PurePosixPath(self.name).with_suffix(suffix)

    def relative_to(self, folder: "RemotePath") -> PurePosixPath:
        return PurePosixPath(self.key).relative_to(folder.key)

    def resolve(self) -> "RemotePath":
        return self

    def exists(self) -> bool:
        from pyarrow.fs import FileType

        return self._type() != FileType.NotFound

    def is_file(self) -> bool:
        from pyarrow.fs import FileType

        return self._type() == FileType.File

    def is_dir(self) -> bool:
        from pyarrow.fs import FileType

        return self._type() == FileType.Directory

    def iterdir(self) -> Iterator["RemotePath"]:
        return (self / found.name for found in self.listing(recursive=False))

    def listing(self, *, recursive: bool) -> list[Listed]:
        """What is in a folder, or also in the folders in it, sorted by name: a request per 1,000 objects."""
        from pyarrow.fs import FileSelector, FileType

        with _request(self, "listed"):
            found = _client().get_file_info(FileSelector(self.key, recursive=recursive))
        listed = [_listed(self, info, info.type == FileType.Directory) for info in found]
        return sorted(each for each in listed if each.name)  # a folder may be listed as one of its own

    def open_object(self) -> "RemoteFile":
        """Open for reading without a buffer: every read is a request."""
        with _request(self, "read"):
            return RemoteFile(self, _client().open_input_file(self.key))

    def open(self, mode: str = "rb") -> io.BufferedReader | io.BytesIO:
        """Open for reading bytes, which is the only `mode`: a small object whole, of a large one what is read."""
        file = self.open_object()
        if file.status.st_size > SMALL:
            return io.BufferedReader(file, SMALL)
        with file:
            return io.BytesIO(file.readall())

    def read_bytes(self) -> bytes:
        with self.open_object() as file:
            return file.readall()

    def read_text(self, encoding: str) -> str:
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes | memoryview) -> None:
        """Put the object: readers see all of it or none. Above 10 MB it goes in parts, joined by the last request."""
        with _request(self, "written"), _client().open_output_stream(self.key) as stream:
            stream.write(content)

    def unlink(self) -> None:
        with _request(self, "removed"):
            _client().delete_file(self.key)

    def status(self) -> ObjectStatus:
        """Size and time without reading it: a request."""
        from pyarrow.fs import FileType

        info = self._info()
        if info.type != FileType.File:
            raise FileNotFoundError(errno.ENOENT, "no such object", str(self))
        return _listed(self, info, False).status

    def _type(self) -> "FileType":
        return self._info().type

    def _info(self) -> "FileInfo":
        with _request(self, "looked for"):
            return _client().get_file_info(self.key)


class RemoteFile(io.RawIOBase):
    """An object that is open for reading; `status` is its ObjectStatus as of then."""

    def __init__(self, path: RemotePath, file: "NativeFile") -> None:
        self._path, self._file = path, file
        # in UTC as ISO 8601, whole seconds
        written = time.strptime(file.metadata()["Last-Modified"].decode(), "%Y-%m-%dT%H:%M:%SZ")
        self.status = ObjectStatus(file.size(), calendar.timegm(written) * 10**9)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._get(lambda: self._file.readinto(buffer))

    def readall(self) -> bytes:
        return self._get(self._file.read)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _get(self, read: Callable[[], T], attempt: int = 0) -> T:
        """Read, again if the server failed in more words than there are bytes to read: the SDK does not see that."""
        try:
            with _request(self._path, "read"):
                return read()
        except StorageError as error:
            if not self._path.exists():
                raise FileNotFoundError(errno.ENOENT, "no such object", str(self._path)) from None
            if attempt == RETRIES or _UNSEEN not in str(error):
                raise
        time.sleep(0.05 * 2**attempt)
        return self._get(read, attempt + 1)


Place: TypeAlias = Path | RemotePath  # where files are: all code that may meet either uses what both have


def is_remote(path: object) -> bool:
    """Whether a path, or its text, names something in object storage."""
    return str(path).startswith(SCHEME)


def place(path: str | os.PathLike[str] | RemotePath) -> Place:
    """The path that a text names: s3://BUCKET/KEY, or one of this machine.

    Raises
    ------
    StorageError : s3:// without a bucket.
    """
    if isinstance(path, RemotePath):
        return path
    if not is_remote(path):
        return Path(path)
    key = str(path).removeprefix(SCHEME).rstrip("/")
    if not key or key.startswith("/"):
        raise StorageError(f"expected {SCHEME}BUCKET or {SCHEME}BUCKET/KEY, found {path}: name the bucket")
    return RemotePath(key)


def _listed(folder: RemotePath, info: "FileInfo", is_folder: bool) -> Listed:
    name = info.path[len(folder.key) + 1 :]
    if is_folder:
        return Listed(name.rstrip("/"), True, ObjectStatus(0, 0))
    # some servers list milliseconds, and none says them when the object is opened
    return Listed(name, False, ObjectStatus(info.size, info.mtime_ns // 10**9 * 10**9))


def _client() -> "S3FileSystem":
    """The connections to the server; the region and the credentials are found as Amazon's programs find them."""
    return _connect(_endpoint(), RETRIES)


def _endpoint() -> str:
    return (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")).rstrip("/")


@functools.lru_cache(maxsize=8)
def _connect(endpoint: str, retries: int) -> "S3FileSystem":
    from pyarrow.fs import AwsDefaultS3RetryStrategy, S3FileSystem

    scheme, _, host = endpoint.rpartition("://")
    return S3FileSystem(
        endpoint_override=host or None,
        scheme=scheme or "https",
        allow_delayed_open=True,  # a small object is one put
        connect_timeout=CONNECT_SECONDS,
        request_timeout=IDLE_SECONDS,
        retry_strategy=AwsDefaultS3RetryStrategy(max_attempts=retries),
    )


@contextlib.contextmanager
def _request(path: RemotePath, done: str) -> Iterator[None]:
    """Say in one line what a request that failed means."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(errno.ENOENT, "no such object", str(path)) from None
        found = " ".join(str(error).split())
        found = found[found.find("AWS Error") :] if "AWS Error" in found else found
        server = _endpoint() or "Amazon, for AWS_ENDPOINT_URL is not set"
        raise StorageError(
            f"{path} cannot be {done}; the server ({server}) gave: {found.partition(' (Request ID')[0]}. "
            "Check server, bucket, region and credentials, and run the same command again"
        ) from None
