"""The figures of a folder as a whole, with how sure they are.

A face's age is not known but is somewhere in its interval, and a face called female with 0.8 is male one time in five.
So nothing is counted by its likeliest value: a face counts in every group by its probability, and the figure of a group
is their sum. Intervals at LEVEL hold two kinds of chance:

- of the photographs: another day, others would have been taken. Whole photographs are drawn again, with replacement,
  because the faces in one belong together; copies by bytes are one photograph.
- of the heads: each drawn face then errs as its interval or its probability says, independently of the others.

They hold no error that all faces share, such as heads that make everyone three years older.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS, GENDERS, AgeGroups
from heads.calibrate import LEVEL as AGE_LEVEL
from heads.folder.photographs import class_columns
from heads.statistics import FEWEST, LEVEL, RESAMPLES

Array = NDArray[np.float64]

QUALITIES = ("0 to 0.25", "0.25 to 0.5", "0.5 to 0.75", "0.75 to 1")
COLUMNS = ("figure", "group", "n", "expected", "value", "low", "high")
_BATCHES = 2000  # that photographs are dealt into where there are more: their figures vary as much, and cost less
_LEAST = 1e-9  # of a group's chance, so that there is one for what the likeliest group leaves
_ANOTHER = "another"  # the class beside the only one that was ever named


def folder_figures(rows: pd.DataFrame, *, groups: AgeGroups = AGE_GROUPS[DEFAULT_AGE_GROUPS]) -> pd.DataFrame:
    """Count photographs and faces, and estimate the ages and the classes of the faces.

    Parameters
    ----------
    rows : of `heads.score`, a row per face or per photograph without one.
    groups : of ages.

    Returns
    -------
    DataFrame with columns COLUMNS:
        figure : photographs, rows, status, quality, mean age, age group, or a task of classes.
        group : of the figure, "" where there are none.
        n : photographs, or rows of faces that have the likeliest value, the point, in the group.
        expected : of n, what is to be expected where each face counts by its probability.
        value, low, high : years of the mean age, else the group's share; with its interval at LEVEL, NaN below FEWEST
            photographs and for counts, which are sure.
    """
    photographs = pd.factorize(_contents(rows))[0]
    faces = (rows["status"] == "ok").to_numpy()
    tables = [_counts(rows, faces)]
    if "age" in rows:
        aged = faces & rows["age"].notna().to_numpy()
        tables.append(_ages(rows[aged], photographs[aged], groups))
    for task in class_columns(rows):
        if task == "age_group" and "age" in rows:
            continue  # said better by the ages
        named = faces & rows[task].notna().to_numpy()
        tables.append(_classes(rows[named], photographs[named], task))
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def age_chances(rows: pd.DataFrame, groups: AgeGroups) -> Array:
    """How likely each face is in each group of ages, (n, groups).

    Where scores name one of these groups with its probability, that is taken, for it is the head's own. All else is
    dealt by a normal distribution about the age, so wide that its interval holds what it promises; an age without an
    interval is sure. Measured on 2,883 held-out faces of UTKFace: with the probability, a share errs by 0.8 points
    on average, without by 1.4.
    """
    dealt = _normal_chances(rows, groups)
    if not {"age_group", "age_group_proba"} <= {*rows}:
        return dealt
    own = (rows["age_group"].to_numpy()[:, None] == np.array(groups.names, dtype=object)).astype(np.float64)
    own[rows["age_group_proba"].isna()] = 0
    sure = own * rows["age_group_proba"].fillna(0.0).to_numpy(np.float64)[:, None]
    others = np.maximum(dealt, _LEAST) * (1 - own)
    return sure + (1 - sure.sum(axis=1, keepdims=True)) * others / others.sum(axis=1, keepdims=True)


def _normal_chances(rows: pd.DataFrame, groups: AgeGroups) -> Array:
    """The same from ages and intervals alone. What lies below the first group counts there."""
    from scipy.stats import norm

    ages, spread = rows["age"].to_numpy(np.float64), _spread(rows)[:, None]
    # Heads learn completed years: somebody of 25 is of 25.0 to them, and what is above 24.5 is nearer to 25 than to 24.
    edges = np.array(groups.edges[1:], dtype=np.float64) - np.where(spread > 0, 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = (edges - ages[:, None]) / spread
    below = norm.cdf(np.nan_to_num(steps, nan=-np.inf))  # 0 / 0: an age on the edge itself is above it
    return np.diff(below, prepend=0.0, append=1.0, axis=1)


def class_chances(rows: pd.DataFrame, task: str) -> tuple[list[str], Array]:
    """The classes of a task, and how likely each face is in each of them, (n, classes).

    Scores tell the likeliest class and its probability p. Of two classes the other one has 1 - p; of more, 1 - p is
    dealt among the others as often as they are named. A class without a probability is sure.
    """
    named = sorted(rows[task].unique())
    classes = list(GENDERS) if task == "gender" else named if len(named) > 1 else [*named, _ANOTHER]
    own = (rows[task].to_numpy()[:, None] == np.array(classes, dtype=object)).astype(np.float64)
    sure = rows[f"{task}_proba"].fillna(1.0).to_numpy(np.float64)[:, None]
    others = (1 - own) * (own.sum(axis=0) + 1)
    return classes, own * sure + (1 - sure) * others / others.sum(axis=1, keepdims=True)


def estimate(values: Array, variances: Array, photographs: NDArray[np.int64], *, seed: int = 0) -> Array:
    """Means over faces with their intervals, as the module says.

    Parameters
    ----------
    values, variances : (n, k) of the faces: what is expected of each, and the variance of what it may be instead.
    photographs : (n,) to which each face belongs.

    Returns
    -------
    ndarray of shape (3, k), float64 : mean, low, high; the last two NaN for fewer than FEWEST photographs.
    """
    _, codes = np.unique(photographs, return_inverse=True)
    rng = np.random.default_rng(seed)
    n = int(codes.max()) + 1
    if n < FEWEST:
        return np.stack([values.mean(axis=0), *np.full((2, values.shape[1]), np.nan)])
    if n > _BATCHES:
        codes, n = (rng.permutation(n) % _BATCHES)[codes], _BATCHES
    terms = np.hstack([values, variances, np.ones((len(values), 1))])
    sums = pd.DataFrame(terms).groupby(codes).sum().to_numpy()
    drawn = np.stack([sums[rng.integers(n, size=n)].sum(axis=0) for _ in range(RESAMPLES)])
    totals, spreads, faces = np.split(drawn, [values.shape[1], 2 * values.shape[1]], axis=1)
    means = (totals + np.sqrt(spreads) * rng.standard_normal(totals.shape)) / faces
    return np.stack([values.mean(axis=0), *np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)])


def _contents(rows: pd.DataFrame) -> pd.Series:
    """What tells photographs apart: their bytes where these are known, else their names."""
    return rows["sha256"].fillna(rows["path"]) if "sha256" in rows else rows["path"]


def _counts(rows: pd.DataFrame, faces: NDArray[np.bool_]) -> pd.DataFrame:
    """Photographs, photographs with a face, faces, and the rows of each status and quality."""
    counted = [
        ("photographs", "all", rows["path"].nunique()),
        ("photographs", "with a face", rows["path"][faces].nunique()),
        ("rows", "faces", int(faces.sum())),
    ]
    counted += [("status", str(status), count) for status, count in rows["status"].value_counts().items()]
    table = pd.DataFrame(counted, columns=["figure", "group", "n"])
    table["value"] = np.where(table["figure"] == "status", table["n"] / len(rows), np.nan)
    if "quality" in rows and faces.any():
        known = rows["quality"][faces].dropna().to_numpy(np.float64)
        found = np.bincount(np.clip((known * 4).astype(int), 0, 3), minlength=4)
        own = pd.DataFrame({"figure": "quality", "group": QUALITIES, "n": found, "value": found / max(len(known), 1)})
        table = pd.concat([table, own], ignore_index=True)
    return table.reindex(columns=COLUMNS)


def _ages(rows: pd.DataFrame, photographs: NDArray[np.int64], groups: AgeGroups) -> pd.DataFrame:
    if rows.empty:
        return pd.DataFrame()
    ages, spread = rows["age"].to_numpy(np.float64), _spread(rows)
    mean = estimate(ages[:, None], np.square(spread)[:, None], photographs)
    first = pd.DataFrame([("mean age", "", len(rows), np.nan, *mean[:, 0])], columns=COLUMNS)
    counts = np.bincount(np.maximum(groups.assign(ages), 0), minlength=len(groups))
    names = [f"{name} {span}" for name, span in zip(groups.names, age_spans(groups), strict=True)]
    return pd.concat([first, _shares("age group", names, counts, age_chances(rows, groups), photographs)])


def age_spans(groups: AgeGroups) -> list[str]:
    """The ages of each group, such as "25–34" and "59+"."""
    ends = [edge - 1 for edge in groups.edges[1:]]
    closed = [f"{low}–{high}" if high > low else f"{low}" for low, high in zip(groups.edges, ends, strict=False)]
    return [*closed, f"{groups.edges[-1]}+"]


def _classes(rows: pd.DataFrame, photographs: NDArray[np.int64], task: str) -> pd.DataFrame:
    if rows.empty:
        return pd.DataFrame()
    classes, chances = class_chances(rows, task)
    counts = [int((rows[task] == name).sum()) for name in classes]
    return _shares(task, classes, counts, chances, photographs)


def _shares(
    figure: str, names: Sequence[str], counts: Any, chances: Array, photographs: NDArray[np.int64]
) -> pd.DataFrame:
    value, low, high = estimate(chances, chances * (1 - chances), photographs)
    expected = chances.sum(axis=0)
    fields = (figure, names, counts, expected, value, np.clip(low, 0, 1), np.clip(high, 0, 1))
    return pd.DataFrame(dict(zip(COLUMNS, fields, strict=True)))


def _spread(rows: pd.DataFrame) -> Array:
    """Standard deviation of each age, years: half its interval (the wider half, for the range of ages may cut one) in
    normal deviations; 0 without an interval."""
    from scipy.stats import norm

    bounds = [rows[name].to_numpy(np.float64) if name in rows else np.nan for name in ("age_low", "age_high")]
    ages = rows["age"].to_numpy(np.float64)
    half = np.fmax(ages - bounds[0], bounds[1] - ages)
    return np.nan_to_num(np.maximum(half, 0.0)) / norm.ppf((1 + AGE_LEVEL) / 2)
