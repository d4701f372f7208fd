"""What the modules of this package have in common: a detector as a row of data, and a loaded library."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from embedder.faces.face import Landmarks
from embedder.preprocess import Picture
from embedder.weights import WeightFile, weights_folder


@dataclass(frozen=True)
class DetectorRow:
    """One detector as a row of data.

    Parameters
    ----------
    name : what people write.
    module : the module of `embedder.faces.detectors` that loads it.
    side : the longer side in pixels to which a picture is brought by default.
    least : side of the least face in pixels that it finds in the picture of that size; None where it is not known.
    threshold : the least confidence of what is taken for a face, where it is set here.
    landmarks : how many it gives of a face: 5 of its own, or the 68 of dlib's predictor on its box.
    packages : what to install, by the module that comes with it.
    files : its model files; without URLs where they come with a package.
    within : folders of packages where they may lie, beside deepface's own folder.
    licence : of the library and its model.
    about : in a few words.
    """

    name: str
    module: str
    side: int
    licence: str
    about: str
    least: int | None = None
    threshold: float | None = None
    landmarks: int = 68
    packages: Mapping[str, str] = field(default_factory=dict)
    files: tuple[WeightFile, ...] = ()
    within: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """A face in the picture that a library was given.

    Attributes
    ----------
    box : left, top, right, bottom of its edges, in pixels: the first pixel reaches from 0 to 1.
    landmarks : (5, 2) float32 as in `Face`, in pixels: the middle of the first one is at 0; None where there are none.
    """

    box: tuple[float, float, float, float]
    confidence: float
    landmarks: Landmarks | None = None


class Library(Protocol):
    """A detector that is loaded. It need not bear several threads."""

    def find(self, picture: Picture) -> Sequence[Found]:
        """Faces in a picture (height, width, 3), uint8, RGB, contiguous; in any order."""


def find_file(row: DetectorRow, name: str) -> Path | None:
    """Where a model file lies, without importing anything."""
    folders = [folder for within in row.within for folder in _package_folders(within)]
    return next((path for folder in (*folders, weights_folder()) if (path := folder / name).is_file()), None)


def _package_folders(within: str) -> list[Path]:
    package, _, inner = within.partition("/")
    found = importlib.util.find_spec(package)
    return [Path(folder) / inner for folder in (found and found.submodule_search_locations) or []]
