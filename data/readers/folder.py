"""Any folder of images, without labels."""

import os

from data.readers.files import Progress, Reading, read_files


def read(root: str | os.PathLike[str], *, on_progress: Progress | None = None) -> Reading:
    """Index every image below a folder; see `files.read_files`."""
    return read_files(root, lambda name: {}, on_progress=on_progress)
