"""Find image files and look at their headers. Nothing here decodes pixels."""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal

from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.Image import DecompressionBombError

from data.errors import FaceprobeError, ManifestError
from data.remote import Listed, RemotePath, StorageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")

# Image.open would warn above 89 megapixels and refuse above 179, and both can only be changed for the whole process.
# These classes read the header and nothing else.
_FORMATS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
    TiffImagePlugin.TiffImageFile,
)
_BLOCK = 1 << 20  # bytes read at once: memory stays the same whatever the file's size
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and bytes that are not UTF-8


class RejectedFile(FaceprobeError):
    """One file that is left out; the message is the reason in words."""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image without decoding it.

    Attributes
    ----------
    format : "JPEG", "PNG", "WEBP", "GIF", "BMP" or "TIFF", from the content, not from the name.
    width, height : pixels as stored, before any rotation that EXIF asks for.
    sha256 : of the file's bytes, hexadecimal: the identity of the image.
    """

    format: str
    width: int
    height: int
    sha256: str


def is_named_like_an_image(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def scan_images(root: str | os.PathLike[str]) -> list[str]:
    """List the files below a folder, whatever they hold: one that is not an image is for the caller to account for.

    Links are followed; a folder that several links lead to is read once, so a loop ends. A link that leads nowhere is
    listed like a file. Names that begin with a dot, and what is neither file nor folder, are passed over.

    Returns
    -------
    list of str : paths relative to `root` with "/" between parts, sorted. Bytes that are not UTF-8 stand in them as
        surrogates, with which the file can be opened (see `printable`).

    Raises
    ------
    ManifestError : if `root` is not a folder, holds no file, or if it or a folder below it cannot be read.
    """
    names = scan_folder(root)
    if not names:
        top = printable(os.fspath(root))
        raise ManifestError(f"expected a folder of images; found no file in {top}.\nName another folder.")
    return names


def scan_folder(root: str | os.PathLike[str]) -> list[str]:
    """As `scan_images`; a folder that holds no file is none the worse for it."""
    top = os.fspath(root)
    names: list[str] = []
    visited: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        folder = pending.pop()
        identity = _identity(os.path.join(top, folder))
        if identity in visited:
            continue
        visited.add(identity)
        files, folders = _entries(top, folder)
        names += files
        pending += reversed(folders)  # the last is read next: names in order decide which of two links is followed
    names.sort()
    return names


def scan_objects(folder: RemotePath) -> list[Listed]:
    """List the objects below a folder in object storage, as `scan_images` does a folder's files.

    Returns
    -------
    list of Listed : sorted by name.

    Raises
    ------
    ManifestError : if `folder` is not there, holds no object, or the storage does not answer.
    """
    try:
        found = folder.listing(recursive=True)
    except FileNotFoundError:
        found = []
    except StorageError as error:
        raise ManifestError(str(error)) from None
    objects = [each for each in found if not each.is_folder and "/." not in f"/{each.name}"]
    if not objects:
        raise ManifestError(f"expected a folder of images; found no object in {folder}.\nName another folder.")
    return objects


def identify(path: str | os.PathLike[str]) -> ImageHeader:
    """Read format and size from a file's header, and hash its bytes.

    A header in order does not promise that the pixels can be decoded: a truncated file passes.

    Raises
    ------
    RejectedFile : with the reason in words: empty, not an image, no permission, vanished, or another failure to read.
    """
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise RejectedFile("empty file")
            image_format, width, height = read_header(file)
            return ImageHeader(image_format, width, height, _sha256(file))
    except FileNotFoundError:
        raise RejectedFile("the file is not there: it vanished, or its link leads nowhere") from None
    except PermissionError:
        raise RejectedFile("no permission to read the file") from None
    except OSError as error:
        raise RejectedFile(f"cannot be read: {error.strerror or error}") from None


def read_header(file: BinaryIO) -> tuple[str, int, int]:
    """Return format, width and height (pixels as stored) by the first of the known formats that recognises the file.

    Raises
    ------
    RejectedFile : if none does.
    """
    for image_class in _FORMATS:
        file.seek(0)
        try:
            image = image_class(file)
        except (SyntaxError, ValueError, OverflowError):  # how Pillow says "another format"
            continue
        except (OSError, DecompressionBombError) as error:
            if isinstance(error, OSError) and error.errno:  # the disk's failure, not the header's
                raise
            raise RejectedFile(f"not an image: its header is broken ({error})") from None
        return str(image.format), image.width, image.height
    raise RejectedFile("not an image (JPEG, PNG, WebP, GIF, BMP or TIFF)")


def printable(name: str) -> str:
    r"""Write control characters and bytes that are not UTF-8 as escapes (\x0a, \udce9): safe to print and to save."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), name)


def _identity(folder: str) -> tuple[int, int]:
    """Return what tells a folder from every other, whichever links lead to it."""
    try:
        found = os.stat(folder)
    except OSError as error:
        raise _no_folder(folder, error) from None
    return found.st_dev, found.st_ino


def _entries(top: str, folder: str) -> tuple[list[str], list[str]]:
    """List the files and the folders in `top`/`folder`, each relative to `top`, the folders sorted."""
    files, folders = [], []
    try:
        with os.scandir(os.path.join(top, folder)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{folder}/{entry.name}" if folder else entry.name
                kind = _kind(entry)
                if kind == "folder":
                    folders.append(name)
                elif kind == "file":
                    files.append(name)
    except OSError as error:
        raise _no_folder(os.path.join(top, folder), error) from None
    return files, sorted(folders)


def _kind(entry: os.DirEntry[str]) -> Literal["file", "folder", "other"]:
    """Tell what an entry leads to. A link that cannot be followed is a file, so that it is accounted for."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file() or not os.path.exists(entry.path):
            return "file"
    except OSError:  # a link to itself, or into a folder without permission
        return "file"
    return "other"


def _no_folder(folder: str, error: OSError) -> ManifestError:
    """Say which folder could not be read and why."""
    return ManifestError(
        f"expected a folder of images that can be read; {printable(folder)}: {error.strerror}.\n"
        "Name another folder, or mend its permissions."
    )


def _sha256(file: BinaryIO) -> str:
    """Hash a file from its beginning, a block at a time."""
    file.seek(0)
    digest = hashlib.sha256()
    for block in iter(partial(file.read, _BLOCK), b""):
        digest.update(block)
    return digest.hexdigest()
