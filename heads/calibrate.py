"""Honest uncertainty, learned from validation rows: a temperature for classes, an interval for ages.

An interval is the age plus or minus a quantile times the spread of the head's distribution: split conformal prediction
with scaled residuals (Lei et al., "Distribution-free predictive inference for regression", JASA 2018). The quantile
is that of a group of *predicted* ages, so that coverage holds in each of them and not only on average (Mondrian
prediction: Vovk et al., "Algorithmic learning in a random world", 2005).

Chosen on UTKFace with MobileFaceNet, five folds, eight seeds, at 90%, by coverage of test rows and mean width. Of 17
groups of people, by predicted age, gender and ethnicity, so many were outside the 99% binomial interval: scaled
residuals 0.2 (18.7 years wide), the distribution's quantiles as in CQR 0.4 (18.8), its probability integral 0.8 (18.5),
plain residuals 4 (19.3). One quantile for all ages is a year narrower, and 2 to 6 groups fail. A temperature before it
does not help.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS
from heads.metrics import Array, Probabilities, nll
from heads.net import HeadError, expected_value
from heads.tasks import Task

LEVEL = 0.9  # share of ages that lie in their intervals
FEWEST = 50  # validation rows of a group of predicted ages; with 30 more groups cover too little or too much
LEAST_SPREAD = 0.1  # years: a head that is certain may still be wrong
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Temperature:
    """What makes a class head's probabilities honest: p^(1 / value), normalised (Guo et al., ICML 2017).

    Attributes
    ----------
    value : above 1 for a head that is too sure; the likeliest class stays the likeliest.
    n : validation rows it was learned from.
    """

    value: float
    n: int

    def __post_init__(self) -> None:
        """Refuse what is no temperature."""
        if not self.value > 0:
            raise HeadError(f"expected a temperature above 0; found {self.value}.\nCalibrate again.")

    def __call__(self, task: Task, output: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrate the probabilities of a class task, (n, classes)."""
        powers = (output / output.max(axis=1, keepdims=True)).astype(np.float64) ** (1 / self.value)
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Intervals:
    """What makes an interval of an age.

    Attributes
    ----------
    level : share of ages that are to lie in their interval.
    edges : the lowest predicted age of each group, ascending; younger ones belong to the first.
    quantiles : of each group, half an interval's width in units of the head's spread.
    n : validation rows of each group.
    """

    level: float
    edges: tuple[float, ...]
    quantiles: tuple[float, ...]
    n: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse groups that are none."""
        ascending = all(low < high for low, high in pairwise(self.edges))
        if not (self.edges and ascending and len(self.edges) == len(self.quantiles) == len(self.n)):
            raise HeadError(f"expected ascending groups with a quantile each; found {self}.\nCalibrate again.")

    def __call__(self, task: Task, output: NDArray[np.floating]) -> Array:
        """Give intervals of the ages that a head predicts.

        Parameters
        ----------
        output : of a net for an age task: (n, classes), or (n,) of a regression.

        Returns
        -------
        ndarray of shape (n, 2), float64 : lowest and highest age, years, within the task's range.
        """
        ages = task.point(output)
        half = np.array(self.quantiles)[_groups(ages, self.edges)] * _spread(task, output)
        return np.clip(np.stack([ages - half, ages + half], axis=1), task.classes[0], task.classes[-1])


Calibration = Temperature | Intervals


class RiskCoverage(NamedTuple):
    """The error of the rows that are kept as those with the widest intervals are left out.

    Attributes
    ----------
    kept : share of rows kept, ascending, float64 of shape (n,).
    mae : of those rows, years.
    """

    kept: Array
    mae: Array

    @property
    def aurc(self) -> float:
        """Area under the curve, years: less is better, the MAE of all rows if widths tell nothing."""
        return float(self.mae.mean())


def rows_needed(level: float = LEVEL) -> int:
    """Count the validation rows without which nothing is calibrated."""
    return max(FEWEST, ceil(level / (1 - level)))  # of fewer no residual is large enough to be the quantile


def calibrate(task: Task, y: Array, output: NDArray[np.floating], *, level: float = LEVEL) -> Calibration:
    """Learn intervals of ages, or the temperature of a class task, from validation rows.

    Parameters
    ----------
    y : ndarray of shape (n,), as `Task.encode` gives it; rows without a label are passed over.
    output : of the net on these rows: (n, classes), or (n,) of a regression of ages.

    Raises
    ------
    HeadError : with fewer labels than `rows_needed`, or for the task of a number.
    """
    known = np.isfinite(y)
    if task.kind == "number":
        raise HeadError(
            f"expected a task of ages or classes to calibrate; found the number {task.name}.\nLeave it out."
        )
    if known.sum() < rows_needed(level):
        raise HeadError(
            f"expected {rows_needed(level)} or more validation rows to calibrate {task.name} on; "
            f"found {known.sum()}.\nGive more rows."
        )
    if task.kind == "age":
        return _fit_intervals(task, y[known], output[known], level=level)
    return _fit_temperature(task, y[known], output[known])


def from_dict(fields: dict[str, Any]) -> Calibration:
    """Read what `to_dict` wrote, also after a round trip through JSON."""
    if "value" in fields:
        return Temperature(**fields)
    edges, quantiles, n = (tuple(fields[name]) for name in ("edges", "quantiles", "n"))
    return Intervals(fields["level"], edges, quantiles, n)


def to_dict(calibration: Calibration) -> dict[str, Any]:
    """Say everything in what JSON can hold."""
    return asdict(calibration)


def coverage_table(y: Array, bounds: Array, traits: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Count how many ages lie in their intervals, in all and by group.

    Parameters
    ----------
    y : ndarray of shape (n,), every label known.
    bounds : ndarray of shape (n, 2).
    traits : DataFrame of n rows, a column per trait, missing where it is unknown.

    Returns
    -------
    DataFrame with columns trait ("all" first), group, n, coverage, low and high (where coverage lies 99 times of 100 if
        every age has its interval with the chance `level`: binomial), inside (whether it does), width (mean, years).
    """
    from scipy.stats import binom

    covered = (bounds[:, 0] <= y) & (y <= bounds[:, 1])
    width = bounds[:, 1] - bounds[:, 0]
    rows_of = {("all", "all"): np.arange(len(y))}
    for trait in traits:
        codes, groups = pd.factorize(traits[trait], sort=True)
        rows_of |= {(str(trait), str(group)): np.flatnonzero(codes == code) for code, group in enumerate(groups)}
    table = []
    for (trait, group), rows in rows_of.items():
        low, high = binom.ppf([0.005, 0.995], len(rows), level)
        inside = bool(low <= covered[rows].sum() <= high)
        shares = (covered[rows].mean(), low / len(rows), high / len(rows))
        table.append((trait, group, len(rows), *shares, inside, width[rows].mean()))
    return pd.DataFrame(table, columns=["trait", "group", "n", "coverage", "low", "high", "inside", "width"])


def risk_coverage(y: Array, predicted: Array, bounds: Array) -> RiskCoverage:
    """Leave out the rows with the widest intervals first: see `RiskCoverage`; all arrays of n rows."""
    errors = np.abs(predicted - y)[np.argsort(bounds[:, 1] - bounds[:, 0], kind="stable")]
    n = np.arange(1, len(y) + 1)
    return RiskCoverage(n / len(y), np.cumsum(errors) / n)


def _fit_temperature(task: Task, y: Array, proba: Probabilities) -> Temperature:
    """Find the temperature at which the labels are likeliest; the loss is convex in its inverse."""
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        return nll(y, Temperature(float(np.exp(log)), len(y))(task, proba))

    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded")
    return Temperature(float(np.exp(found.x)), len(y))


def _fit_intervals(task: Task, y: Array, output: NDArray[np.floating], *, level: float) -> Intervals:
    """Find each group's quantile of the scaled residuals: the least that `level` of n + 1 rows do not exceed."""
    ages = task.point(output)
    scores = np.abs(y - ages) / _spread(task, output)
    edges = _edges(ages, rows_needed(level))
    groups = _groups(ages, edges)
    own = [np.sort(scores[groups == group]) for group in range(len(edges))]
    quantiles = tuple(float(each[ceil((len(each) + 1) * level) - 1]) for each in own)
    return Intervals(level, edges, quantiles, tuple(map(len, own)))


def _edges(ages: Array, enough: int) -> tuple[float, ...]:
    """Lowest ages of the ten age groups, joined to the next until each has enough of the predicted ages."""
    edges = [0.0]
    for low in AGE_GROUPS[DEFAULT_AGE_GROUPS].edges[1:]:
        if (_groups(ages, edges)[ages < low] == len(edges) - 1).sum() >= enough:
            edges.append(float(low))
    while len(edges) > 1 and (ages >= edges[-1]).sum() < enough:
        edges.pop()
    return tuple(edges)


def _groups(ages: Array, edges: Sequence[float]) -> NDArray[np.int64]:
    """Number the group of each predicted age, (n,); a regression's below the first edge belong to the first."""
    return np.maximum(np.searchsorted(edges, ages, side="right") - 1, 0)


def _spread(task: Task, output: NDArray[np.floating]) -> Array:
    """Standard deviation of each predicted distribution, years; 1 of a regression, which says nothing about it."""
    if output.ndim == 1:
        return np.ones(len(output))
    years = np.array(task.classes, dtype=np.float64)
    ages = expected_value(output, years)
    # Not E[x^2] - E[x]^2: float32 probabilities miss a sum of 1 by 1e-7, which times 80^2 is 0.001 square years
    variance = (output * np.square(years - ages[:, None])).sum(axis=1)
    return np.sqrt(np.maximum(variance, LEAST_SPREAD**2))
