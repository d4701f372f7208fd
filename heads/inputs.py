"""Stored rows to what heads train on: in linear steps that are folded into a net's first layer afterwards.

Only the division by a row's length ("l2") is not linear: the net that does it says so, `Net.normalise`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.net import Floats, flatten

INPUTS = ("standard", "l2", "raw")  # standardised; divided by their length, then standardised; as they are stored
WIDEST = 1024  # features; wider rows, such as 128 x 128 pixels, are reduced to their principal components
COMPONENTS = 512
_BASIS_ROWS = 2048  # training rows that the components are learned from: 4 s per fold for 128 x 128 pixels
_BLOCK = 1024  # rows at a time that are turned to float32


@dataclass(frozen=True, eq=False)
class Projection:
    """z = (x @ basis - mean) * scale, all of it learned from training rows.

    Attributes
    ----------
    basis : ndarray of shape (features, components), float32; None for the identity.
    mean, scale : ndarrays of shape (components,), float32.
    """

    basis: Floats | None
    mean: Floats
    scale: Floats

    def __call__(self, X: NDArray[Any]) -> Floats:
        """Map rows (n, ...) to (n, components) of mean 0 and deviation about 1 on the training rows."""
        return (reduce_rows(X, self.basis) - self.mean) * self.scale

    def fold(self, kernel: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Rewrite a layer (..., components, out) with its bias (..., out) on z as one (..., features, out) on x."""
        scaled = self.scale[:, None] * kernel
        return (scaled if self.basis is None else self.basis @ scaled), bias - self.mean @ scaled


def learn_projection(X: NDArray[Any], *, seed: int) -> Projection:
    """Learn to standardise training rows (n, ...), by way of principal components where they are wide."""
    basis = learn_basis(X, seed=seed)
    return standardise(reduce_rows(X, basis), basis)


def project(reduced: Floats, basis: Floats | None, *, how: str) -> Projection:
    """Complete a basis for training rows (n, components) that are to be read as `how` says, one of `INPUTS`."""
    if how == "raw":
        return Projection(basis, np.zeros(reduced.shape[1], np.float32), np.ones(reduced.shape[1], np.float32))
    return standardise(reduced, basis)


def standardise(reduced: Floats, basis: Floats | None) -> Projection:
    """Complete a basis with the mean and scale that its components, (n, components), have on the training rows.

    Features get deviation 1 each, unless constant. Principal components get it together and keep their proportions:
    blown up one by one, the last ones are noise (age MAE on UTKFace's pixels 8.6 instead of 7.5).
    """
    deviation = reduced.std(axis=0, dtype=np.float64)
    if basis is not None:
        deviation = np.full_like(deviation, np.sqrt(np.square(deviation).mean()))
    scale = 1 / np.where(deviation > 1e-6, deviation, 1)
    return Projection(basis, reduced.mean(axis=0, dtype=np.float64).astype(np.float32), scale.astype(np.float32))


def learn_basis(X: NDArray[Any], *, seed: int) -> Floats | None:
    """Find the principal components of wide training rows; None for rows of at most `WIDEST` features."""
    if int(np.prod(X.shape[1:])) <= WIDEST:
        return None
    from sklearn.decomposition import PCA

    chosen = np.sort(np.random.default_rng(seed).permutation(len(X))[:_BASIS_ROWS])
    rows = flatten(X[chosen]).astype(np.float32)
    pca = PCA(min(COMPONENTS, len(rows)), svd_solver="randomized", iterated_power=2, random_state=seed).fit(rows)
    return np.ascontiguousarray(pca.components_.T, dtype=np.float32)


def reduce_rows(X: NDArray[Any], basis: Floats | None) -> Floats:
    """Flatten rows to float32, and multiply them with the basis, some at a time."""
    rows = flatten(X)
    if basis is None:
        return rows.astype(np.float32, copy=False)
    blocks = [rows[start : start + _BLOCK].astype(np.float32) @ basis for start in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks)
