"""What is to be scored, by name: folders, files, archives, patterns, lists, manifests, object storage."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from data.archives import MARK, is_archive, list_members
from data.errors import ManifestError
from data.images import is_named_like_an_image, printable, scan_folder
from data.manifest import TABLE_SUFFIXES, list_images, table_of
from data.remote import is_remote

STDIN = "-"
Listing = tuple[pd.DataFrame, int]


def list_sources(sources: Sequence[str]) -> Listing:
    """What some sources offer as images, in their order, without opening them.

    Parameters
    ----------
    sources : each a folder, of which every file named like an image counts; an image; a .zip, .tar, .tar.gz or .tgz of
        images; a manifest; a pattern such as "photos/**/*.jpg"; s3://BUCKET/KEY, a folder or an image; @FILE, or "-"
        for standard input, for names of files, one per line, or ended by NUL each. Names in lists are relative to the
        present folder.

    Returns
    -------
    (images, ignored) : as `list_images`; what a list or the caller names is there whether the file is or not. Ids are
        relative to a folder that is the only source, else they begin with the source.

    Raises
    ------
    ManifestError : a source is nothing of that, holds no image, or cannot be read.
    """
    if not sources:
        raise ManifestError("expected a folder, files or a list of them; found none.\nName what is to be scored.")
    listed = [_list(source, alone=len(sources) == 1) for source in sources]
    if len(listed) == 1:
        return listed[0]
    return pd.concat([images for images, _ in listed], join="inner", ignore_index=True), sum(n for _, n in listed)


def names_in_folders(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What some folders of this machine offer as images at this moment, which may be nothing.

    Yields
    ------
    (image_id, path) : as `list_sources` has them.

    Raises
    ------
    ManifestError : a folder is none, or it or one below it cannot be read.
    """
    for folder in folders:
        before = f"{printable(folder.rstrip('/'))}/" if len(folders) > 1 else ""
        top = os.path.abspath(folder)
        for name in scan_folder(top):
            if is_named_like_an_image(name):
                yield before + printable(name), f"{top}/{name}"


def _list(source: str, *, alone: bool) -> Listing:
    if source == STDIN:
        return _of_names(_names_in(sys.stdin.buffer.read(), "standard input")), 0
    if source.startswith("@") and not os.path.exists(source):
        return _of_names(_names_in(_read(source[1:]), source[1:])), 0
    if is_archive(source) and (os.path.isfile(source) or is_remote(source)):
        return _of_archive(source)
    if os.path.isdir(source):
        images, ignored = list_images(source)
        return images if alone else _under(source, images), ignored
    if is_remote(source):
        return _of_objects(source, alone=alone)
    if source.endswith(TABLE_SUFFIXES):
        return list_images(source)
    if not os.path.lexists(source) and glob.has_magic(source):
        return _of_pattern(source)
    if os.path.lexists(source) or is_named_like_an_image(source):
        return _of_names([source]), 0
    return list_images(source)  # which says what is wrong with it


def _of_objects(source: str, *, alone: bool) -> Listing:
    if is_named_like_an_image(source):
        return _of_names([source]), 0
    images, ignored = list_images(source)
    return images if alone else _under(source, images), ignored


def _under(source: str, images: pd.DataFrame) -> pd.DataFrame:
    """Images whose ids begin with what their source is called."""
    folder = printable(source.rstrip("/"))
    return images.assign(image_id=folder + "/" + images["image_id"])


def _of_archive(source: str) -> Listing:
    if is_remote(source):
        raise ManifestError(f"expected an archive on this machine; found {source}.\nCopy it here.")
    members = list_members(source)
    images = [name for name in members if is_named_like_an_image(name)]
    if not images:
        raise ManifestError(
            f"expected images in {printable(source)}; found {len(members)} files, none of them named like one.\n"
            "Name another archive; those within an archive are not opened."
        )
    path = os.path.abspath(source)
    names = [f"{source}/{name.removeprefix('./')}" for name in images]
    return table_of(names, [f"{path}{MARK}{name}" for name in images]), len(members) - len(images)


def _of_pattern(source: str) -> Listing:
    files = [name for name in sorted(glob.glob(source, recursive=True)) if not os.path.isdir(name)]
    images = [name for name in files if is_named_like_an_image(name)]
    if not images:
        raise ManifestError(
            f"expected images; found {len(files)} files like {printable(source)}, none of them named like one.\n"
            "Name others."
        )
    return _of_names(images), len(files) - len(images)


def _of_names(names: Iterable[str]) -> pd.DataFrame:
    """Files as they are named, whether there are such or not."""
    names = [*names]
    return table_of(names, [name if is_remote(name) else os.path.abspath(name) for name in names])


def _names_in(content: bytes, where: str) -> list[str]:
    """The names in a list, each ended by NUL if there is any in it, else by the line's end."""
    parts = content.split(b"\0") if b"\0" in content else content.splitlines()
    names = [os.fsdecode(part) for part in parts if part]
    if not names:
        raise ManifestError(f"expected names of files, one per line; found none in {printable(where)}.")
    return names


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ManifestError(f"expected a list of files; {printable(path)}: {error.strerror}.\nName another.") from None
