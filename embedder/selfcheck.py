"""Whether a runtime gives what the reference gives: both embed the same drawn pictures."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedder.preprocess import Picture
from embedder.seeded import draw_pictures

LOWEST = {"fp32": 0.99999, "fp16": 0.999}  # cosine that a runtime must reach for every picture, by precision
PICTURES = 32


class Fidelity(NamedTuple):
    """Cosines of rows to the reference's rows of the same pictures.

    `lowest` and `mean` are of what is left when the reference's mean row is subtracted from both: what all embeddings
    share tells no two pictures apart, and hides differences. `plain_lowest` and `plain_mean` are of the rows as they
    are.
    """

    lowest: float
    mean: float
    plain_lowest: float
    plain_mean: float


def fidelity(rows: NDArray[Any], reference: NDArray[Any]) -> Fidelity:
    """Compare rows (n, dim) with the reference's (n, dim); what is not finite, or all zeros, has a cosine of -1."""
    centre = reference.mean(axis=0)
    centred, plain = _cosines(rows - centre, reference - centre), _cosines(rows, reference)
    return Fidelity(float(centred.min()), float(centred.mean()), float(plain.min()), float(plain.mean()))


def _cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    first, second = first.astype(np.float64), second.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        cosines = np.sum(first * second, axis=1) / lengths
    return np.where(np.isfinite(cosines), cosines, -1.0)


def check_pictures(size: tuple[int, int]) -> Picture:
    """Fixed pictures (PICTURES, *size, 3), the same on every machine."""
    return np.ascontiguousarray(draw_pictures(PICTURES, size, seed=1))
