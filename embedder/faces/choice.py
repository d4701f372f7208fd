"""Which of the faces that were found are wanted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.errors import DetectorError
from embedder.known import Outcome

CHOICES = ("largest", "all")

Traits = Mapping[str, NDArray[np.float32]]

TRAITS = ("size", "confidence", "quality")  # columns of a Faces table that can be asked for, in this order
_REFUSALS = {
    "size": ("face_too_small", "--min-face"),
    "confidence": ("low_confidence", "--min-confidence"),
    "quality": ("low_quality", "--min-quality"),
}


@dataclass(frozen=True)
class Choice:
    """Which faces of a picture are wanted. It changes no vector, only which there are.

    Parameters
    ----------
    faces : "largest" or "all" of those that reach the rest.
    min_face : side of the square with the area of the box, in pixels of the picture.
    min_confidence : the detector's own.
    min_quality : from 0 to 1, see `embedder.faces.quality`. None of these asks for nothing.
    """

    faces: str = "largest"
    min_face: float | None = None
    min_confidence: float | None = None
    min_quality: float | None = None

    def __post_init__(self) -> None:
        if self.faces not in CHOICES:
            raise DetectorError(f"expected --faces as one of {', '.join(CHOICES)}; found {self.faces}")

    def wanted(self, traits: Traits, first: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which faces are wanted, of many pictures at once.

        Parameters
        ----------
        traits : by the names in TRAITS, ndarrays of shape (n,): the faces of one picture together, largest first.
        first : ndarray of shape (n,): where the faces of another picture begin.

        Returns
        -------
        ndarray of shape (n,), bool.
        """
        fit = np.ones(len(first), bool)
        for name, floor in self._floors():
            fit &= traits[name] >= floor
        if self.faces == "all":
            return fit
        picture = np.cumsum(first)
        _, best = np.unique(picture[fit], return_index=True)
        chosen = np.zeros(len(first), bool)
        chosen[np.flatnonzero(fit)[best]] = True
        return chosen

    def explain(self, traits: Traits) -> Outcome:
        """Say why none of the faces of one picture is wanted, from `traits` as above: status and reason."""
        left = np.ones(len(traits[TRAITS[0]]), bool)
        for name, floor in self._floors():
            best = traits[name][left].max()
            left &= traits[name] >= floor
            if not left.any():
                status, option = _REFUSALS[name]
                whose = "the face has" if len(left) == 1 else f"of {len(left)} faces the best has"
                return status, f"{whose} {name} {best:.4g}, {option} asks for {floor:g}"
        raise ValueError("one of these faces is wanted")

    def _floors(self) -> list[tuple[str, float]]:
        least = zip(TRAITS, (self.min_face, self.min_confidence, self.min_quality), strict=True)
        return [(name, floor) for name, floor in least if floor is not None]
