"""Which of two cells is better on the same rows, by how much, and in words; with the luck of seeds counted in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t

from heads.measures import MEASURES
from heads.metrics import Array
from heads.net import HeadError
from heads.statistics import LEVEL, Figure, standard_error


@dataclass(frozen=True)
class Difference:
    """One cell's metric less another's on the same rows.

    Attributes
    ----------
    metric : its name.
    value, low, high : the difference and its interval at `LEVEL`, in the metric's unit.
    p : two-sided, of no difference.
    seeds : of the cell with fewer; with 1 the luck of seeds is not in the interval.
    """

    metric: str
    value: float
    low: float
    high: float
    p: float
    seeds: int


def difference(first: Figure, second: Figure) -> Difference:
    """Compare two cells on the same rows: `first` less `second`.

    The variance is that over resamples of the difference, in which both cells meet the same groups, plus each cell's
    variance over seeds, s^2 / seeds; t quantiles by Satterthwaite's degrees of freedom make up for few seeds. What
    seeds do to single rows is in both parts: the interval errs on the safe side. One split is taken as given.

    Raises
    ------
    HeadError : if the figures are of different metrics or rows.
    """
    if (first.metric, first.rows, len(first.resampled)) != (second.metric, second.rows, len(second.resampled)):
        raise HeadError(
            "expected figures of one metric on the same rows and resamples; "
            f"found {first.metric} of {first.n} rows and {second.metric} of {second.n}.\n"
            "Measure both on the rows that they share, in one order."
        )
    value = first.value - second.value
    resampled = first.resampled.mean(axis=1) - second.resampled.mean(axis=1)
    error, freedom = standard_error(resampled, [first.by_seed, second.by_seed], first.groups)
    half = error * t.ppf((1 + LEVEL) / 2, freedom)
    p = float(2 * t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0 or np.isnan(error))
    seeds = min(len(first.by_seed), len(second.by_seed))
    return Difference(first.metric, value, float(value - half), float(value + half), p, seeds)


def compare_pairs(
    figures: Mapping[str, Figure], pairs: Sequence[tuple[str, str]] | None = None, *, unit: str = ""
) -> pd.DataFrame:
    """Compare cells in pairs, corrected for how many pairs there are (`holm`).

    Parameters
    ----------
    figures : one metric of every cell, by the cell's name.
    pairs : names to compare; all pairs by default.
    unit : of the metric in words, such as "years".

    Returns
    -------
    DataFrame with columns first, second, difference, low, high, p, p_holm, and verdict in words.
    """
    chosen = [*combinations(figures, 2)] if pairs is None else pairs
    found = [difference(figures[first], figures[second]) for first, second in chosen]
    corrected = holm([each.p for each in found])
    rows = [
        (*names, each.value, each.low, each.high, each.p, p, verdict(*names, each, p=p, unit=unit))
        for names, each, p in zip(chosen, found, corrected, strict=True)
    ]
    return pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p", "p_holm", "verdict"])


def holm(p: ArrayLike) -> Array:
    """Adjust p-values so that any false alarm among them is as rare as of one: Holm, Scand. J. Statist. 6, 1979."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def verdict(first: str, second: str, found: Difference, *, p: float | None = None, unit: str = "") -> str:
    """Say in words which of two cells is better and by how much, or that no difference can be shown.

    Parameters
    ----------
    first, second : names of the cells.
    p : corrected for other comparisons, if there are any.
    unit : as of `compare_pairs`.

    Raises
    ------
    HeadError : if the metric does not tell better from worse.
    """
    sign = MEASURES[found.metric].better if found.metric in MEASURES else 0
    if not sign:
        raise HeadError(f"expected a metric that tells better from worse; found {found.metric}.\nChoose another.")
    share = MEASURES[found.metric].share
    if np.isnan(found.low):
        return f"{first} and {second}: nothing can be said, as all test rows are of one group"
    if found.p < 1 - LEVEL and (p is None or p < 1 - LEVEL):
        turn = sign * np.sign(found.value)  # say it from the better one's side
        better, worse = (first, second) if turn > 0 else (second, first)
        low, high = sorted(np.sign(found.value) * np.array([found.low, found.high]))
        said = (
            f"{better} is better than {worse} by {_amount(abs(found.value), unit, share)}, {_between(low, high, share)}"
        )
    else:
        size, between = _amount(found.value, unit, share), _between(found.low, found.high, share)
        corrected = " after correction for the number of comparisons" if found.p < 1 - LEVEL else ""
        said = f"{first} and {second}: no difference can be shown{corrected} (difference {size}, {between})"
    return said if found.seeds > 1 else f"{said}; the luck of seeds is not included, as there is one seed"


def _amount(value: float, unit: str, share: bool) -> str:
    """A difference with its unit."""
    return f"{value:.1%}".replace("%", " percentage points") if share else f"{value:.2f} {unit}".rstrip()


def _between(low: float, high: float, share: bool) -> str:
    """An interval, its unit as said before."""
    scale, digits = (100, 1) if share else (1, 2)
    return f"{LEVEL:.0%} interval {scale * low:.{digits}f} to {scale * high:.{digits}f}"
