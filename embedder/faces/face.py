"""What a detector finds in a picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Landmarks = NDArray[np.float32]

# Where the five points lie among the 68 of iBUG 300-W (Sagonas et al. 2013): an eye is the mean of its six points.
_EYES_68 = (slice(36, 42), slice(42, 48))
_NOSE_AND_MOUTH_68 = (30, 48, 54)


@dataclass(frozen=True, eq=False)
class Face:
    """One face, in pixels of the upright picture at its full size.

    Boxes count edges, so that one of the whole picture is 0, 0, width, height. Landmarks count centres of pixels: the
    first one's is at 0, 0.

    Attributes
    ----------
    box : left, top, right, bottom; may reach beyond the picture.
    landmarks : ndarray of shape (k, 2), float32: x and y of each. k is 68 (iBUG 300-W, as dlib numbers them) or 5: the
        eye on the left of an upright face's picture, the one on its right, the tip of the nose, the left and the right
        corner of the mouth.
    confidence : the detector's own; comparable within one detector only.
    turned : degrees by which the picture had to be turned clockwise for the detector to see the face: 0, 90, 180, 270.
    """

    box: tuple[float, float, float, float]
    landmarks: Landmarks
    confidence: float
    turned: int = 0

    @property
    def size(self) -> float:
        """Side of the square with the area of the box, in pixels."""
        left, top, right, bottom = self.box
        return float(np.sqrt(max(0.0, right - left) * max(0.0, bottom - top)))


def five_points(landmarks: Landmarks) -> Landmarks:
    """Both eyes, the tip of the nose and the corners of the mouth, (5, 2), from 5 or 68 landmarks.

    "Left" is the side of the picture on an upright face, whatever way the face is turned in it.
    """
    if len(landmarks) == 5:
        return landmarks
    eyes = [landmarks[eye].mean(axis=0) for eye in _EYES_68]
    return np.stack([*eyes, *(landmarks[point] for point in _NOSE_AND_MOUTH_68)]).astype(np.float32)
