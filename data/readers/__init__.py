"""Datasets by name. A reader turns a folder into a manifest and a table of the files it left out."""

from collections.abc import Callable

from data.readers import folder, utkface
from data.readers.files import Reading

READERS: dict[str, Callable[..., Reading]] = {
    "folder": folder.read,
    "utkface": utkface.read,
}
