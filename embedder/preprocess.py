"""From a file's bytes to what a backbone sees: decode, crop, normalise.

A picture is uint8 RGB of shape (height, width, 3) from `decode` until `normalize`, the one place that knows
units. Nothing here guesses from values.
"""

import contextlib
import io
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from data.archives import MARK, read_member
from data.images import RejectedFile, read_header
from data.remote import SCHEME, ObjectStatus, RemotePath, StorageError, is_remote
from embedder.spec import WHOLE

Picture = NDArray[np.uint8]

# Goes into every fingerprint: change it whenever `decode` gives other pixels for the same bytes.
DECODE = "rgb8, upright by exif, first frame, alpha ignored"

MIN_SIDE = 16  # pixels; a face of less has no features for any backbone (the smallest published face tests use 16 x 16)
MAX_PIXELS = 200_000_000  # 600 MB as RGB: as many as the largest telephone cameras give; beyond it is a bomb
MAX_BYTES = 1 << 30  # a file is read whole; more than that is no photograph
LARGE_PIXELS = 24_000_000  # above this threads take turns, so that they do not multiply the memory

_one_large_picture = threading.Lock()

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # a file it cannot decode gets a status, not a log line
cv2.setNumThreads(1)  # pictures are read in parallel already


class ImageRejected(Exception):
    """A file that gives no face picture; `status` is one word for counting, `reason` a sentence for people."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def decode(content: bytes) -> Picture:
    """Decode any common image file.

    16-bit is scaled to 8, grey and palette become RGB, CMYK is converted, the orientation of EXIF is applied, an
    alpha channel is ignored, an animation gives its first frame.

    Parameters
    ----------
    content : the bytes of a file.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8, RGB.

    Raises
    ------
    ImageRejected : `unreadable` for what is no image or a truncated one (`cv2.imread` fills the missing part with
        grey, `cv2.imdecode` refuses), `too_large`, `too_small`.
    """
    width, height = _size_from_header(content)
    _check_pixels(width, height)
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageRejected("unreadable", f"cannot be decoded: {error.err}") from None
    if picture is None:
        raise ImageRejected("unreadable", "truncated, damaged, or of a kind OpenCV does not decode")
    return picture.astype(np.uint8, copy=False)


@contextlib.contextmanager
def decoded(content: bytes) -> Iterator[Picture]:
    """`decode` a picture to be used in one of several threads: of large ones there is one at a time."""
    width, height = _size_from_header(content)
    with _one_large_picture if width * height > LARGE_PIXELS else contextlib.nullcontext():
        yield decode(content)


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageRejected("too_large", f"{width} x {height} pixels, the limit is {MAX_PIXELS // 10**6} megapixels")
    if min(width, height) < MIN_SIDE:
        raise ImageRejected("too_small", f"{width} x {height} pixels, the least is {MIN_SIDE} on a side")


def _size_from_header(content: bytes) -> tuple[int, int]:
    if not content:
        raise ImageRejected("unreadable", "empty file")
    try:
        _, width, height = read_header(io.BytesIO(content))
    except RejectedFile as rejection:
        raise ImageRejected("unreadable", str(rejection)) from None
    return width, height


def letterbox(picture: Picture, size: tuple[int, int]) -> Picture:
    """Scale into `size` keeping the proportions, bilinear, centred on black; as deepface does.

    Parameters
    ----------
    picture : ndarray of shape (height, width, 3), uint8.
    size : (height, width) wanted.
    """
    return _letterbox(picture, size, cv2.INTER_LINEAR)


def letterbox_gray_lanczos(picture: Picture, size: tuple[int, int]) -> Picture:
    """Grey (ITU-R 601) and letterboxed by Lanczos over 8 x 8 pixels: shape (height, width), uint8."""
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    return _letterbox(gray, size, cv2.INTER_LANCZOS4)


def _letterbox(picture: Picture, size: tuple[int, int], interpolation: int) -> Picture:
    height, width = picture.shape[:2]
    factor = min(size[0] / height, size[1] / width)
    inner = max(1, int(height * factor)), max(1, int(width * factor))
    resized = cv2.resize(picture, inner[::-1], interpolation=interpolation).astype(np.uint8, copy=False)
    if inner == size:
        return resized
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((*size, *picture.shape[2:]), np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = resized
    return canvas


def central(picture: Picture, share: float) -> Picture:
    """The middle of a picture: `share` of its sides, at least a pixel of each; above 1 all of it, amid black."""
    height, width = (max(1, round(side * share)) for side in picture.shape[:2])
    top, left = abs(picture.shape[0] - height) // 2, abs(picture.shape[1] - width) // 2
    if share <= 1:
        return picture[top : top + height, left : left + width]
    canvas = np.zeros((height, width, *picture.shape[2:]), np.uint8)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


FITS: dict[str, Callable[[Picture, tuple[int, int]], Picture]] = {
    "letterbox, bilinear": letterbox,
    "letterbox, gray, lanczos": letterbox_gray_lanczos,
}


def crop(picture: Picture, size: tuple[int, int], *, how: str) -> Picture:
    """Turn a picture (height, width, 3) into what a backbone sees, as a spec's `crop` says: (*size[, 3]), uint8."""
    seen, _, fit = how.partition(", ")
    if seen != WHOLE:
        picture = central(picture, float(seen.removeprefix("central ").removesuffix("%")) / 100)
    return FITS[fit](picture, size)


# (x - offset) / scale on 0..255, by deepface's names; a mean per colour stands in the order R, G, B
NORMALIZATIONS: dict[str, tuple[float | tuple[float, float, float], float] | None] = {
    "raw": (0.0, 1.0),
    "base": (0.0, 255.0),
    "ArcFace": (127.5, 128.0),
    "Facenet": None,  # by each picture's own mean and standard deviation, black borders included
    "Facenet2018": (127.5, 127.5),
    "VGGFace": ((129.1863, 104.7624, 93.5940), 1.0),
    "VGGFace2": ((131.0912, 103.8827, 91.4953), 1.0),
}


def normalize(faces: Picture, *, normalization: str, channel_order: str, layout: str) -> NDArray[np.float32]:
    """Turn face crops into a graph's input.

    Parameters
    ----------
    faces : ndarray of shape (n, height, width, 3), uint8, RGB.
    normalization : a key of NORMALIZATIONS.
    channel_order : "RGB" or "BGR", as the graph was trained.
    layout : "NHWC" or "NCHW".

    Returns
    -------
    ndarray of shape (n, height, width, 3) or (n, 3, height, width), float32, contiguous.
    """
    ordered = faces[..., ::-1] if channel_order == "BGR" else faces
    if layout == "NCHW":
        ordered = ordered.transpose(0, 3, 1, 2)
    values = np.ascontiguousarray(ordered).astype(np.float32)  # in this order: bytes are moved faster than floats
    rule = NORMALIZATIONS[normalization]
    if rule is None:
        return _standardize(values)
    offset, scale = rule
    if isinstance(offset, tuple):
        means = np.array(offset[::-1] if channel_order == "BGR" else offset, np.float32)
        values -= means.reshape(-1, 1, 1) if layout == "NCHW" else means
    elif offset:
        values -= np.float32(offset)
    if scale != 1.0:
        values /= np.float32(scale)
    return values


def _standardize(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each picture to mean 0 and standard deviation 1; a flat one, which has no deviation, to 0."""
    least = 1 / math.sqrt(math.prod(values.shape[1:]))
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2, 3), keepdims=True), np.float32(least))
    return values


def padded(faces: Picture, n: int) -> Picture:
    """Repeat the last of up to n faces until there are n, so that every call of a graph has the same shape."""
    return np.concatenate([faces, np.repeat(faces[-1:], n - len(faces), axis=0)]) if len(faces) < n else faces


def read_file(path: str | os.PathLike[str]) -> tuple[os.stat_result | ObjectStatus, bytes]:
    """A file's size and times as of its opening, and its bytes; `path` may be s3://BUCKET/KEY or ARCHIVE!/MEMBER.

    Raises
    ------
    ImageRejected : `missing` if it is not there, `too_large`, or `unreadable` with the system's words.
    """
    try:
        if is_remote(path):
            return _read_object(str(path))
        if MARK in os.fspath(path) and not os.path.lexists(path):
            return read_member(os.fspath(path), _check_size)
        with open(path, "rb", opener=_open_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ImageRejected("unreadable", "not a regular file but a pipe or a device")
            _check_size(found.st_size)
            return found, file.read()
    except ValueError:
        raise ImageRejected("missing", "no file can have such a name") from None
    except FileNotFoundError:
        raise ImageRejected("missing", "no such file") from None
    except OSError as error:
        raise ImageRejected("unreadable", f"cannot be read: {error.strerror}") from None
    except RejectedFile as rejection:
        raise ImageRejected("unreadable", str(rejection)) from None


def _open_at_once(path: str, flags: int) -> int:
    """A pipe would be waited for until somebody writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read_object(url: str) -> tuple[ObjectStatus, bytes]:
    try:
        with RemotePath(url.removeprefix(SCHEME)).open_object() as file:
            _check_size(file.status.st_size)
            return file.status, file.readall()
    except StorageError as error:
        raise ImageRejected("unreadable", str(error)) from None


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ImageRejected("too_large", f"{size:,} bytes, the limit is {MAX_BYTES:,}")
