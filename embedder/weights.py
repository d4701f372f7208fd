"""Where the weight files of pretrained backbones lie: in deepface's own folder, so that both find the same files."""

import os
from collections.abc import Sequence
from pathlib import Path

from data.errors import BackboneError


def weights_folder() -> Path:
    """The folder of deepface: $DEEPFACE_HOME/.deepface/weights, below the home directory by default."""
    return Path(os.environ.get("DEEPFACE_HOME", Path.home())) / ".deepface" / "weights"


def find_weights(files: Sequence[str]) -> Path | None:
    """The first of these files that is in the folder."""
    return next((path for name in files if (path := weights_folder() / name).is_file()), None)


def require_weights(name: str, files: Sequence[str]) -> Path:
    """The first of a backbone's files that is in the folder.

    Raises
    ------
    BackboneError : none is there.
    """
    path = find_weights(files)
    if path is None:
        raise BackboneError(f"{name} needs {' or '.join(files)} in {weights_folder()}")
    return path
