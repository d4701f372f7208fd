"""Download one file over HTTP: a stopped download goes on where it stopped, and nothing else than the file is kept."""

import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import BackboneError
from data.files import write_text

if TYPE_CHECKING:
    from requests import Response

Progress = Callable[[int, int], None]

CONNECT_SECONDS, STALL_SECONDS = 10, 30
_LARGEST = 2 << 30  # bytes of a file of unknown length: four times the largest that there is
_PIECE = 1 << 16  # what a broken connection costs at most


class DownloadError(BackboneError):
    """An address did not give the file; one line says what it did."""


def download(
    url: str, part: Path, *, expected_bytes: int | None = None, on_progress: Progress = lambda done, total: None
) -> None:
    """Fetch `url` into `part`, going on from what an earlier call left there.

    What is there is kept only where the server proves that the file is still the same: its ETag or Last-Modified of
    then, remembered in `part`.json, is sent as If-Range. A connection that breaks is taken up again as long as
    something comes.

    Parameters
    ----------
    part : where to write; only one process may do so at a time.
    expected_bytes : the length of the file, if it is known: an address that offers another is refused at once.
    on_progress : called with bytes done and bytes in all, 0 if the server does not tell.

    Raises
    ------
    DownloadError : one line on what the server did. What came is kept in `part`.
    OSError : as the file system says, e.g. ENOSPC on a full disk; its filename is `part`.
    """
    while True:
        before = _size(part)
        try:
            return _attempt(url, part, expected_bytes, on_progress)
        except DownloadError:
            if _size(part) <= before:
                raise


def not_weights(head: bytes) -> str | None:
    """Say what a file is that begins like this, if it is what servers and git give in place of one."""
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a git-LFS pointer, not the file that it stands for"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "it is a web page, not weights"
    return None


def discard(part: Path) -> None:
    """Forget a download, finished or not."""
    part.unlink(missing_ok=True)
    _memory_of(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, expected_bytes: int | None, on_progress: Progress) -> None:
    import requests

    have, validator = _left_over(url, part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers.update({"Range": f"bytes={have}-", "If-Range": validator})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS)) as response:
            if not (response.status_code == 416 and have):
                return _receive(response, url, part, expected_bytes=expected_bytes, on_progress=on_progress)
    except requests.exceptions.ChunkedEncodingError:
        raise DownloadError("the connection broke") from None
    except requests.RequestException as error:
        raise DownloadError(_in_words(error)) from None
    except OSError as error:
        if error.errno and not error.filename:  # a write: nobody else says where
            raise OSError(error.errno, error.strerror, str(part)) from None
        raise
    discard(part)  # 416: there is nothing after what is here, so it is not a part of that file
    return _attempt(url, part, expected_bytes, on_progress)


def _left_over(url: str, part: Path) -> tuple[int, str]:
    """How many bytes of `url` are there, and what proves that they belong to it; (0, "") if nothing does."""
    try:
        memory = json.loads(_memory_of(part).read_text("utf-8"))
    except (OSError, ValueError):
        return 0, ""
    return (_size(part), memory["validator"]) if memory["url"] == url and memory["validator"] else (0, "")


def _receive(response: "Response", url: str, part: Path, *, expected_bytes: int | None, on_progress: Progress) -> None:
    have, total = _extent(response, part)
    pieces = response.iter_content(_PIECE)
    first = next(pieces, b"")
    if not have and (wrong := not_weights(first)):
        raise DownloadError(wrong)
    if total and expected_bytes and total != expected_bytes:
        raise DownloadError(f"offers {total:,} bytes, expected {expected_bytes:,}")
    with open(part, "ab" if have else "wb") as file:
        if not have:  # only now that no byte of another file is left
            _remember(part, url, response)
        for piece in itertools.chain([first], pieces):
            file.write(piece)
            have += len(piece)
            if have > (total or expected_bytes or _LARGEST):
                break
            on_progress(have, total)
        file.flush()
        os.fsync(file.fileno())
    if have > (total or expected_bytes or _LARGEST):
        discard(part)
        raise DownloadError(f"sent more than the {total or expected_bytes or _LARGEST:,} bytes that were expected")
    if total and have != total:
        raise DownloadError(f"sent {have:,} of {total:,} bytes")


def _extent(response: "Response", part: Path) -> tuple[int, int]:
    """How much of `part` an answer goes on from, and how long the file is in all, 0 if it does not tell."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else 0
    if response.status_code != 206:
        raise DownloadError(f"{response.status_code} {response.reason}")
    have, found = _size(part), response.headers.get("Content-Range", "")
    match = re.fullmatch(rf"bytes {have}-\d+/(\d+|\*)", found)
    if not match:
        raise DownloadError(f"was asked to go on from byte {have:,}, answered {found!r}")
    return have, int(match[1].replace("*", "0"))


def _remember(part: Path, url: str, response: "Response") -> None:
    """Keep what proves later that the file at `url` has not changed; a weak ETag does not."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    write_text(_memory_of(part), json.dumps({"url": url, "validator": validator}))


def _memory_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _in_words(error: BaseException) -> str:
    """The innermost cause of a failed request, in one line."""
    while error.__context__:
        error = error.__context__
    return "nothing came for too long" if isinstance(error, TimeoutError) else " ".join(str(error).split())
