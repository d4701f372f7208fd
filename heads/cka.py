"""How alike two backbones see the same faces: centred kernel alignment of their embeddings."""

import numpy as np
from numpy.typing import NDArray

from heads.net import HeadError, flatten

FEWEST = 4  # rows, below which the debiased estimate is not defined


def linear_cka(X: NDArray[np.generic], Y: NDArray[np.generic]) -> float:
    """Linear CKA of two embeddings of the same rows: 1 if one is the other turned and scaled, 0 if they share nothing.

    Kornblith et al., "Similarity of neural network representations revisited", ICML 2019; debiased with the U-statistic
    of Song et al., "Feature selection via dependence maximization", JMLR 2012, without which few rows of many numbers
    look alike whatever they hold (of noise it may fall a little below 0).

    Parameters
    ----------
    X, Y : ndarrays of shape (n, ...), n >= 4, any numeric dtype, row i of both of one face.

    Raises
    ------
    HeadError : if the rows differ in number, are too few, or are all equal.
    """
    if len(X) != len(Y) or len(X) < FEWEST:
        raise HeadError(f"expected two embeddings of {FEWEST} or more common rows; found {len(X)} and {len(Y)}.")
    first, second = _centred(X), _centred(Y)
    together = _independence(first, second)
    own = _independence(first, first) * _independence(second, second)
    if own <= 0:
        raise HeadError("expected embeddings that differ from row to row; found equal ones.\nExtract them again.")
    return float(together / np.sqrt(own))


def _centred(X: NDArray[np.generic]) -> NDArray[np.float64]:
    """Flatten rows, and take the mean row away."""
    rows = flatten(X).astype(np.float64)
    return rows - rows.mean(axis=0)


def _independence(X: NDArray[np.float64], Y: NDArray[np.float64]) -> float:
    """Estimate HSIC without bias from centred rows, through (features, features) matrices: none is (n, n).

    For K = X X' and L = Y Y' with their diagonals set to 0 it is [tr KL + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'KL1 / (n-2)] /
    (n (n-3)). As X and Y are centred, the row sums of K are minus its diagonal, |x_i|^2.
    """
    n = len(X)
    x, y = np.square(X).sum(axis=1), np.square(Y).sum(axis=1)
    trace = np.square(X.T @ Y).sum() - x @ y
    return float((trace + x.sum() * y.sum() / ((n - 1) * (n - 2)) - 2 * (x @ y) / (n - 2)) / (n * (n - 3)))
