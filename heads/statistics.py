"""How sure a figure is: intervals over resampled groups, with the luck of seeds counted in.

Rows of one group (near copies, pictures of one subject) err alike, so whole groups are resampled, never rows (Davison
and Hinkley, "Bootstrap methods and their application", 1997, 3.8).

A metric is a function of sums over rows (`heads.measures`), so 2,000 resamples are one matrix product: how often each
group was drawn, times its sums. Intervals are percentiles: bias-corrected accelerated ones (BCa) cover no better once
there are 500 rows, and 1 point better at 60. `python -m benchmarks.statistics` measures coverage and false alarms.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import norm, t

from heads.measures import MEASURES
from heads.metrics import Array

LEVEL = 0.95
RESAMPLES = 2000
FEWEST = 20  # rows: of fewer nothing is said, an interval would be mostly chance and the rows might be recognised
_DRAWN = 1_000_000  # groups drawn at a time: some 25 MB


@dataclass(frozen=True, eq=False)
class Figure:
    """One metric of one cell, with what becomes of it when the groups of rows are drawn again.

    Attributes
    ----------
    metric : its name.
    by_seed : ndarray of shape (seeds,), float64: the metric of each seed's predictions.
    resampled : ndarray of shape (resamples, seeds), float64: the same on resampled groups.
    n, groups : rows, and groups that they belong to.
    rows : digest of labels and groups: figures with the same one can be compared row by row.
    """

    metric: str
    by_seed: Array
    resampled: Array
    n: int
    groups: int
    rows: str

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return float(self.by_seed.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Where the metric of such heads on such people lies, at `LEVEL`; of one seed, of that seed's head alone.

        The percentiles of the resamples, stretched about the value by what few groups and the luck of seeds add.
        NaN for a single group.
        """
        resampled = self.resampled.mean(axis=1)
        error, freedom = standard_error(resampled, [self.by_seed], self.groups)
        tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        bounds = np.nanquantile(resampled, tails) if np.isfinite(error) else np.full(2, np.nan)
        spread = np.nanstd(resampled)
        stretch = error * t.ppf(tails[1], freedom) / (spread * norm.ppf(tails[1])) if spread > 0 else 1.0
        low, high = self.value + (bounds - self.value) * stretch
        return float(low), float(high)


def measure(
    metrics: Sequence[str],
    y: Array,
    predicted: Array,
    groups: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Figure]:
    """Compute metrics with their resamples; figures of the same rows, groups and seed resample alike.

    Parameters
    ----------
    metrics : keys of `MEASURES`.
    y : ndarray of shape (n,), every label known.
    predicted : ndarray of shape (n,), or (seeds, n) of heads that differ in their seeds alone.
    groups : array-like of shape (n,): rows with equal values are drawn together.

    Returns
    -------
    dict of metric to Figure.
    """
    codes, members = _members(groups)
    seeds = np.atleast_2d(predicted)
    sums = [members @ MEASURES[name].terms(y, own) for name in metrics for own in seeds]
    widths = [own.shape[1] for own in sums]
    flat = np.hstack(sums)
    drawn = np.concatenate([counts @ flat for counts in _draws(len(flat), resamples, seed)])
    parts = iter(np.split(drawn, np.cumsum(widths)[:-1], axis=1))
    rows = hashlib.sha256(codes.tobytes() + np.ascontiguousarray(y, np.float64).tobytes()).hexdigest()
    figures = {}
    for position, name in enumerate(metrics):
        value, own = MEASURES[name].value, sums[position * len(seeds) : (position + 1) * len(seeds)]
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may lack what a metric looks at
            by_seed = np.array([value(each.sum(axis=0)) for each in own])
            resampled = np.stack([value(next(parts)) for _ in own], axis=1)
        figures[name] = Figure(name, by_seed, resampled, len(y), len(flat), rows)
    return figures


def measure_rows(
    name: str, metric: Callable[[NDArray[np.int64]], float], groups: ArrayLike, *, resamples: int = 500, seed: int = 0
) -> Figure:
    """Compute a metric that is no function of sums, such as a calibration error: as `measure`, but slowly.

    Parameters
    ----------
    name : what to call it.
    metric : positions of rows, some of them repeatedly, to the metric.
    """
    codes, _ = _members(groups)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    every = np.arange(len(codes))
    drawn = [
        metric(order[np.repeat(every, np.repeat(counts.astype(np.int64), sizes))])
        for block in _draws(len(sizes), resamples, seed)
        for counts in block
    ]
    rows = hashlib.sha256(codes.tobytes()).hexdigest()
    return Figure(name, np.array([metric(every)]), np.array(drawn)[:, None], len(codes), len(sizes), rows)


def by_group(
    metric: str, y: Array, predicted: Array, groups: ArrayLike, traits: pd.DataFrame, *, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Measure each group of people, and each crossing of two traits.

    Parameters
    ----------
    y, predicted, groups : as of `measure`.
    traits : DataFrame of n rows, a column per trait, missing where it is unknown; groups come in the order of a
        categorical, or sorted.

    Returns
    -------
    DataFrame with columns trait ("gender", "gender, ethnicity"), group ("female", "female, asian"), n, value, low and
        high, the last three NaN where a group has fewer than `FEWEST` rows.
    """
    kept = np.asarray(groups)
    pairs = [[trait] for trait in traits] + [[*pair] for pair in combinations(traits, 2)]
    table = []
    for names in pairs:
        for values, rows in traits.groupby(names, observed=True).indices.items():
            group = ", ".join(map(str, values if isinstance(values, tuple) else (values,)))
            figures = (np.nan, np.nan, np.nan)
            if len(rows) >= FEWEST:
                own = np.atleast_2d(predicted)[:, rows]
                found = measure([metric], y[rows], own, kept[rows], resamples=resamples)[metric]
                figures = (found.value, *found.interval)
            table.append((", ".join(map(str, names)), group, len(rows), *figures))
    return pd.DataFrame(table, columns=["trait", "group", "n", "value", "low", "high"])


def standard_error(resampled: Array, by_seed: Sequence[Array], groups: int) -> tuple[float, float]:
    """The standard error of resampled groups and of drawn seeds together, and its degrees of freedom.

    NaN for a single group, of which nothing can be learned.
    """
    if groups < 2:
        return float("nan"), 1.0
    parts = [(float(np.nanvar(resampled)) * groups / (groups - 1), groups - 1)]  # a bootstrap's own bias corrected
    parts += [(float(own.var(ddof=1)) / len(own), len(own) - 1) for own in by_seed if len(own) > 1]
    variance = sum(part for part, _ in parts)
    uncertain = sum(part**2 / freedom for part, freedom in parts)
    return float(np.sqrt(variance)), variance**2 / uncertain if uncertain > 0 else groups - 1.0


def _members(groups: ArrayLike) -> tuple[NDArray[np.int64], csr_array]:
    """Each row's group number, (n,), and the matrix (groups, n) that adds up rows by group."""
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    n = len(codes)
    return codes, csr_array((np.ones(n), (codes, np.arange(n))), shape=(codes.max() + 1, n))


def _draws(groups: int, resamples: int, seed: int) -> Iterator[Array]:
    """Yield how often each group is drawn with replacement, (some resamples, groups), until there are `resamples`."""
    rng = np.random.default_rng(seed)
    block = max(1, _DRAWN // groups)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.integers(groups, size=(size, groups)) + np.arange(size)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=size * groups).reshape(size, groups).astype(np.float64)
