"""Face detectors by name: a setting in words, the detector it loads, and faces in full-size coordinates.

Rows of data and the libraries are in `embedder.faces.detectors`. What all share is here: the size of the picture that a
library sees, the search in turned pictures, landmarks at full size, and that an exception is never "no face".
"""

import dataclasses
import math
import threading
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import DetectorError
from embedder.faces.detectors.dlib import landmarks_68
from embedder.faces.detectors.row import Found, Library
from embedder.faces.detectors.table import (
    DETECTORS,
    MODULES,
    DetectorState,
    describe_row,
    list_detectors,
    require_detector,
)
from embedder.faces.face import Face
from embedder.preprocess import Picture

__all__ = [
    "DEFAULT",
    "DETECTORS",
    "Detector",
    "DetectorSpec",
    "DetectorState",
    "describe_detector",
    "list_detectors",
    "load_detector",
    "parse_detector",
]

DEFAULT = "hog"
SIDES = (100, 20_000)  # that may be asked for, in pixels
TURNS = (90, 180, 270)
ENLARGED = 4  # times at most; beyond it a least face would have fewer pixels than any backbone can use
_LEAST_SIDE = 80  # of what a library is given: networks fail on strips that are narrower than their filters


@dataclass(frozen=True)
class DetectorSpec:
    """A detector with its settings; `str` gives the shortest text that `parse_detector` reads as the same.

    Attributes
    ----------
    name : a key of DETECTORS.
    side : pixels to which the longer side of a picture is brought for detecting; it is enlarged ENLARGED times at most.
    turned : where nothing is found, whether to look at the picture turned by 90, 180 and 270 degrees.
    """

    name: str
    side: int
    turned: bool = False

    def __str__(self) -> str:
        side = "" if self.side == DETECTORS[self.name].side else f":{self.side}"
        return f"{self.name}{side}{':turned' if self.turned else ''}"

    def scale(self, width: int, height: int) -> float:
        """What the sides of a picture are multiplied with for detecting."""
        return min(self.side / max(width, height), ENLARGED)

    def least_face(self, width: int, height: int) -> float | None:
        """Side of the least face in pixels that can be found in a picture of this size; None where it is not known."""
        least = DETECTORS[self.name].least
        return None if least is None else least / self.scale(width, height)


class Detector(Protocol):
    """Finds faces. Threads that share one take turns; dlib holds Python's lock besides, so use processes."""

    def detect(self, picture: Picture) -> list[Face]:
        """Faces in an upright picture (height, width, 3), uint8, RGB; the largest first, [] where there is none.

        Raises
        ------
        DetectorError : with the words of the library, which failed.
        """

    def close(self) -> None:
        """Let go of the library."""


def parse_detector(setting: str) -> DetectorSpec:
    """Read NAME, NAME:SIDE, NAME:turned or NAME:SIDE:turned.

    Raises
    ------
    DetectorError : a name that is not in DETECTORS, or settings that are neither a side in pixels nor "turned".
    """
    name, *settings = setting.split(":")
    if name not in DETECTORS:
        raise DetectorError(f"unknown detector {name!r}; known are {', '.join(DETECTORS)}")
    turned = settings[-1:] == ["turned"]
    sides = settings[:-1] if turned else settings
    if not sides:
        return DetectorSpec(name, DETECTORS[name].side, turned)
    if len(sides) == 1 and sides[0].isdecimal() and SIDES[0] <= int(sides[0]) <= SIDES[1]:
        return DetectorSpec(name, int(sides[0]), turned)
    raise DetectorError(
        f"a detector is NAME, NAME:SIDE with {SIDES[0]} to {SIDES[1]} pixels, or either with :turned at its end, as in "
        f"{name}:{DETECTORS[name].side}:turned; found {setting!r}"
    )


def load_detector(setting: str) -> Detector:
    """Load what a setting asks for. Nothing is downloaded.

    Raises
    ------
    DetectorError : as `parse_detector`; or what is missing and how to get it; or what the library says.
    """
    spec = parse_detector(setting)
    row = require_detector(spec.name)
    try:
        return _Detector(spec, MODULES[row.module].load(row))
    except DetectorError:
        raise
    except Exception as error:
        raise DetectorError(f"{row.name} cannot be loaded: {_words(error)}") from error


def describe_detector(spec: DetectorSpec) -> dict[str, Any]:
    """Return what finds faces, for a JSON file: settings, and as `describe_row`."""
    return {**dataclasses.asdict(spec), **describe_row(DETECTORS[spec.name])}


class _Detector:
    """What all detectors share, around a library that finds faces in a picture of its own size."""

    def __init__(self, spec: DetectorSpec, library: Library) -> None:
        self._spec = spec
        self._library: Library | None = library
        self._alone = threading.Lock()  # no library here bears two threads in one detector

    def detect(self, picture: Picture) -> list[Face]:
        """See `Detector`."""
        if self._library is None:
            raise DetectorError(f"{self._spec} is closed: load it again")
        try:
            return sorted(self._faces(self._library, picture), key=lambda face: face.size, reverse=True)
        except Exception as error:
            height, width = picture.shape[:2]
            raise DetectorError(f"{self._spec} failed on a picture of {width} x {height}: {_words(error)}") from error

    def close(self) -> None:
        """See `Detector`."""
        self._library = None

    def _faces(self, library: Library, picture: Picture) -> list[Face]:
        small = _resized(picture, self._spec)
        faces = self._look(library, picture, small, 0)
        if faces or not self._spec.turned:
            return faces
        by_turn = [self._look(library, picture, small, turned) for turned in TURNS]
        return max(by_turn, key=lambda faces: max((face.confidence for face in faces), default=-math.inf))

    def _look(self, library: Library, picture: Picture, small: Picture, turned: int) -> list[Face]:
        """Faces in the picture turned clockwise, in coordinates of the upright one."""
        seen, shown = (np.rot90(whole, -turned // 90) for whole in (picture, small))
        below, beside = (max(0, _LEAST_SIDE - length) for length in shown.shape[:2])
        padded = cv2.copyMakeBorder(np.ascontiguousarray(shown), 0, below, 0, beside, cv2.BORDER_CONSTANT)
        with self._alone:
            found = library.find(padded.astype(np.uint8, copy=False))
        scale = np.array(seen.shape[1::-1]) / shown.shape[1::-1]
        faces = (_at_full_size(one, seen, scale) for one in found)
        return [_upright(face, turned, picture) for face in faces if face.size > 0]


def _resized(picture: Picture, spec: DetectorSpec) -> Picture:
    height, width = picture.shape[:2]
    scale = spec.scale(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return np.ascontiguousarray(picture)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(picture, size, interpolation=how).astype(np.uint8, copy=False)


def _at_full_size(found: Found, seen: Picture, scale: NDArray[np.float64]) -> Face:
    """A face of the small picture in pixels of the full one, which is seen as it is turned."""
    left, top, right, bottom = (float(edge) for edge in np.array(found.box) * np.tile(scale, 2))
    box = (left, top, right, bottom)
    if found.landmarks is None:
        landmarks = landmarks_68(seen, box)
    else:
        landmarks = ((found.landmarks + 0.5) * scale - 0.5).astype(np.float32)  # the middle of a pixel, not its edge
    return Face(box, landmarks, float(found.confidence))


def _upright(face: Face, turned: int, picture: Picture) -> Face:
    """A face of the turned picture in coordinates of the upright one."""
    height, width = picture.shape[:2]
    corners = _turned_back(np.reshape(face.box, (2, 2)), turned, (width, height))
    left, top = (float(edge) for edge in corners.min(axis=0))
    right, bottom = (float(edge) for edge in corners.max(axis=0))
    landmarks = _turned_back(face.landmarks, turned, (width - 1, height - 1)).astype(np.float32)
    return Face((left, top, right, bottom), landmarks, face.confidence, turned)


def _turned_back(points: NDArray[Any], turned: int, size: tuple[int, int]) -> NDArray[Any]:
    """Points (n, 2) of a picture that was turned clockwise, where they are in the upright one of (width, height)."""
    x, y = points.T
    width, height = size
    return np.stack({0: (x, y), 90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[turned], axis=1)


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
