"""The leakage meter: what the same heads seem to be worth when near copies may stand on both sides of a split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from data.split import Split, strata_of
from heads.audit import find_conflicts, find_near_copies, nearest_training_rows
from heads.cell import TEST, Cell, finish
from heads.dataset import AnySpec, Dataset
from heads.tasks import METRICS, Task


@dataclass(frozen=True, eq=False)
class Leakage:
    """What the grouped split keeps apart, and what a plain random one would let through.

    Attributes
    ----------
    rule : of the grouped split, in words.
    figures : DataFrame with task, backbone, head, metric, grouped, random: the same head under both splits, of
        equal sizes, all test rows pooled, first seed.
    near : DataFrame with backbone, split ("grouped" or "random"), share (of test rows whose nearest training row is a
        near copy: `heads.audit.Neighbours`), median (similarity, cosine).
    nearest : DataFrame with backbone, split, similarity: of each test row to its nearest training row.
    conflicts : DataFrame as of `heads.audit.find_conflicts`; it has ids of images.
    """

    rule: str
    figures: pd.DataFrame
    near: pd.DataFrame
    nearest: pd.DataFrame
    conflicts: pd.DataFrame


def measure_leakage(
    chosen: Sequence[tuple[Cell, Task]], predictions: pd.DataFrame, data: Dataset, folder: Path
) -> Leakage:
    """Train some cells again under a random split of the same rows, and look for each test row's nearest training row.

    Parameters
    ----------
    chosen : cells, each with the task to measure.
    predictions : of a `Comparison`, of these cells at least.
    folder : of finished cells, see `heads.cell.finish`.
    """
    shuffled = replace(data, split=random_split(data), test=None)
    seed = int(predictions["seed"].iloc[0])
    figures = []
    for cell, task in chosen:
        outcome, _ = finish(cell, shuffled, folder, seeds=[seed])
        own = predictions[(predictions["backbone"] == cell.backbone) & (predictions["head"] == cell.head)]
        grouped = own[(own["seed"] == seed) & (own["fold"] != TEST)]
        both = [_pooled(task, each) for each in (grouped, outcome.predictions)]
        figures += [(task.name, cell.backbone, cell.head, metric, *(m[metric] for m in both)) for metric in both[0]]
    columns = ["task", "backbone", "head", "metric", "grouped", "random"]
    splits = {"grouped": data.split, "random": shuffled.split}
    specs = {cell.backbone: cell.spec for cell, _ in chosen}
    return _with_neighbours(data, splits, specs, pd.DataFrame(figures, columns=columns))


def random_split(data: Dataset) -> Split:
    """Exchange the roles of a split among single rows of a stratum, so that copies fall apart and all sizes stay.

    Of several repeats it is the first.
    """
    split, rng = data.split, np.random.default_rng(data.split.seed or 0)
    roles = split.roles[:, : split.n_folds // split.repeats].copy()
    strata = strata_of(data.rows.frame)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        roles[rows] = roles[rng.permutation(rows)]
    return Split(split.ids, split.ids, roles, "single rows, copies apart; sizes as of the split beside it", split.seed)


def _pooled(task: Task, predictions: pd.DataFrame) -> dict[str, float]:
    """Every metric of a task on all rows together."""
    own = predictions[predictions["task"] == task.name]
    y, predicted = own["y"].to_numpy(), own["predicted"].to_numpy()
    return {metric: float(function(y, predicted)) for metric, function in METRICS[task.kind].items()}


def _with_neighbours(
    data: Dataset, splits: dict[str, Split], specs: dict[str, AnySpec], figures: pd.DataFrame
) -> Leakage:
    """Complete the figures with how near test rows are to training rows by each backbone."""
    frame = data.rows.frame
    vectors = {name: data.rows.vectors[spec.fingerprint] for name, spec in specs.items()}
    copies = find_near_copies(frame, vectors)
    nearest = pd.concat(
        [
            nearest_training_rows(X, split, copies.limits[name]).assign(backbone=name, split=kind)
            for name, X in vectors.items()
            for kind, split in splits.items()
        ],
        ignore_index=True,
    )
    by = nearest.groupby(["backbone", "split"], sort=False)
    near = by.agg(share=("near", "mean"), median=("similarity", "median")).reset_index()
    columns = nearest[["backbone", "split", "similarity"]].astype({"similarity": np.float64})
    return Leakage(data.split.rule, figures, near, columns, find_conflicts(frame, copies))
