"""Templates: where a face lies in its crop, as rows of data, and the one resampling that brings it there.

A point x, y is a complex number here, x + iy: a similarity transform is then z -> a z + b, and cannot reflect.
"""

import cmath
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import FaceprobeError
from embedder.faces.face import Face, five_points
from embedder.preprocess import Picture

Plane = NDArray[np.complex128]
Similarity = tuple[complex, complex]  # a and b of z -> a z + b

_MIDDLE = 0.5 + 0.5j  # of the unit square; and of a pixel, where landmarks count from
_LEAST_LIKENESS = 0.5  # cosine between landmarks and places: faces have 0.9 and more, a mirrored one 0.2


class AlignmentError(FaceprobeError):
    """A face that cannot be brought to a template, or a template that there is not."""


@dataclass(frozen=True)
class Points:
    """Landmarks that are brought to places.

    Attributes
    ----------
    numbers : which of a face's landmarks.
    places : where each lies in the unit square of the crop, from its upper left corner: x + iy.
    """

    numbers: tuple[int, ...]
    places: tuple[complex, ...]


@dataclass(frozen=True)
class Template:
    """How a face becomes a crop.

    Attributes
    ----------
    points : what lies where, by how many landmarks a detector gives; a face with 68 has five points too. Empty: the
        crop is a square about the middle of the face's box, of the box's longer side.
    level : turn that square until the eyes are level, as deepface does; else it stands as the detector saw the face
        (`Face.turned`).
    side : of the crop in pixels; None for whatever is asked for.
    nearest_in : "crop" or "picture": where the distances between landmarks and places are made small. In the crop, as
        InsightFace does, a face unlike the template comes out a little smaller; in the picture, as dlib does, a little
        larger, and the average of faces as they were.
    """

    points: Mapping[int, Points] = field(default_factory=dict)
    level: bool = False
    side: int | None = None
    nearest_in: str = "crop"


def _points(numbers: tuple[int, ...], side: int, *pixels: tuple[float, float]) -> Points:
    """Places as pixels of a crop of `side`; whole numbers are centres of pixels."""
    return Points(numbers, tuple((complex(*each) + _MIDDLE) / side for each in pixels))


ALL_FIVE = (0, 1, 2, 3, 4)
NOSE_EYES_UPPER_LIP = (*range(27, 55), *range(60, 65))  # by which dlib cuts chips where there are 68 landmarks
CHIP_SIDE = 200

# fmt: off
# From `python -m benchmarks.fit_chip` on UTKFace, whose chips are as of dlib's get_face_chip with padding 0.2.
_CHIP_68 = _points(
    NOSE_EYES_UPPER_LIP, CHIP_SIDE,
    (98.0, 58.0), (98.0, 72.6), (97.9, 87.1), (97.9, 101.9), (80.5, 112.2),  # nose, downwards
    (89.0, 115.0), (98.0, 117.5), (107.1, 115.0), (115.8, 112.2),
    (43.2, 60.3), (53.1, 54.5), (64.7, 54.7), (74.9, 62.8), (63.8, 64.5), (52.2, 64.2),  # the eye on the left
    (121.6, 62.8), (131.6, 54.8), (143.3, 54.5), (153.2, 60.4), (144.0, 64.3), (132.3, 64.5),  # the one on the right
    (62.3, 137.9), (75.7, 133.4), (88.7, 131.0), (98.2, 133.1), (107.4, 131.0),  # upper lip, outside
    (120.6, 133.4), (134.3, 137.9),
    (67.5, 138.7), (88.6, 138.0), (98.2, 139.0), (107.5, 138.0), (129.1, 138.7),  # and inside
)
_CHIP_5 = _points(ALL_FIVE, CHIP_SIDE, (58.5, 60.2), (137.8, 60.3), (97.8, 101.9), (62.3, 137.8), (134.3, 137.7))
# InsightFace's, from its authors' code for ArcFace (Deng et al. 2019).
_ARCFACE = _points(
    ALL_FIVE, 112, (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)
)
# fmt: on

TEMPLATES = {
    "chip": Template({68: _CHIP_68, 5: _CHIP_5}, side=CHIP_SIDE, nearest_in="picture"),
    "arcface": Template({5: _ARCFACE}),
    "eyes": Template(level=True),
    "box": Template(),
}


def align(picture: Picture, face: Face, template: str, *, side: int, margin: float = 0.0) -> Picture:
    """Cut a face out of a picture so that it lies as the template says.

    The picture is resampled once, bilinearly, after whole pixels were averaged where the face is more than twice as
    large as in the crop; black stands where the picture ends. No array is larger than the part of it that is seen.

    `eyes` differs from deepface's alignment in four things: the crop is a square of the picture's own pixels where
    deepface cuts the box and fills up with black; it is not first rotated (bicubic), then cut at whole pixels, then
    scaled; a margin is not cut off at the picture's border; and a negative one narrows.

    Parameters
    ----------
    picture : ndarray of shape (height, width, 3), uint8, RGB, upright, at full size.
    face : what a detector found in it.
    template : a key of `TEMPLATES`.
    side : of the crop in pixels. The template `chip` has its own, 200, whatever is asked for: chips that are
        declared are files of 200 x 200 pixels, and what comes after must see both alike.
    margin : percent by which more is seen, about the middle: 20 shows 1.2 times the template's width. Above -100.

    Returns
    -------
    ndarray of shape (side, side, 3), uint8, RGB.

    Raises
    ------
    AlignmentError : an unknown template, a margin that leaves nothing, landmarks that are missing or make no face,
        an empty box.
    """
    matrix = crop_matrix(face, template, side=side, margin=margin)
    return _resample(picture, matrix, TEMPLATES[template].side or side)


def crop_matrix(face: Face, template: str, *, side: int, margin: float = 0.0) -> NDArray[np.float64]:
    """Give the transform of `align`: from x, y, 1 in the picture to x, y in the crop, in pixels; shape (2, 3).

    Centres of pixels are whole numbers on both sides, as in landmarks. Parameters and errors are those of `align`.
    """
    if template not in TEMPLATES:
        raise AlignmentError(f'expected a template, one of {", ".join(TEMPLATES)}; found "{template}".')
    if not -100 < margin < math.inf:
        raise AlignmentError(f"expected a margin above -100 percent; found {margin}. Choose one such as 20 or -10.")
    row = TEMPLATES[template]
    a, b = _onto_points(face, row) if row.points else _onto_box(face, level=row.level)
    side = row.side or side
    scale = side / (1 + margin / 100)
    a, b = a * scale, (b - _MIDDLE) * scale + _MIDDLE * side
    b += (a - 1) * _MIDDLE  # so far pixels counted from their corners
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _onto_points(face: Face, template: Template) -> Similarity:
    """Landmarks of the picture to places in the unit square."""
    given = face.landmarks
    if len(given) not in (5, 68):
        raise AlignmentError(_needs_landmarks(face))
    points = template.points.get(len(given))
    if points is None:
        given, points = five_points(given), template.points[5]
    return _fit(_plane(given[list(points.numbers)]), np.array(points.places), nearest_in=template.nearest_in)


def _onto_box(face: Face, *, level: bool) -> Similarity:
    """The square about the box's middle to the unit square, turned upright."""
    left, top, right, bottom = face.box
    side = max(right - left, bottom - top)
    if not 0 < side < math.inf:
        raise AlignmentError(f"expected a box of some size; found {face.box}. Leave such faces out.")
    angle = _angle_of_eyes(face) if level else -math.radians(face.turned)
    a = cmath.rect(1 / side, -angle)
    return a, _MIDDLE - a * complex(left + right, top + bottom) / 2


def _angle_of_eyes(face: Face) -> float:
    """How far the face is turned clockwise in the picture, in radians."""
    if len(face.landmarks) not in (5, 68):
        raise AlignmentError(_needs_landmarks(face))
    left, right = _plane(five_points(face.landmarks)[:2])
    if not 0 < abs(right - left) < math.inf:
        raise AlignmentError(f"expected two eyes in two places; found both at {left.real:g}, {left.imag:g}.")
    return cmath.phase(right - left)


def _fit(points: Plane, places: Plane, *, nearest_in: str) -> Similarity:
    """Find the similarity transform that brings points to places by least squares.

    Umeyama (1991) solves this in any dimension by a singular value decomposition; in the plane it is linear.
    """
    middle, aim = points.mean(), places.mean()
    z, w = points - middle, places - aim
    likeness = abs(np.vdot(z, w)) / max(float(np.linalg.norm(z) * np.linalg.norm(w)), 1e-9)
    if not likeness > _LEAST_LIKENESS:  # NaN fails as well
        raise AlignmentError("expected landmarks that make a face; found them in one place, or mirrored.")
    a = complex(np.vdot(z, w) / np.vdot(z, z) if nearest_in == "crop" else np.vdot(w, w) / np.vdot(w, z))
    return a, complex(aim - a * middle)


def _plane(landmarks: NDArray[np.float32]) -> Plane:
    """Landmarks (k, 2) as complex numbers, measured from the corner of the picture's first pixel."""
    x, y = landmarks.astype(np.float64).T
    return np.asarray(x + 1j * y + _MIDDLE)


def _needs_landmarks(face: Face) -> str:
    return (
        f"expected a face with 5 or 68 landmarks; found {len(face.landmarks)}.\n"
        "Choose the template box, or a detector that gives landmarks."
    )


def _resample(picture: Picture, matrix: NDArray[np.float64], side: int) -> Picture:
    """Warp a picture into (side, side, 3), looking only at the part that is seen."""
    whole = np.vstack([matrix, (0, 0, 1)])
    corners = np.linalg.inv(whole)[:2] @ [(0, side, 0, side), (0, 0, side, side), (1, 1, 1, 1)]
    shrink = max(1, int(1 / math.sqrt(np.linalg.det(matrix[:, :2]))))
    (left, right), (top, bottom) = (
        _seen(along, length, shrink) for along, length in zip(corners, picture.shape[1::-1], strict=True)
    )
    if left >= right or top >= bottom:
        return np.zeros((side, side, 3), np.uint8)
    part = picture[top:bottom, left:right]
    if shrink > 1:
        size = max(1, round((right - left) / shrink)), max(1, round((bottom - top) / shrink))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    across, down = (right - left) / part.shape[1], (bottom - top) / part.shape[0]
    onto_picture = [(across, 0, left + (across - 1) / 2), (0, down, top + (down - 1) / 2), (0, 0, 1)]
    warped = cv2.warpAffine(part, (whole @ onto_picture)[:2], (side, side), flags=cv2.INTER_LINEAR)
    return warped.astype(np.uint8, copy=False)


def _seen(along: NDArray[np.float64], length: int, shrink: int) -> tuple[int, int]:
    """First and last pixel (excluded) of what lies between corners, and of the neighbours that bilinear needs.

    A multiple of `shrink` where the picture is long enough, so that whole pixels are averaged.
    """
    low = max(0, math.floor(along.min()) - 2 * shrink)
    high = math.ceil(along.max()) + 2 * shrink
    return low, min(length, low + shrink * math.ceil((high - low) / shrink))
