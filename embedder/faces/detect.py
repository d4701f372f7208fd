"""Face detectors by name: what is asked for in words, whether it works here, and faces in full-size coordinates.

Rows of data and the libraries are in `embedder.faces.detectors`. What all share is here: the size of the picture that a
library sees, the search in turned pictures, landmarks at full size, and that an exception is never "no face".
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import math
import re
import shlex
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import DetectorError
from data.files import sha256_of_file
from embedder.download import not_weights
from embedder.faces.detectors import deepface, dlib, mtcnn
from embedder.faces.detectors.row import DetectorRow, Found, Library, find_file
from embedder.faces.face import Face
from embedder.preprocess import Picture
from embedder.weights import WeightFile, weights_folder

_MODULES: dict[str, ModuleType] = {"dlib": dlib, "mtcnn": mtcnn, "deepface": deepface}
DETECTORS: dict[str, DetectorRow] = {row.name: row for module in _MODULES.values() for row in module.ROWS}
DEFAULT = "hog"
SIDES = (100, 20_000)  # that may be asked for, in pixels
TURNS = (90, 180, 270)
_LEAST_SIDE = 80  # of what a library is given: networks fail on strips that are narrower than their filters
_BY_HAND = "faceprobe does not download such files: fetch them by hand, and put them into deepface's folder"
_MARKUP = (".xml",)  # which begins as a web page does
ENLARGED = 4  # times at most; beyond it a least face would have fewer pixels than any backbone can use


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


@dataclass(frozen=True)
class DetectorState:
    """Whether a detector can be used here.

    Attributes
    ----------
    state : "works", "needs a package", "needs a file" or "does not work".
    why : one line; what to do about it, or what the detector is good for.
    """

    name: str
    state: str
    why: str


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
    row = DETECTORS[spec.name]
    found = _state(row)
    if found.state != "works":
        how = [] if found.state == "does not work" else _how_to_get(row)
        raise DetectorError("\n".join([f"{row.name} {found.state}: {found.why}", *how, _what_works()]))
    _check_hashes(row)
    try:
        return _Detector(spec, _MODULES[row.module].load(row))
    except DetectorError:
        raise
    except Exception as error:
        raise DetectorError(f"{row.name} cannot be loaded: {_words(error)}\n{_what_works()}") from error


def list_detectors() -> list[DetectorState]:
    """What works here and why the others do not, without loading any; an installed package is taken to be sound."""
    return [_state(row) for row in DETECTORS.values()]


def describe_detector(spec: DetectorSpec) -> dict[str, Any]:
    """What finds faces: settings, versions of the packages, SHA-256 of the model files, licence; for a JSON file."""
    row = DETECTORS[spec.name]
    paths = {file.name: find_file(row, file.name) for file in row.files}
    return {
        **dataclasses.asdict(spec),
        "packages": {module: _version(module, package) for module, package in sorted(row.packages.items())},
        "files": {name: sha256_of_file(path) for name, path in paths.items() if path},
        "licence": row.licence,
    }


class _Detector:
    """What all detectors share, around a library that finds faces in a picture of its own size."""

    def __init__(self, spec: DetectorSpec, library: Library) -> None:
        self._spec = spec
        self._library: Library | None = library
        self._alone = threading.Lock()  # no library here bears two threads in one detector

    def detect(self, picture: Picture) -> list[Face]:
        """See `Detector`."""
        small = _resized(picture, self._spec)
        faces = self._look(picture, small, 0)
        if not faces and self._spec.turned:
            by_turn = [self._look(picture, small, turned) for turned in TURNS]
            faces = max(by_turn, key=lambda faces: max((face.confidence for face in faces), default=-math.inf))
        return sorted(faces, key=lambda face: face.size, reverse=True)

    def close(self) -> None:
        """See `Detector`."""
        self._library = None

    def _look(self, picture: Picture, small: Picture, turned: int) -> list[Face]:
        """Faces in the picture turned clockwise, in coordinates of the upright one."""
        seen = np.rot90(picture, -turned // 90)
        found = self._find(np.ascontiguousarray(np.rot90(small, -turned // 90)))
        scale = np.array(seen.shape[1::-1]) / np.rot90(small, -turned // 90).shape[1::-1]
        faces = (_at_full_size(one, seen, scale) for one in found)
        return [_upright(face, turned, picture) for face in faces if face.size > 0]

    def _find(self, picture: Picture) -> list[Found]:
        if self._library is None:
            raise DetectorError(f"{self._spec} is closed: load it again")
        below, beside = (max(0, _LEAST_SIDE - length) for length in picture.shape[:2])
        padded = cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_CONSTANT).astype(np.uint8, copy=False)
        try:
            with self._alone:
                return list(self._library.find(padded))
        except Exception as error:
            height, width = picture.shape[:2]
            raise DetectorError(f"{self._spec} failed on a picture of {width} x {height}: {_words(error)}") from error


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
        landmarks = dlib.landmarks_68(seen, box)
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


def _state(row: DetectorRow) -> DetectorState:
    missing = [package for module, package in row.packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        return DetectorState(row.name, "needs a package", shlex.join(["pip", "install", *missing]))
    if why := _MODULES[row.module].unusable(row):
        return DetectorState(row.name, "does not work", why)
    paths = {file.name: find_file(row, file.name) for file in row.files}
    if absent := [name for name, path in paths.items() if path is None]:
        return DetectorState(row.name, "needs a file", f"{' and '.join(absent)} in {weights_folder()}")
    for path in filter(None, paths.values()):
        with open(path, "rb") as file:
            problem = not_weights(file.read(64))
        if problem and path.suffix not in _MARKUP:
            return DetectorState(row.name, "needs a file", f"in place of {path}: {problem}")
    return DetectorState(row.name, "works", row.about)


def _version(module: str, package: str) -> str:
    """Of the package that a module came with, which may be another than the one that is advised."""
    own_name = re.split("[<>=]", package)[0]
    names = (own_name, *importlib.metadata.packages_distributions().get(module, ()))
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"


def _check_hashes(row: DetectorRow) -> None:
    """Refuse files that are not the known ones; those of packages, and those of which none is known, are recorded."""
    for file in row.files:
        path = find_file(row, file.name)
        if path and file.sha256 and (found := sha256_of_file(path)) != file.sha256:
            problem = f"{path} is not used: its SHA-256 is {found}, the known one is {file.sha256}."
            raise DetectorError("\n".join([problem, *_addresses(row, file), _BY_HAND]))


def _how_to_get(row: DetectorRow) -> list[str]:
    """Where each model file that is not there comes from; faceprobe fetches none of them."""
    absent = [file for file in row.files if find_file(row, file.name) is None]
    return [line for file in absent for line in _addresses(row, file)] + ([_BY_HAND] if absent else [])


def _addresses(row: DetectorRow, file: WeightFile) -> list[str]:
    if not file.urls:
        return [f"  {file.name} comes with {row.within[-1].partition('/')[0]}: install that again"]
    return [f"  {file.name}  SHA-256 {file.sha256 or 'not known'}", *(f"    {url}" for url in file.urls)]


def _what_works() -> str:
    return "Works right now:  " + ", ".join(found.name for found in list_detectors() if found.state == "works")


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
