"""Metrics, in NumPy. `y` is what was labelled and `predicted` what a head said, both of shape (n,), n >= 1."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


def mae(y: Array, predicted: Array) -> float:
    """Mean absolute error, mean |predicted - y|, in the unit of `y`."""
    return float(np.abs(predicted - y).mean())


def cs_at(y: Array, predicted: Array, *, k: float = 5) -> float:
    """Cumulative score CS@k: the share of rows with |predicted - y| <= k, in 0..1.

    Geng et al., "Automatic age estimation based on facial aging patterns", TPAMI 2007.
    """
    return float((np.abs(predicted - y) <= k).mean())


def bias(y: Array, predicted: Array) -> float:
    """Mean signed error, mean (predicted - y): above 0 when people are made older than they are."""
    return float((predicted - y).mean())


def balanced_mae(y: Array, predicted: Array, groups: Integers) -> float:
    """Mean over groups of each group's MAE, so that rare ages count as much as common ones.

    Baccianella et al., "Evaluation measures for ordinal regression", ISDA 2009 (macroaveraged MAE), with age groups
    for classes. `groups` is an integer array of shape (n,).
    """
    return float(np.mean([mae(y[groups == group], predicted[groups == group]) for group in np.unique(groups)]))


def rmse(y: Array, predicted: Array) -> float:
    """Root of the mean squared error, in the unit of `y`."""
    return float(np.sqrt(np.square(predicted - y).mean()))


def r2(y: Array, predicted: Array) -> float:
    """Coefficient of determination, 1 - sum (y - predicted)^2 / sum (y - mean y)^2; NaN where all y are equal."""
    total = np.square(y - y.mean()).sum()
    return float(1 - np.square(y - predicted).sum() / total) if total > 0 else float("nan")


def accuracy(y: Array, predicted: Array) -> float:
    """Share of rows with the right class."""
    return float((y == predicted).mean())


def balanced_accuracy(y: Array, predicted: Array) -> float:
    """Mean recall over the classes that occur in `y`.

    Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """
    return float(np.mean([(predicted[y == label] == label).mean() for label in np.unique(y)]))


def macro_f1(y: Array, predicted: Array) -> float:
    """Mean over the classes in `y` or `predicted` of F1 = 2 TP / (2 TP + FP + FN)."""
    labels = np.union1d(y, predicted)
    hits = np.array([((y == label) & (predicted == label)).sum() for label in labels])
    sizes = np.array([(y == label).sum() + (predicted == label).sum() for label in labels])  # 2 TP + FP + FN
    return float((2 * hits / sizes).mean())
