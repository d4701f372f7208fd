"""Pictures made worse on purpose, to see how much a head suffers: blur, darkness, noise, spectacles, a mask.

Occlusions sit where the parts of a face are in an aligned chip (UTKFace's: outer eye corners at 0.305 and 0.685 of its
width, 0.305 of its height). All sizes grow with the picture, so levels mean the same at any resolution.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from data.errors import FaceprobeError

Picture = NDArray[np.uint8]

WORST = 5  # levels go from 0, the picture as it is, to this
_EYES = ((0.36, 0.315), (0.64, 0.315))  # centres of the lenses, shares of width and height
_LENS = (0.115, 0.085)  # half axes, shares of the width
_CHIN, _NOSE = 0.92, 0.47  # heights between which a mask rises
_MASK_COLOUR = (196, 218, 228)
_LENS_COLOUR = (20, 20, 24)


def corrupt(picture: Picture, name: str, level: int, *, seed: int = 0) -> Picture:
    """Make a picture worse.

    Parameters
    ----------
    picture : ndarray of shape (height, width, 3), uint8, RGB; it is left as it is.
    name : a key of `CORRUPTIONS`.
    level : 0, which changes nothing, to `WORST`.
    seed : of the noise; give each picture its own, or all get the same pattern.

    Returns
    -------
    ndarray of the same shape, uint8 : a new one.

    Raises
    ------
    FaceprobeError : an unknown corruption or level.
    """
    if name not in CORRUPTIONS or not 0 <= level <= WORST:
        raise FaceprobeError(
            f"expected one of {', '.join(CORRUPTIONS)} at level 0 to {WORST}; found {name} at level {level}."
        )
    if level == 0:
        return picture.copy()
    return CORRUPTIONS[name](picture, level, np.random.default_rng(seed))


def _blur(picture: Picture, level: int, rng: np.random.Generator) -> Picture:
    """Blur with a Gaussian of 0.8% of the width per level: a face seen from afar, or out of focus."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.008 * picture.shape[1] * level), dtype=np.uint8)


def _darken(picture: Picture, level: int, rng: np.random.Generator) -> Picture:
    """Take 30% of the light away per level."""
    return np.rint(picture * 0.7**level).astype(np.uint8)


def _noise(picture: Picture, level: int, rng: np.random.Generator) -> Picture:
    """Add Gaussian noise of deviation 10 of 255 per level, in each channel."""
    return np.clip(np.rint(picture + rng.normal(0, 10 * level, picture.shape)), 0, 255).astype(np.uint8)


def _spectacles(picture: Picture, level: int, rng: np.random.Generator) -> Picture:
    """Put on spectacles: dark frames, with lenses from clear to black."""
    height, width = picture.shape[:2]
    axes = (round(_LENS[0] * width), round(_LENS[1] * width))
    centres = [(round(x * width), round(y * height)) for x, y in _EYES]
    stroke = max(1, round(0.015 * width))
    lenses = picture.copy()
    for centre in centres:
        cv2.ellipse(lenses, centre, axes, 0, 0, 360, _LENS_COLOUR, cv2.FILLED)
    worn = cv2.addWeighted(lenses, level / WORST, picture, 1 - level / WORST, 0)
    for centre in centres:
        cv2.ellipse(worn, centre, axes, 0, 0, 360, _LENS_COLOUR, stroke)
    (left, y), (right, _) = centres
    cv2.line(worn, (left + axes[0], y), (right - axes[0], y), _LENS_COLOUR, stroke)
    return np.asarray(worn, dtype=np.uint8)


def _mask(picture: Picture, level: int, rng: np.random.Generator) -> Picture:
    """Put on a mask, which reaches from below the chin up to the nose at the worst level."""
    height, width = picture.shape[:2]
    top = round((_CHIN + (_NOSE - _CHIN) * level / WORST) * height)
    worn = picture.copy()
    face = np.zeros((height, width), dtype=np.uint8)
    cv2.ellipse(face, (width // 2, round(0.45 * height)), (round(0.33 * width), round(0.5 * height)), 0, 0, 360, 1, -1)
    face[:top] = 0
    worn[face > 0] = _MASK_COLOUR
    return worn


CORRUPTIONS: Mapping[str, Callable[[Picture, int, np.random.Generator], Picture]] = {
    "blur": _blur,
    "darkness": _darken,
    "noise": _noise,
    "spectacles": _spectacles,
    "mask": _mask,
}
