"""What the rows that heads did not train on say of them: calibration for a bundle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.calibrate import Calibration, calibrate, rows_needed
from heads.cell import Cell
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
