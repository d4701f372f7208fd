"""How good a face's picture is: size, sharpness, light, pose, and one number for all."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from embedder.faces.face import Face, five_points
from embedder.preprocess import Picture

MEASURED_SIDE = (
    96  # pixels to which the box's longer side is brought, so that light and sharpness compare between sizes
)

# What a measure is worth: nothing at the first number and beyond, all at the second, and on a straight line in between.
WORTH = (
    ("size", 16.0, 96.0),
    ("sharpness", 10.0, 80.0),  # UTKFace's chips: 193 in the middle; 42 and 12 blurred with sigma 2 and 4 pixels of 200
    ("exposure", 0.03, 0.12),  # dark skin in good light has 0.16 and more
    ("exposure", 0.98, 0.85),
    ("contrast", 0.02, 0.08),
    ("inside", 0.50, 0.95),
    ("yaw", 60.0, 25.0),
    ("pitch", 75.0, 40.0),  # wide: a face's own proportions look like 15 degrees of it
)

# The five points of an average face seen from the front, in distances between its eyes: x to the right and y downwards
# as in the template `chip`; z away from the viewer after the anthropometric model of Martins and Batista (2008).
_MODEL = np.array([(-0.50, -0.34, 0.0), (0.50, -0.34, 0.0), (0.0, 0.18, -0.42), (-0.46, 0.64, 0.0), (0.46, 0.64, 0.0)])
_SOLVE = np.linalg.pinv(_MODEL - _MODEL.mean(axis=0))  # (3, 5)


@dataclass(frozen=True)
class Quality:
    """What can be said of a face's picture.

    Attributes
    ----------
    size : side of the square with the box's area, pixels.
    sharpness : variance of the Laplacian (Pech-Pacheco et al. 2000) of the grey face at `MEASURED_SIDE`, grey from 0 to
        255. The same for one face photographed at any larger size; less for smaller ones, which lack detail.
    exposure : mean luminance, 0 black .. 1 white.
    contrast : standard deviation of luminance (Peli 1990), 0 .. 0.5.
    inside : share of the box's area that lies within the picture, 0 .. 1.
    yaw : degrees by which the face looks to the right of the picture. The angles are None without landmarks.
    pitch : degrees by which it looks up; rough, as it cannot be told from a face's own proportions.
    roll : degrees by which the head is turned clockwise in the picture, -180 .. 180.
    """

    size: float
    sharpness: float
    exposure: float
    contrast: float
    inside: float
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None

    @property
    def overall(self) -> float:
        """The least worth by `WORTH`, 0 .. 1; without roll, which aligning undoes, and without angles not known."""
        return min(1.0, max(0.0, min(self._worth())[0]))

    @property
    def weakest(self) -> str:
        """The name of the measure that decides `overall`."""
        return min(self._worth())[1]

    def _worth(self) -> list[tuple[float, str]]:
        measured = [(getattr(self, name), nothing, most, name) for name, nothing, most in WORTH]
        return [
            ((abs(value) - nothing) / (most - nothing), name)
            for value, nothing, most, name in measured
            if value is not None
        ]


def measure(picture: Picture, face: Face) -> Quality:
    """Measure a face in its picture (height, width, 3), uint8 RGB, at full size; nothing is NaN, whatever the box."""
    left, top, right, bottom = face.box
    height, width = picture.shape[:2]
    seen = max(0.0, left), max(0.0, top), min(float(width), right), min(float(height), bottom)
    area, seen_area = _area(face.box), _area(seen)
    if not seen_area:
        return Quality(face.size, 0.0, 0.0, 0.0, 0.0, *pose(face))
    longer = max(right - left, bottom - top, 1.0)  # what lies in a thousandth of a pixel is not drawn large
    gray = _gray(picture, seen, MEASURED_SIDE / longer)
    sharpness, luminance = float(cv2.Laplacian(gray, cv2.CV_64F).var()), gray / 255
    return Quality(face.size, sharpness, float(luminance.mean()), float(luminance.std()), seen_area / area, *pose(face))


def _area(box: tuple[float, float, float, float]) -> float:
    left, top, right, bottom = box
    return max(0.0, right - left) * max(0.0, bottom - top)


def _gray(picture: Picture, box: tuple[float, float, float, float], factor: float) -> NDArray[np.uint8]:
    """The part of a picture in a box, which lies within it: scaled, and grey (ITU-R 601)."""
    left, top, right, bottom = int(box[0]), int(box[1]), int(np.ceil(box[2])), int(np.ceil(box[3]))
    size = max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(picture[top:bottom, left:right], size, interpolation=how)
    return cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def pose(face: Face) -> tuple[float, float, float] | tuple[None, None, None]:
    """Estimate yaw, pitch and roll as in `Quality` from five points; None without landmarks that span a face.

    The points are a rigid model seen from afar (scaled orthographic projection, the first step of DeMenthon and Davis
    1995), by least squares, made a rotation by a singular value decomposition. A perspective camera (`cv2.solvePnP`)
    needs a focal length, which a cropped picture does not tell, and sees a face at the picture's border turned.
    """
    if len(face.landmarks) not in (5, 68):
        return None, None, None
    points = five_points(face.landmarks).astype(np.float64)
    axes = _SOLVE @ (points - points.mean(axis=0))  # (3, 2): the first two rows of a rotation, times the scale
    if not np.linalg.norm(axes, 2) > 1e-6:
        return None, None, None
    u, _, vt = np.linalg.svd(axes, full_matrices=False)
    right, down = (u @ vt).T
    ahead = np.cross(right, down)
    yaw, pitch, roll = np.arcsin(ahead[0]), -np.arctan2(ahead[1], ahead[2]), np.arctan2(down[0], right[0])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
