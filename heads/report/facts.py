"""The numbers of each section of a report, as small frames: pandas alone, nothing of how they look."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import AgeGroups
from heads.cell import TEST
from heads.dataset import QUALITY
from heads.figures import DUMMY
from heads.statistics import by_group
from heads.tasks import Task

MODEL = ["backbone", "head"]
AGE_STEPS = (5, 10, 20)  # years of a bin of ages: as narrow as the rows allow
PREDICTED = ["seed", "image_id", "y", "predicted", "low", "high", "confidence"]
RESAMPLES = 500  # of groups of people, for intervals in plots
TRAITS = ("gender", "ethnicity", QUALITY)  # columns of people and their pictures by which errors are told apart

Counts = NDArray[np.int64]
Model = tuple[str, str]  # backbone and head


class Estimate(NamedTuple):
    """A metric of a model, its interval at 95% (NaN where there is none), and rows."""

    value: float
    low: float
    high: float
    n: int


class Errors(NamedTuple):
    """How far models are off, by groups of rows.

    Attributes
    ----------
    mean : DataFrame, groups by models (two levels of columns: backbone, head).
    n : Series, rows of each group.
    """

    mean: pd.DataFrame
    n: pd.Series


def goodness(metric: str, value: float) -> float:
    """A metric's value such that more is better."""
    if metric == "bias":
        return -abs(value)
    return -value if metric.endswith(("mae", "rmse")) else value


def first_metric(figures: pd.DataFrame, task: Task) -> dict[Model, Estimate]:
    """The metric by which a task's models are compared, of a `Comparison`; the dummy as any other."""
    own = figures[(figures["task"] == task.name) & (figures["metric"] == task.metrics[0])]
    columns = [own[name].tolist() for name in (*MODEL, *Estimate._fields)]
    return {(backbone, head): Estimate(*values) for backbone, head, *values in zip(*columns, strict=True)}


def ranking(found: Mapping[Model, Estimate], task: Task) -> list[Model]:
    """The models of a task, best first by their first metric; those without a figure last."""
    better = {model: goodness(task.metrics[0], of.value) for model, of in found.items()}
    return sorted(found, key=lambda model: (math.isnan(better[model]), -better[model]))


def rows_of(predictions: pd.DataFrame, task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """A task's predictions in the folds, with what the manifest knows of each row.

    Parameters
    ----------
    predictions : of a `Comparison`.
    frame : the manifest's rows: image_id, path, sha256, kept (what is equal of rows that the split keeps together), and
        age, gender and ethnicity where it has them.

    Returns
    -------
    DataFrame with columns backbone, head, PREDICTED, the columns of `frame`, off: predicted - y, and error: |off|, of a
    class 0 (right) or 1 (wrong).
    """
    own = predictions[(predictions["task"] == task.name) & (predictions["fold"] != TEST)]
    known = frame[[c for c in ("image_id", "path", "sha256", "kept", "age", *TRAITS) if c in frame]]
    rows = own[[*MODEL, *PREDICTED]].merge(known, on="image_id", how="left")
    off = rows["predicted"] - rows["y"]
    return rows.assign(off=off, error=(off != 0).astype(float) if task.kind == "class" else off.abs())


def of_model(rows: pd.DataFrame, model: Model) -> pd.DataFrame:
    """The rows of one backbone and head."""
    return rows[(rows["backbone"] == model[0]) & (rows["head"] == model[1])]


def one_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    """The first seed's prediction of every image by every model, for what counts images: others say the same again."""
    return rows[rows["seed"] == rows["seed"].min()].drop_duplicates([*MODEL, "image_id"])


def mean_error(rows: pd.DataFrame, by: pd.Series, *, of: str = "error") -> Errors:
    """Average the errors of every model in every group; rows whose group is unknown are left out.

    Parameters
    ----------
    of : the column to average: error, or off for the bias.
    """
    grouped = rows.assign(group=by).dropna(subset=["group"]).groupby(["group", *MODEL])
    return Errors(grouped[of].mean().unstack(MODEL), grouped["image_id"].nunique().groupby(level="group").max())


def age_step(ages: pd.Series, *, enough: int) -> int:
    """Years of a bin, such that half of the bins have enough rows; `ages` with one row per image."""
    fitting = (step for step in AGE_STEPS if (ages // step).value_counts().median() >= enough)
    return next(fitting, AGE_STEPS[-1])


def age_bin(ages: pd.Series, step: int) -> pd.Series:
    """The lowest age of each age's bin of `step` years."""
    return ages // step * step


def groups_off(y: pd.Series, predicted: pd.Series) -> pd.Series:
    """Share of predictions that are 0, 1, 2 ... groups off.

    Parameters
    ----------
    y, predicted : positions of groups, in their order.

    Returns
    -------
    Series of shares, indexed 0 to the largest distance.
    """
    off = (predicted - y).abs().astype(int)
    counts = np.bincount(off)
    return pd.Series(counts / counts.sum())


def age_groups_off(rows: pd.DataFrame, task: Task, groups: AgeGroups) -> pd.Series | None:
    """`groups_off` of a model's rows: of an age by the groups of both ages; None for a task without groups.

    Rows younger than the first group are left out. A regression may say less than 0 years: that is 0.
    """
    if task.edges:
        return groups_off(rows["y"], rows["predicted"])
    if task.kind != "age":
        return None
    true = groups.assign(rows["y"])
    guessed = groups.assign(rows["predicted"].clip(lower=0))
    known = true >= 0
    return groups_off(pd.Series(true[known]), pd.Series(guessed[known])) if known.any() else None


def confusion(rows: pd.DataFrame, n_classes: int) -> Counts:
    """Rows of each true class (first axis) by the class predicted: shape (classes, classes)."""
    y, predicted = rows["y"].to_numpy(int), rows["predicted"].to_numpy(int)
    return np.bincount(y * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def per_class(counts: Counts) -> pd.DataFrame:
    """Precision, recall, F1 and n of each class from a confusion matrix; NaN where nothing can be said."""
    hits, true, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        figures = {"precision": hits / said, "recall": hits / true, "f1": 2 * hits / (true + said), "n": true}
    return pd.DataFrame(figures)


def mix_ups(counts: Counts) -> pd.DataFrame:
    """True class, predicted class and number of wrong predictions, the most frequent first."""
    true, said = np.nonzero(counts * (1 - np.eye(len(counts), dtype=np.int64)))
    found = pd.DataFrame({"true": true, "predicted": said, "n": counts[true, said]})
    return found.sort_values("n", ascending=False, kind="stable", ignore_index=True)


def curves(history: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Training's course over the nets of all folds.

    Parameters
    ----------
    history : of a cell: per fold, by name, lists of shape (rounds, members).

    Returns
    -------
    DataFrame with columns name, round (from 1), mean, low and high (of the nets).
    """
    parts = []
    for name in history[0]:
        nets = pd.concat([pd.DataFrame(fold[name]) for fold in history], axis=1)
        columns = {"mean": nets.mean(axis=1), "low": nets.min(axis=1), "high": nets.max(axis=1)}
        parts.append(pd.DataFrame({"name": name, "round": nets.index + 1, **columns}))
    return pd.concat(parts, ignore_index=True)


def worst(rows: pd.DataFrame, task: Task, model: Model, n: int) -> pd.DataFrame:
    """A model's n worst rows, fewer where it errs less often.

    Those furthest off come first, in years, numbers or ordered groups. Among equals, as all mistakes in unordered
    classes are, those on which the other heads err most come first: there the label itself may be wrong. What is still
    equal comes by its hash, so that no order of names chooses.
    """
    heads = rows[rows["head"] != DUMMY[1]]
    others = heads.groupby("image_id")["error"].mean()
    own = one_of_each(of_model(rows, model))
    ordered = task.kind != "class" or bool(task.edges)
    distance = (own["predicted"] - own["y"]).abs() if ordered else own["error"]
    found = own.assign(distance=distance, others=own["image_id"].map(others))[own["error"] > 0]
    found = found.sort_values(["distance", "others", "sha256"], ascending=[False, False, True], ignore_index=True)
    return found.head(n)


def traits_of(rows: pd.DataFrame, groups: AgeGroups) -> pd.DataFrame:
    """What is known of the people in rows: a column each for gender, ethnicity and age group, where there are any."""
    found: dict[str, Any] = {trait: rows[trait] for trait in TRAITS if trait in rows and rows[trait].notna().any()}
    if "age" in rows and rows["age"].notna().any():
        codes = groups.assign(rows["age"].to_numpy()).astype(np.int64)
        found["age group"] = pd.Categorical.from_codes(codes, pd.Index(groups.names), ordered=True)
    return pd.DataFrame(found, index=rows.index)


def by_people(rows: pd.DataFrame, task: Task, groups: AgeGroups, *, crossed: bool = False) -> pd.DataFrame:
    """A model's first metric in each group of people, with intervals; see `heads.statistics.by_group`.

    Parameters
    ----------
    rows : of one model, with the group that each row was kept together with as `kept`.
    crossed : whether to measure crossings of two traits as well, which takes seconds.
    """
    seeds = rows.pivot_table(index="image_id", columns="seed", values="predicted", aggfunc="first")
    first = rows.drop_duplicates("image_id").set_index("image_id").loc[seeds.index]
    traits = traits_of(first, groups).reset_index(drop=True)
    asked = [traits] if crossed else [traits[[trait]] for trait in traits]
    given = task.metrics[0], first["y"].to_numpy(), seeds.to_numpy().T, first["kept"].to_numpy()
    parts = [by_group(*given, each, resamples=RESAMPLES) for each in asked]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["trait", "group"])
