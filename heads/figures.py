"""Predictions to figures with intervals, and to verdicts: all models of a task on the same resampled groups of rows.

Test rows of all folds are pooled and each seed's predictions measured on all of them. A row that several repeats of a
split test is there once per repeat, always drawn together with the rest of its group: repeats narrow an interval by no
more than they tell.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heads.metrics import Array
from heads.statistics import Figure, measure, measure_rows
from heads.tasks import Task
from heads.verdict import compare_pairs

ADULT = 14  # years; an infant's gender cannot be seen, so it is reported for these and older as well
FROM_ADULT = f"_from_{ADULT}"  # follows the name of a metric of these alone
DUMMY = ("-", "dummy")

BIASED = ("ece",)  # gaps between shares, which resampling makes larger: the interval would lie above the figure
UNKNOWN = (float("nan"), float("nan"))
FIGURES = ["task", "backbone", "head", "metric", "value", "low", "high", "n"]
VERDICTS = [
    *("task", "metric", "first_backbone", "first_head", "second_backbone", "second_head"),
    *("difference", "low", "high", "p", "p_adjusted", "seeds", "words"),
]

Model = tuple[str, str]  # backbone and head
Figures = dict[str, dict[Model, Figure]]  # by metric


@dataclass(frozen=True, eq=False)
class Pooled:
    """One task's test rows with the predictions of all models, joined by fold and id.

    Attributes
    ----------
    models : in the order of the predictions, each with as many seeds as the others.
    ids, groups : ndarrays of shape (n,), str objects: of each row.
    y : ndarray of shape (n,), float64.
    predicted, low, high, confidence : ndarrays of shape (models, seeds, n), float64.
    """

    models: Sequence[Model]
    ids: NDArray[np.object_]
    groups: NDArray[np.object_]
    y: Array
    predicted: Array
    low: Array
    high: Array
    confidence: Array

    def select(self, rows: NDArray[np.bool_]) -> "Pooled":
        """Some of the rows."""
        own = (self.ids[rows], self.groups[rows], self.y[rows])
        said = (self.predicted[..., rows], self.low[..., rows], self.high[..., rows], self.confidence[..., rows])
        return Pooled(self.models, *own, *said)


class Judged(NamedTuple):
    """The tables `figures` and `verdicts` of a comparison."""

    figures: pd.DataFrame
    verdicts: pd.DataFrame


def judge(tasks: Sequence[Task], predictions: pd.DataFrame, groups: pd.Series, ages: pd.Series | None) -> Judged:
    """Measure every model, and every pair of models.

    Parameters
    ----------
    predictions : of a `Comparison`, of the folds alone.
    groups : by image_id, the group of a row.
    ages : by image_id, years, if there are any.
    """
    figures, verdicts = [], []
    for task in tasks:
        pooled = pool(predictions[predictions["task"] == task.name], groups)
        found = _measure(task, pooled)
        parts = [(found, len(np.unique(pooled.ids)))]
        if task.name == "gender" and ages is not None:
            adults = pooled.select((ages.reindex(pooled.ids) >= ADULT).to_numpy())
            parts.append(({m + FROM_ADULT: own for m, own in _all_metrics(task, adults).items()}, len(set(adults.ids))))
        figures += [
            (task.name, *model, metric, figure.value, *(UNKNOWN if metric in BIASED else figure.interval), n)
            for part, n in parts
            for metric, by_model in part.items()
            for model, figure in by_model.items()
        ]
        verdicts.append(_verdicts(task, found[task.metrics[0]]))
    return Judged(pd.DataFrame(figures, columns=FIGURES), pd.concat(verdicts, ignore_index=True))


def pool(predictions: pd.DataFrame, groups: pd.Series) -> Pooled:
    """Lay one task's predictions out by row, model and seed; see `Pooled`."""
    values = ["y", "predicted", "low", "high", "confidence"]
    keys, model = ["fold", "image_id"], ["backbone", "head"]
    models = [*predictions[model].drop_duplicates().itertuples(index=False, name=None)]
    wide = predictions.pivot(index=keys, columns=[*model, "seed"], values=values).sort_index(axis=1)
    ids = wide.index.get_level_values("image_id").to_numpy(dtype=object)
    arrays = {
        value: np.stack([wide[(value, *each)].to_numpy(dtype=np.float64).T for each in models]) for value in values
    }
    y = arrays.pop("y")[0, 0]
    return Pooled(models, ids, groups.reindex(ids).to_numpy(dtype=object), y, **arrays)


def _measure(task: Task, pooled: Pooled) -> Figures:
    """Every metric of every model, with those of calibration."""
    found = _all_metrics(task, pooled)
    calibrated = pooled.confidence if task.kind == "class" else pooled.low
    known = np.asarray(
        np.isfinite(calibrated).all(axis=(0, 1))
    )  # too few validation rows in a fold are so for every model
    if known.any():
        found |= (_of_classes if task.kind == "class" else _of_intervals)(pooled.select(known))
    return found


def _all_metrics(task: Task, pooled: Pooled) -> Figures:
    """The metrics of a task; none without rows."""
    return _by_model(task.metrics, pooled, pooled.predicted) if len(pooled.y) else {}


def _of_classes(pooled: Pooled) -> Figures:
    """How honest the probabilities of classes are."""
    return _by_model(["ece"], pooled, np.where(pooled.predicted == pooled.y, pooled.confidence, -pooled.confidence))


def _of_intervals(pooled: Pooled) -> Figures:
    """How honest intervals of ages are, how wide, and what they tell of the errors."""
    inside = ((pooled.low <= pooled.y) & (pooled.y <= pooled.high)).astype(np.float64)
    width = pooled.high - pooled.low
    found = _by_model(["coverage"], pooled, inside) | _by_model(["width"], pooled, width)
    errors = np.abs(pooled.predicted - pooled.y)
    found["aurc"] = {
        model: _risk(errors[number], width[number], pooled.groups) for number, model in enumerate(pooled.models)
    }
    return found


def _by_model(metrics: Sequence[str], pooled: Pooled, given: Array) -> Figures:
    """Measure (models, seeds, n) in one go, so that the groups are drawn once for all."""
    models, seeds, n = given.shape
    found = measure(metrics, pooled.y, given.reshape(models * seeds, n), pooled.groups)
    parts = {model: slice(number * seeds, (number + 1) * seeds) for number, model in enumerate(pooled.models)}
    return {
        metric: {
            model: replace(figure, by_seed=figure.by_seed[own], resampled=figure.resampled[:, own])
            for model, own in parts.items()
        }
        for metric, figure in found.items()
    }


def _risk(errors: Array, width: Array, groups: NDArray[np.object_]) -> Figure:
    """Area under the risk-coverage curve of a model, (seeds, n): `heads.calibrate.RiskCoverage`."""
    each = [measure_rows("aurc", _area(*pair), groups) for pair in zip(errors, width, strict=True)]
    by_seed = np.concatenate([figure.by_seed for figure in each])
    return replace(each[0], by_seed=by_seed, resampled=np.hstack([figure.resampled for figure in each]))


def _area(errors: Array, width: Array) -> Callable[[NDArray[np.int64]], float]:
    """Make the function that measures some rows, sorted by width once and not in every resample."""
    order = np.argsort(width, kind="stable")
    place, by_width = np.argsort(order), errors[order]

    def area(rows: NDArray[np.int64]) -> float:
        kept = np.sort(place[rows])
        return float((np.cumsum(by_width[kept]) / np.arange(1, len(kept) + 1)).mean())

    return area


def _verdicts(task: Task, found: Mapping[Model, Figure]) -> pd.DataFrame:
    """Compare each pair of models, the dummy aside."""
    named = {f"{backbone} {head}": (backbone, head) for backbone, head in found if (backbone, head) != DUMMY}
    pairs = compare_pairs(
        {name: found[model] for name, model in named.items()}, unit="years" if task.kind == "age" else ""
    )
    table = pairs.rename(columns={"p_holm": "p_adjusted", "verdict": "words"})
    for side in ("first", "second"):
        for position, part in enumerate(("backbone", "head")):
            table[f"{side}_{part}"] = [named[name][position] for name in pairs[side]]
    first = next(iter(found.values()))
    seeds = len(first.by_seed)
    return table.assign(task=task.name, metric=task.metrics[0], seeds=seeds)[VERDICTS]
