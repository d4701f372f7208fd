"""Cell: one backbone, one head and what it learns; trained for all folds and seeds, found again when it was."""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.files import PRIVATE, atomic_write
from heads.balance import Balance
from heads.base import Head, head_row, make_head, parse_head
from heads.calibrate import Calibration, Intervals, Temperature, calibrate, rows_needed
from heads.dataset import AnySpec, Dataset, Rows
from heads.inputs import WIDEST
from heads.net import HeadError, Predictor, predict_together
from heads.recipe import Recipe
from heads.tasks import Floats, Task

TEST = "test"  # in place of a fold's number: rows of another manifest, predicted by the heads of all folds together


@dataclass(frozen=True)
class Cell:
    """One backbone or several side by side, one head, and the task it learns, or all of them in one net."""

    spec: AnySpec
    head: str
    tasks: tuple[Task, ...]

    @property
    def backbone(self) -> str:
        """The name in tables; "-" for the dummy, which looks at no embedding."""
        return "-" if self.head == "dummy" else self.spec.name

    def key(self, data: Dataset, seed: int) -> str:
        """32 digits of the SHA-256 over all that the outcome depends on: under it a finished cell is found again."""
        looked_at = None if self.head == "dummy" else self.spec.fingerprint  # the dummy is the same for all backbones
        recipe = parse_head(self.head)[1].get("recipe", Recipe())
        learned = [self.head, asdict(recipe), asdict(self.balance(data)), [task.to_dict() for task in self.tasks]]
        facts = [version("faceprobe"), looked_at, *learned, data.split.hash, seed]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for part in data.parts:
            digest.update("\0".join([*part.frame["image_id"], *part.frame["sha256"]]).encode())
            digest.update(b"".join(part.labels[task.name].tobytes() for task in self.tasks))
        if self.balance(data).needs_ages and "age" in data.rows.frame:
            digest.update(data.rows.frame["age"].to_numpy(np.float64).tobytes())
        return digest.hexdigest()[:32]

    def balance(self, data: Dataset) -> Balance:
        """How its training rows are balanced; the dummy shows what the rows as they are tell by themselves."""
        return Balance() if self.head == "dummy" else data.balance

    def seeds(self, asked: Sequence[int]) -> Sequence[int]:
        """Those of the seeds that make a difference: only the first where nothing in the head is drawn."""
        drawn = head_row(self.head).drawn or (math.prod(self.spec.dim) > WIDEST and self.head != "dummy")
        return asked if drawn else asked[:1]


class Fitted(NamedTuple):
    """The trained heads of one cell and seed.

    Attributes
    ----------
    nets : of each fold.
    facts : what JSON can hold: `seconds` it took, `bytes` of one, `history` of training (a dict per fold) and `trials`
        of a search (a row each, with its fold); [] for heads without.
    """

    nets: list[Predictor]
    facts: dict[str, Any]


class Outcome(NamedTuple):
    """What came of a cell: predictions as of `predict_folds`, with their seed; and facts, as of `Fitted`.

    Of several seeds seconds are added up, and the history is that of the first. `validation` is, by task, the first
    metric on validation rows, mean over folds and seeds.
    """

    predictions: pd.DataFrame
    facts: dict[str, Any]


def cells_of(specs: Sequence[AnySpec], heads: Sequence[str], tasks: Sequence[Task]) -> list[Cell]:
    """Every combination that makes sense: a head with the tasks of its kinds, and the dummy once per task.

    Raises
    ------
    HeadError : an unknown head.
    """
    smallest = min(specs, key=lambda spec: math.prod(spec.dim))  # of which the dummy needs only the number of rows
    cells = [Cell(smallest, "dummy", (task,)) for task in tasks]
    for spec in specs:
        for head in dict.fromkeys(heads):
            if head != "dummy":
                cells += [Cell(spec, head, group) for group in groups_of(head, tasks)]
    return cells


def groups_of(head: str, tasks: Sequence[Task]) -> list[tuple[Task, ...]]:
    """The tasks a head can learn, as it learns them: one by one, or all in one net. Raises HeadError if unknown."""
    row = head_row(head)
    fitting = tuple(task for task in tasks if task.kind in row.kinds)
    if row.shared:
        return [fitting] if fitting else []
    return [(task,) for task in fitting]


def finish(cell: Cell, data: Dataset, folder: Path, *, seeds: Sequence[int]) -> tuple[Outcome, bool]:
    """Train a cell with the seeds that `folder` does not hold already, all in one go.

    Parameters
    ----------
    folder : has a file per cell and seed, readable by its owner alone.

    Returns
    -------
    outcome : of all seeds.
    reused : whether nothing was left to train.
    """
    files = {seed: folder / f"{cell.key(data, seed)}.parquet" for seed in cell.seeds(seeds)}
    missing = [seed for seed, file in files.items() if not file.exists()]
    fitted = fit_folds(cell, data, seeds=missing) if missing else []
    for seed, each in zip(missing, fitted, strict=True):
        outcome = outcome_of(cell, each, data, seed=seed)
        table = pa.Table.from_pandas(outcome.predictions, preserve_index=False)
        with atomic_write(files[seed], mode=PRIVATE) as out:
            pq.write_table(table.replace_schema_metadata({"cell": json.dumps(outcome.facts)}), out)
    return join_seeds([_read(file) for file in files.values()], seeds), not missing


def _read(file: Path) -> Outcome:
    """Read a finished cell and seed."""
    with open(file, "rb") as finished:  # pyarrow takes no names that are not UTF-8
        table = pq.read_table(finished)
    return Outcome(table.to_pandas(), json.loads(table.schema.metadata[b"cell"]))


def join_seeds(outcomes: Sequence[Outcome], seeds: Sequence[int]) -> Outcome:
    """Join the outcomes of several seeds; one that no seed changes stands for all of them."""
    facts = [outcome.facts for outcome in outcomes]
    judged = pd.DataFrame([each["validation"] for each in facts])
    predictions = [outcome.predictions for outcome in outcomes]
    if len(predictions) < len(seeds):
        predictions = [predictions[0].assign(seed=seed) for seed in seeds]
    return Outcome(
        pd.concat(predictions, ignore_index=True),
        {
            "seconds": sum(each["seconds"] for each in facts),
            "bytes": facts[0]["bytes"],
            "validation": judged.mean().to_dict(),
            "history": facts[0]["history"],
            "trials": [trial for each in facts for trial in each["trials"]],
        },
    )


def fit_folds(cell: Cell, data: Dataset, *, seeds: Sequence[int] = (0,)) -> list[Fitted]:
    """Train one head per fold of the split and seed, all of them at once; one `Fitted` per seed."""
    labels = data.rows.labels
    y: Any = labels if head_row(cell.head).shared else labels[cell.tasks[0].name]
    folds = [data.split.indices(fold) for fold in range(data.split.n_folds)]
    weights = training_weights(cell, data)
    options: dict[str, Any] = {} if weights is None else {"sample_weight": np.tile(weights, (len(seeds), 1))}
    head = make_head(cell.head, cell.tasks)  # loads Keras or scikit-learn, which is no part of training
    by_fold = [seed for seed in seeds for _ in folds]
    started = time.perf_counter()
    heads = head.fit_folds(data.rows.vectors[cell.spec.fingerprint], y, folds * len(seeds), seeds=by_fold, **options)
    seconds = (time.perf_counter() - started) / len(seeds)
    each_seed = [heads[start : start + len(folds)] for start in range(0, len(heads), len(folds))]
    return [_fitted(own, seconds, seed) for own, seed in zip(each_seed, seeds, strict=True)]


def _fitted(heads: Sequence[Any], seconds: float, seed: int) -> Fitted:
    """Lay out what one seed's heads say of themselves."""
    trials = [
        {"seed": seed, "fold": fold, **row}
        for fold, head in enumerate(heads)
        if hasattr(head, "trials_")
        for row in head.trials_.to_dict("records")
    ]
    history = [_history(head) for head in heads if hasattr(head, "history_")]
    nets = [head.net_ for head in heads]
    return Fitted(nets, {"seconds": seconds, "bytes": nets[0].n_bytes, "history": history, "trials": trials})


def _history(head: Head) -> dict[str, list[list[float]]]:
    """A head's history in what JSON can hold; the curves of a page need no more than 5 digits."""
    return {name: np.round(values, 5).tolist() for name, values in head.history_.items()}  # type: ignore[attr-defined]


def training_weights(cell: Cell, data: Dataset) -> Floats | None:
    """How much each row counts in each fold's training, (folds, n); None where all count alike.

    Raises
    ------
    HeadError : weights by label for a head that learns several tasks from the same rows.
    """
    balance = cell.balance(data)
    if balance == Balance():
        return None
    if balance.weighting != "none" and len(cell.tasks) > 1:
        raise HeadError(
            f'expected weights for one task; found {len(cell.tasks)}, which head "{cell.head}" learns from the same '
            "rows.\nLeave --balance or the head out."
        )
    labels = data.rows.labels[cell.tasks[0].name]
    labels = np.floor(labels) if cell.tasks[0].kind == "age" else labels
    return balance.weigh_training(data.rows.frame.get("age"), labels, data.split)


def outcome_of(cell: Cell, fitted: Fitted, data: Dataset, *, seed: int = 0) -> Outcome:
    """What came of one seed."""
    predictions, validation = predict_folds(cell, fitted.nets, data)
    return Outcome(predictions.assign(seed=seed), {**fitted.facts, "validation": validation})


def predict_folds(cell: Cell, nets: Sequence[Predictor], data: Dataset) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict every row by the head that has not seen it, and another manifest's rows by all heads together.

    Returns
    -------
    predictions : DataFrame with columns task, fold (a number, or TEST), image_id, y and predicted: years (the expected
        value), positions of classes, or numbers; low and high, the interval of an age (years), and confidence, the
        probability of the predicted class, both calibrated on the fold's validation rows, NaN elsewhere and where
        these are too few. Rows without a label are left out.
    validation : the first metric of each task on validation rows, mean over folds.
    """
    X, parts = data.rows.vectors[cell.spec.fingerprint], []
    judged: dict[str, list[float]] = {task.name: [] for task in cell.tasks}
    for fold, net in enumerate(nets):
        _, valid, test = data.split.indices(fold)
        learned_on, applied_to = net.predict(X[valid]), net.predict(X[test])
        for task in cell.tasks:
            y, output = data.rows.labels[task.name][valid], learned_on[task.name]
            judged[task.name].append(task.evaluate(y, output)[task.metrics[0]])
            enough = task.kind != "number" and np.isfinite(y).sum() >= rows_needed()
            calibration = calibrate(task, y, output) if enough else None
            parts.append(_rows(task, data.rows, test, applied_to[task.name], calibration).assign(fold=str(fold)))
    if data.test is not None:
        outputs = predict_together(nets, data.test.vectors[cell.spec.fingerprint])
        every = np.arange(len(data.test))
        parts += [_rows(task, data.test, every, outputs[task.name], None).assign(fold=TEST) for task in cell.tasks]
    validation = {task: float(np.mean(values)) for task, values in judged.items()}
    return pd.concat(parts, ignore_index=True), validation


def _rows(
    task: Task, part: Rows, rows: NDArray[np.int64], output: NDArray[np.floating], calibration: Calibration | None
) -> pd.DataFrame:
    """Lay out the predictions of some rows that have a label."""
    ids, y = part.frame["image_id"].to_numpy()[rows], part.labels[task.name][rows]
    columns: dict[str, Any] = {"task": task.name, "image_id": ids, "y": y, "predicted": task.point(output)}
    columns |= dict.fromkeys(("low", "high", "confidence"), np.nan)
    if isinstance(calibration, Intervals):
        columns["low"], columns["high"] = calibration(task, output).T
    elif isinstance(calibration, Temperature):
        columns["confidence"] = calibration(task, output).max(axis=1)
    return pd.DataFrame(columns).dropna(subset=["y"])
