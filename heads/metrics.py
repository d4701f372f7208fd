"""Metrics, in NumPy. `y` is what was labelled and `predicted` what a head said, both of shape (n,), n >= 1.

A class is its position; `proba` holds the probabilities of all classes, (n, classes).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Probabilities = NDArray[np.floating]

CURVE = range(16)  # years k at which a CS@k curve is drawn
BINS = 15  # of probabilities, as in Guo et al., 2017
_LEAST = 1e-12  # a probability below it counts as this one: one row must not make a log likelihood infinite


class ByAge(NamedTuple):
    """Errors at each age.

    Attributes
    ----------
    ages : completed years that occur, ascending, int64 of shape (ages,), as are the others:
    n : rows.
    mae, bias : years, float64.
    """

    ages: Integers
    n: Integers
    mae: Array
    bias: Array


class PerClass(NamedTuple):
    """Figures of each class, float64 of shape (classes,); NaN where there is nothing to count."""

    precision: Array
    recall: Array
    f1: Array


def mae(y: Array, predicted: Array) -> float:
    """Mean absolute error, mean |predicted - y|, in the unit of `y`."""
    return float(np.abs(predicted - y).mean())


def cs_at(y: Array, predicted: Array, *, k: float = 5) -> float:
    """Cumulative score CS@k: the share of rows with |predicted - y| <= k, in 0..1.

    Geng et al., "Automatic age estimation based on facial aging patterns", TPAMI 2007.
    """
    return float((np.abs(predicted - y) <= k).mean())


def cs_curve(y: Array, predicted: Array) -> Array:
    """CS@k at every k of `CURVE`, float64 of shape (16,); see `cs_at`."""
    return np.array([cs_at(y, predicted, k=k) for k in CURVE])


def bias(y: Array, predicted: Array) -> float:
    """Mean signed error, mean (predicted - y): above 0 when people are made older than they are."""
    return float((predicted - y).mean())


def balanced_mae(y: Array, predicted: Array, groups: Integers) -> float:
    """Mean over groups of each group's MAE, so that rare ages count as much as common ones.

    Baccianella et al., "Evaluation measures for ordinal regression", ISDA 2009 (macroaveraged MAE), with age groups
    for classes. `groups` is an integer array of shape (n,).
    """
    return float(np.mean([mae(y[groups == group], predicted[groups == group]) for group in np.unique(groups)]))


def by_age(y: Array, predicted: Array) -> ByAge:
    """MAE and bias at each completed year of age."""
    ages, rows, n = np.unique(np.floor(y).astype(np.int64), return_inverse=True, return_counts=True)
    error = predicted - y
    return ByAge(ages, n, np.bincount(rows, np.abs(error)) / n, np.bincount(rows, error) / n)


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


def confusion(y: Array, predicted: Array, *, n_classes: int) -> Integers:
    """Count rows by true class (first axis) and predicted class: int64 of shape (classes, classes)."""
    cells = y.astype(np.int64) * n_classes + predicted.astype(np.int64)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def per_class(counts: Integers) -> PerClass:
    """Precision, recall and F1 of each class from a confusion matrix, (classes, classes)."""
    hits, true, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return PerClass(hits / said, hits / true, 2 * hits / (true + said))


def groups_off(y: Array, predicted: Array, *, n_groups: int) -> Array:
    """Share of rows predicted 0, 1, 2 ... ordered groups away from their own: float64 of shape (n_groups,)."""
    return np.bincount(np.abs(predicted - y).astype(np.int64), minlength=n_groups) / len(y)


def nll(y: Array, proba: Probabilities) -> float:
    """Negative log likelihood of the true classes, mean -log p, natural log."""
    return float(-np.log(np.maximum(proba[np.arange(len(y)), y.astype(np.int64)], _LEAST)).mean())


def calibration_curve(y: Array, proba: Probabilities, *, bins: int = BINS) -> tuple[Array, Array, Integers]:
    """How often the likeliest class is right, by how likely it was said to be.

    Bins hold equally many rows, to within one: most predictions are near certain, so of bins equally wide most would
    be empty. Where there are fewer rows than bins, each row is a bin; rows that are equally sure share one.

    Returns
    -------
    said, right : mean probability and share of right rows of each bin, float64 of shape (bins,), ascending by `said`.
    n : rows of each bin, int64.
    """
    confidence = proba.max(axis=1).astype(np.float64)
    hits = proba.argmax(axis=1) == y
    used = min(bins, len(y))
    starts = np.arange(used) * len(y) // used
    first = np.searchsorted(np.sort(confidence), confidence)
    _, own, n = np.unique(np.searchsorted(starts, first, side="right"), return_inverse=True, return_counts=True)
    said, right = (np.bincount(own, weights=values) / n for values in (confidence, hits))
    return said, right, n


def ece(y: Array, proba: Probabilities, *, bins: int = BINS) -> float:
    """Expected calibration error: mean over rows of |share right - mean probability| of the row's bin, in 0..1.

    Guo et al., "On calibration of modern neural networks", ICML 2017, with bins of equal mass: `calibration_curve`.
    Chance alone keeps it above 0, the more so the fewer the rows: compare it only on the same rows.
    """
    said, right, n = calibration_curve(y, proba, bins=bins)
    return float(np.abs(right - said) @ n / n.sum())
