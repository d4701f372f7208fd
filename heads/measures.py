"""Metrics as functions of sums over rows: what makes resampling fast. The same figures as `heads.metrics` gives."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS
from heads.metrics import BINS, Array

Term = Callable[[Array, Array], Array]


class Measure(NamedTuple):
    """A metric as a function of sums over rows.

    Attributes
    ----------
    terms : labels and predictions, each (n,), to what is summed, (n, terms).
    value : sums (..., terms) to the metric (...).
    better : 1 if more is better, -1 if less is, 0 if neither.
    share : whether it is a share of rows, which people read in percent.
    """

    terms: Term
    value: Callable[[Array], Array]
    better: int
    share: bool = False


def _mean(loss: Callable[[Array, Array], Any], better: int, *, share: bool = False) -> Measure:
    """A metric that is the mean of a loss of each row."""

    def terms(y: Array, predicted: Array) -> Array:
        return np.stack([loss(y, predicted), np.ones(len(y))], axis=1)

    return Measure(terms, lambda sums: sums[..., 0] / sums[..., 1], better, share)


def _by_age_group(y: Array, predicted: Array) -> Array:
    """Rows and their errors in each of the ten age groups, (n, 20)."""
    groups = AGE_GROUPS[DEFAULT_AGE_GROUPS]
    own = groups.assign(y)[:, None] == np.arange(len(groups))
    return np.hstack([own * np.abs(predicted - y)[:, None], own])


def _by_class(y: Array, predicted: Array) -> Array:
    """Hits, labels and predictions of each class, (n, 3 classes)."""
    classes = np.union1d(y, predicted)
    true, said = y[:, None] == classes, predicted[:, None] == classes
    return np.hstack([true & said, true, said]).astype(np.float64)


def _mean_where_there_are_any(amounts: Array, counts: Array) -> Array:
    """Mean over the last axis of amounts / counts where counts are above 0."""
    there = counts > 0
    return np.where(there, amounts / np.where(there, counts, 1), 0).sum(axis=-1) / there.sum(axis=-1)


def _balanced(sums: Array) -> Array:
    """Mean over groups of (amounts, counts)."""
    amounts, counts = np.split(sums, 2, axis=-1)
    return _mean_where_there_are_any(amounts, counts)


def _recall(sums: Array) -> Array:
    """Balanced accuracy from the sums of `_by_class`."""
    hits, true, _ = np.split(sums, 3, axis=-1)
    return _mean_where_there_are_any(hits, true)


def _f1(sums: Array) -> Array:
    """Macro F1 from the sums of `_by_class`."""
    hits, true, said = np.split(sums, 3, axis=-1)
    return _mean_where_there_are_any(2 * hits, true + said)


def _squares(y: Array, predicted: Array) -> Array:
    """What R2 is made of, (n, 4), from the first label on, so that nothing is lost in large numbers."""
    own = y - y[0]
    return np.stack([np.square(predicted - y), own, np.square(own), np.ones(len(y))], axis=1)


def _explained(sums: Array) -> Array:
    """R2 from the sums of `_squares`; NaN where all labels are equal."""
    errors, own, squared, n = np.moveaxis(sums, -1, 0)
    total = squared - np.square(own) / n
    return 1 - errors / np.where(total > 0, total, np.nan)


def _by_confidence(y: Array, signed: Array) -> Array:
    """What ECE is made of, (n, 2 bins): how much surer than right each row was, in its bin, and rows of each bin."""
    used = min(BINS, len(y))
    starts = np.arange(used) * len(y) // used
    ordered = np.sort(np.abs(signed))
    first = np.searchsorted(ordered, np.abs(signed))  # rows that are equally sure share a bin, whatever their order
    bins = np.searchsorted(starts, first, side="right") - 1
    own = bins[:, None] == np.arange(used)
    return np.hstack([own * ((signed > 0) - np.abs(signed))[:, None], own])


def _gap(sums: Array) -> Array:
    """ECE from the sums of `_by_confidence`."""
    gaps, counts = np.split(sums, 2, axis=-1)
    return np.abs(gaps).sum(axis=-1) / counts.sum(axis=-1)


# In place of predictions "ece" takes the confidence of each row, negative where the row is wrong, "coverage" whether an
# interval holds the label, and "width" the interval's width.
MEASURES: Mapping[str, Measure] = {
    "mae": _mean(lambda y, predicted: np.abs(predicted - y), -1),
    "cs5": _mean(lambda y, predicted: np.abs(predicted - y) <= 5, 1, share=True),
    "bias": _mean(lambda y, predicted: predicted - y, 0),
    "balanced_mae": Measure(_by_age_group, _balanced, -1),
    "rmse": Measure(_squares, lambda sums: np.sqrt(sums[..., 0] / sums[..., 3]), -1),
    "r2": Measure(_squares, _explained, 1),
    "accuracy": _mean(lambda y, predicted: predicted == y, 1, share=True),
    "balanced_accuracy": Measure(_by_class, _recall, 1, share=True),
    "macro_f1": Measure(_by_class, _f1, 1),
    "ece": Measure(_by_confidence, _gap, -1, share=True),
    "coverage": _mean(lambda y, inside: inside, 0, share=True),
    "width": _mean(lambda y, width: width, -1),
}
