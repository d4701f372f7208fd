"""Balance: which training rows are left out, and how much the others count; from their labels alone.

Validation and test rows are never touched, so that figures stay those of the data as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import convolve1d

from data.errors import FaceprobeError
from data.split import Split

Floats = NDArray[np.float64]

WEIGHTINGS = ("none", "inverse", "sqrt-inverse", "lds")
LDS_KERNEL, LDS_SIGMA = 5, 2.0  # years; Yang et al., Delving into Deep Imbalanced Regression, ICML 2021


class BalanceError(FaceprobeError):
    """A way of balancing that makes no sense, or that leaves no row."""


@dataclass(frozen=True)
class Balance:
    """What is done to training rows, in this order.

    Attributes
    ----------
    window : the lowest and the highest label that stay, both included; None for all.
    cap : most rows of one label; those that stay are drawn at random. None for no limit.
    capped : labels that the cap is for, such as ages 0, 1 and 25; empty for all.
    weighting : one of WEIGHTINGS. `inverse` makes all labels count the same, `sqrt-inverse` goes half of that way, and
        `lds` as well, after counts have been smoothed over neighbouring labels (whole years), as few rows of one age
        mean little where those beside it have many.

    Raises
    ------
    BalanceError : a window without room, a cap below 1, or an unknown weighting.
    """

    window: tuple[float, float] | None = None
    cap: int | None = None
    capped: tuple[float, ...] = ()
    weighting: str = "none"

    def __post_init__(self) -> None:
        """Check what is asked for."""
        if self.window and not self.window[0] <= self.window[1]:
            raise BalanceError(f"expected a window from low to high; found {self.window[0]:g} to {self.window[1]:g}.")
        if self.cap is not None and self.cap < 1:
            raise BalanceError(f"expected a cap of 1 row or more; found {self.cap}.")
        if self.weighting not in WEIGHTINGS:
            raise BalanceError(f'expected a weighting out of {", ".join(WEIGHTINGS)}; found "{self.weighting}".')

    def weigh(self, labels: ArrayLike, *, seed: int = 0) -> Floats:
        """Weigh the training rows of one fold.

        Parameters
        ----------
        labels : array-like of shape (n,): numbers as of `Task.encode`; NaN where unknown.
        seed : of the rows that a cap draws.

        Returns
        -------
        ndarray of shape (n,) : 0 for a row left out; the others' mean is 1. A row without a label counts 1: it may
            have other labels.

        Raises
        ------
        BalanceError : no labelled row is left.
        """
        values = np.asarray(labels, dtype=np.float64)
        known = np.isfinite(values)
        kept = known.copy()
        if self.window:
            kept &= (values >= self.window[0]) & (values <= self.window[1])
        if self.cap is not None:
            kept[kept] = _under_cap(values[kept], self.cap, self.capped, np.random.default_rng(seed))
        if known.any() and not kept.any():
            raise BalanceError(f"expected training rows to stay; found none in {known.sum():,} for {self}.\nWiden it.")
        weights = np.where(known, 0.0, 1.0)
        weights[kept] = _weights(values[kept], self.weighting)
        return weights

    def weigh_folds(self, labels: ArrayLike, split: Split, *, seed: int = 0) -> Floats:
        """Weigh the training rows of every fold: ndarray of shape (folds, n), 0 for rows that do not train in it."""
        values = np.asarray(labels, dtype=np.float64)
        weights = np.zeros((split.n_folds, len(values)))
        for fold in range(split.n_folds):
            train, _, _ = split.indices(fold)
            weights[fold, train] = self.weigh(values[train], seed=seed)
        return weights

    @property
    def needs_ages(self) -> bool:
        """Whether it leaves rows out by their age."""
        return self.window is not None or self.cap is not None

    def weigh_training(self, ages: ArrayLike | None, labels: ArrayLike, split: Split) -> Floats:
        """Leave training rows out by age, and weigh those that stay by the label that is to be learned.

        Parameters
        ----------
        ages : array-like of shape (n,), years, of which the completed ones count, NaN where unknown; None if there are
            none.
        labels : array-like of shape (n,), of one task.

        Returns
        -------
        ndarray of shape (folds, n), as of `weigh_folds`.

        Raises
        ------
        BalanceError : rows are to be left out by age, and there are no ages.
        """
        values = np.asarray(labels, dtype=np.float64)
        if self.needs_ages and ages is None:
            raise BalanceError(f"expected ages, for {self}; found none in the manifest.\nAdd the column age.")
        by_age = replace(self, weighting="none")
        years = np.full(len(values), np.nan) if ages is None else np.floor(np.asarray(ages, dtype=np.float64))
        weights = by_age.weigh_folds(years, split)
        for own in weights:
            stays = own > 0
            own[stays] = Balance(weighting=self.weighting).weigh(values[stays])
        return weights

    def __str__(self) -> str:
        """In words, for a report."""
        parts = []
        if self.window:
            parts.append(f"only {self.window[0]:g} to {self.window[1]:g}")
        if self.cap is not None:
            of = f" of {', '.join(f'{label:g}' for label in self.capped)}" if self.capped else " per label"
            parts.append(f"at most {self.cap:,} rows{of}")
        if self.weighting != "none":
            parts.append(f"{self.weighting} weights")
        return ", ".join(parts) or "training rows as they are"


def read_balance(weighting: str, cap: str | None, window: str | None) -> Balance:
    """Read a balance as it is typed: a weighting, a cap such as 200 or 200:0,1,25, a window such as 21-75.

    Raises
    ------
    BalanceError : words that are none of these.
    """
    low, dash, high = (window or "0-0").partition("-")
    most, _, capped = (cap or "1").partition(":")
    ages = capped.split(",") if capped else []
    if not (dash and low.isdecimal() and high.isdecimal()):
        raise BalanceError(f"expected ages such as 21-75; found {window}.")
    if not (most.isdecimal() and all(age.isdecimal() for age in ages)):
        raise BalanceError(f"expected a cap such as 200, or 200:0,1,25 of some ages; found {cap}.")
    return Balance(
        window=(float(low), float(high)) if window else None,
        cap=int(most) if cap else None,
        capped=tuple(map(float, ages)),
        weighting=weighting,
    )


def _under_cap(values: Floats, cap: int, capped: Sequence[float], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Say which rows stay when no label, or none of those `capped`, may have more than `cap`."""
    shuffled = rng.permutation(len(values))
    rank = np.empty(len(values), dtype=np.int64)
    rank[shuffled] = pd.Series(values[shuffled]).groupby(values[shuffled]).cumcount()
    stays: NDArray[np.bool_] = rank < cap
    return stays | ~np.isin(values, capped) if capped else stays


def _weights(values: Floats, weighting: str) -> Floats:
    """Weigh rows by how rare their label is; their mean is 1."""
    if weighting == "none" or not len(values):
        return np.ones(len(values))
    counts = _smoothed(values) if weighting == "lds" else pd.Series(values).map(pd.Series(values).value_counts())
    weights = np.asarray(counts, dtype=np.float64) ** (-1.0 if weighting == "inverse" else -0.5)
    weighted: Floats = weights / weights.mean()
    return weighted


def _smoothed(values: Floats) -> Floats:
    """How many rows have each row's label or one beside it, by a Gaussian window over whole years."""
    years = np.floor(values).astype(np.int64)
    years -= years.min()
    offsets = np.arange(LDS_KERNEL) - LDS_KERNEL // 2
    window = np.exp(-(offsets**2) / (2 * LDS_SIGMA**2))
    counts = np.bincount(years).astype(np.float64)
    smoothed: Floats = convolve1d(counts, window / window.sum(), mode="constant")[years]
    return smoothed
