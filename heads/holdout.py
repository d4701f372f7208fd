"""What the rows that heads did not train on say of them: calibration for a bundle, and how well intervals hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heads.calibrate import LEVEL, Calibration, calibrate, calibrate_folds, coverage_table, rows_needed
from heads.compare import Cell
from heads.dataset import Dataset
from heads.net import Net


def calibrate_heads(cell: Cell, nets: Sequence[Net], data: Dataset) -> dict[str, Calibration]:
    """Calibrate the average of all folds' heads, as well as can be: see `heads.bundle.Bundle`.

    Parameters
    ----------
    nets : of each fold.

    Returns
    -------
    dict of task to calibration : tasks of numbers, and those with fewer than `rows_needed` rows, are left out.
    """
    rows, outputs = _held_out(cell, nets, data)
    labels = {task: data.rows.labels[task.name][rows] for task in cell.tasks if task.kind != "number"}
    return {
        task.name: calibrate(task, y, outputs[task.name])
        for task, y in labels.items()
        if np.isfinite(y).sum() >= rows_needed()
    }


def measure_intervals(cell: Cell, nets: Sequence[Net], data: Dataset) -> dict[str, float]:
    """Measure intervals of ages on every fold's test rows, learned from its validation rows alone.

    Returns
    -------
    dict : level, coverage, width (mean, years) and n; empty without an age task, or where validation rows are too few.
    """
    X = data.rows.vectors[cell.spec.fingerprint]
    folds = [data.split.indices(fold) for fold in range(data.split.n_folds)]
    for task in cell.tasks:
        y = data.rows.labels[task.name]
        if task.kind == "age" and min(np.isfinite(y[valid]).sum() for _, valid, _ in folds) >= rows_needed():
            outputs = [
                (net.predict(X[valid])[task.name], net.predict(X[test])[task.name])
                for net, (_, valid, test) in zip(nets, folds, strict=True)
            ]
            bounds = calibrate_folds(task, y, folds, outputs)
            tested = np.isfinite(y) & np.isfinite(bounds[:, 0])
            table = coverage_table(y[tested], bounds[tested], pd.DataFrame(index=range(tested.sum())))
            all_rows = {name: float(table[name][0]) for name in ("coverage", "width")}
            return {"level": LEVEL, **all_rows, "n": int(tested.sum())}
    return {}


def _held_out(cell: Cell, nets: Sequence[Net], data: Dataset) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Average, for each row, the heads that did not train on it.

    Returns
    -------
    rows : positions of those with two such heads or more, or with one where no row has two.
    outputs : by task name, of these rows, (rows, classes) or (rows,).
    """
    X = data.rows.vectors[cell.spec.fingerprint]
    count = np.zeros(len(X))
    sums: dict[str, NDArray[Any]] = {}
    for fold, net in enumerate(nets):
        _, valid, test = data.split.indices(fold)
        own = np.concatenate([valid, test])
        count[own] += 1
        for name, output in net.predict(X[own]).items():
            sums.setdefault(name, np.zeros((len(X), *output.shape[1:])))[own] += output  # no row twice in a fold
    rows = np.flatnonzero(count >= min(2, count.max()))
    return rows, {name: (each[rows].T / count[rows]).T for name, each in sums.items()}
