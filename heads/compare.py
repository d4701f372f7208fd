"""Stores x heads x folds to results: every cell on the same rows and the same split, each trained once."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.files import PRIVATE, atomic_write
from heads.base import Head, head_row, make_head
from heads.dataset import AnySpec, Dataset
from heads.leakage import Leakage
from heads.net import Predictor, predict_together
from heads.tasks import METRICS, Task

ADULT = 14  # years; an infant's gender cannot be seen, so it is reported for these and older as well
TEST = "test"  # in place of a fold's number: rows of another manifest, predicted by the heads of all folds together


FIGURES = ["task", "backbone", "head", "metric", "value", "low", "high", "n"]
VERDICTS = [
    *("task", "metric", "first_backbone", "first_head", "second_backbone", "second_head"),
    *("difference", "low", "high", "p", "p_adjusted", "seeds", "words"),
]
CKA = ["first", "second", "value"]
ROBUSTNESS = ["backbone", "head", "task", "corruption", "level", "metric", "value", "n"]


@dataclass(frozen=True)
class Result:
    """One number of one cell in one fold."""

    task: str
    backbone: str
    head: str
    split: str
    fold: str
    metric: str
    value: float
    n: int
    seed: int


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
        facts = [version("faceprobe"), looked_at, self.head, [task.to_dict() for task in self.tasks]]
        digest = hashlib.sha256(json.dumps([*facts, data.split.hash, seed]).encode())
        for part in data.parts:
            digest.update("\0".join([*part.frame["image_id"], *part.frame["sha256"]]).encode())
            digest.update(b"".join(part.labels[task.name].tobytes() for task in self.tasks))
        return digest.hexdigest()[:32]


class Outcome(NamedTuple):
    """What came of a cell: predictions as of `predict_folds`, and the facts of `fit_folds`."""

    predictions: pd.DataFrame
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome of `compare`.

    Attributes
    ----------
    results : DataFrame, one row per task, backbone, head, fold, metric and seed: the fields of `Result`.
    cells : DataFrame, one row per task, backbone and head: `seconds` to train all folds and seeds, `bytes` of one fold's
        head; `validation`, the task's first metric on validation rows, mean over folds and seeds; `history` of the
        first seed's training, a dict per fold as of `DenseHead`, or [] where a head has none; `trials` of a search, a
        list of rows, or [].
    predictions : DataFrame, one row per backbone, head, seed and row predicted: backbone, head, seed, and the columns
        of `predict_folds`: task, fold, image_id, y, predicted, low, high, confidence.
    reused : how many cells an earlier run had finished.
    figures : DataFrame with the columns FIGURES: each metric with its interval at 95% over resampled groups, of the test
        rows of all folds and all seeds together; n images. Beside the metrics of `results` ece of classes, and
        coverage, width (years) and aurc (years) of the intervals of ages.
    verdicts : DataFrame with the columns VERDICTS: each pair of models, the dummy aside, by the task's first metric;
        p_adjusted and words are corrected for all pairs of the task.
    cka : DataFrame with first, second, value: how alike each pair of backbones sees the rows, `heads.cka`.
    leakage : of a grouped split, if it was asked for.
    robustness : DataFrame with the columns ROBUSTNESS, if it was asked for.
    """

    results: pd.DataFrame
    cells: pd.DataFrame
    predictions: pd.DataFrame
    reused: int
    figures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=FIGURES))
    verdicts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=VERDICTS))
    cka: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CKA))
    leakage: Leakage | None = None
    robustness: pd.DataFrame | None = None

    @property
    def trials(self) -> pd.DataFrame:
        """Every trial of every search: task, backbone, head, fold, and the columns of `SearchedHead.trials_`."""
        keys = ["task", "backbone", "head"]
        return pd.DataFrame(
            [
                {**{key: cell[key] for key in keys}, "fold": fold, **row}
                for cell in self.cells.to_dict("records")
                for fold, rows in enumerate(cell["trials"])
                for row in rows
            ]
        )

    @property
    def of_folds(self) -> pd.DataFrame:
        """The results of the split's folds."""
        return self.results[self.results["fold"] != TEST]

    @property
    def of_test(self) -> pd.DataFrame:
        """The results on the other manifest."""
        return self.results[self.results["fold"] == TEST]


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


def compare(
    cells: Sequence[Cell],
    data: Dataset,
    folder: Path,
    *,
    seed: int = 0,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Comparison:
    """Train and test every cell that `folder` does not hold already.

    Parameters
    ----------
    folder : finished cells' predictions are kept in `folder`/cells, so a stopped comparison goes on where it was.
    on_progress : called with 1 after each cell.
    """
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    outcomes: list[tuple[Cell, Outcome]] = []
    reused = 0
    for cell in cells:
        file = folder / "cells" / f"{cell.key(data, seed)}.parquet"
        if file.exists():
            reused += 1
        else:
            table = run_cell(cell, data, seed=seed)
            with atomic_write(file, mode=PRIVATE) as out:
                pq.write_table(table, out)
        with open(file, "rb") as finished:  # pyarrow takes no names that are not UTF-8
            table = pq.read_table(finished)
        outcomes.append((cell, Outcome(table.to_pandas(), json.loads(table.schema.metadata[b"cell"]))))
        on_progress(1)
    return comparison_of(outcomes, data, seed=seed, reused=reused)


def comparison_of(outcomes: Sequence[tuple[Cell, Outcome]], data: Dataset, *, seed: int, reused: int = 0) -> Comparison:
    """Measure cells' predictions and lay everything out by task, backbone and head."""
    results = [result for cell, outcome in outcomes for result in measure(cell, outcome.predictions, data, seed)]
    names = [{"backbone": cell.backbone, "head": cell.head} for cell, _ in outcomes]
    return Comparison(
        results=pd.DataFrame([asdict(result) for result in results]),
        cells=pd.DataFrame(
            [
                {"task": task.name, **name, **outcome.facts}
                for (cell, outcome), name in zip(outcomes, names, strict=True)
                for task in cell.tasks
            ]
        ),
        predictions=pd.concat(
            [outcome.predictions.assign(**name) for (_, outcome), name in zip(outcomes, names, strict=True)],
            ignore_index=True,
        ),
        reused=reused,
    )


def run_cell(cell: Cell, data: Dataset, *, seed: int = 0) -> pa.Table:
    """Train a cell and predict; see `predict_folds`. The table's metadata has the facts of `fit_folds`."""
    nets, facts = fit_folds(cell, data, seed=seed)
    table = pa.Table.from_pandas(predict_folds(cell, nets, data), preserve_index=False)
    return table.replace_schema_metadata({"cell": json.dumps(facts)})


def fit_folds(cell: Cell, data: Dataset, *, seed: int = 0) -> tuple[list[Predictor], dict[str, Any]]:
    """One trained head per fold of the split; with the `seconds` it took, the `bytes` of one and their `history`."""
    labels = data.rows.labels
    y: Any = labels if head_row(cell.head).shared else labels[cell.tasks[0].name]
    folds = [data.split.indices(fold) for fold in range(data.split.n_folds)]
    head = make_head(cell.head, cell.tasks, seed=seed)  # loads Keras or scikit-learn, which is no part of training
    started = time.perf_counter()
    fitted = head.fit_folds(data.rows.vectors[cell.spec.fingerprint], y, folds)
    seconds = time.perf_counter() - started
    history = [_history(each) for each in fitted if hasattr(each, "history_")]
    trials = [each.trials_.to_dict("records") for each in fitted if hasattr(each, "trials_")]
    nets = [each.net_ for each in fitted]
    return nets, {"seconds": seconds, "bytes": nets[0].n_bytes, "history": history, "trials": trials}


def _history(head: Head) -> dict[str, list[list[float]]]:
    """A head's history in what JSON can hold; the curves of a page need no more than 5 digits."""
    return {name: np.round(values, 5).tolist() for name, values in head.history_.items()}  # type: ignore[attr-defined]


def predict_folds(cell: Cell, nets: Sequence[Predictor], data: Dataset) -> pd.DataFrame:
    """Predict every row by the head that has not seen it, and another manifest's rows by all heads together.

    Returns
    -------
    DataFrame with columns task, fold (a number, or TEST), image_id, y and predicted: years (the expected value),
    positions of classes, or numbers. Rows without a label are left out.
    """
    asked = [([net], data.rows, data.split.indices(fold)[2], str(fold)) for fold, net in enumerate(nets)]
    if data.test is not None:
        asked.append(([*nets], data.test, np.arange(len(data.test.frame)), TEST))
    parts = []
    for chosen, part, rows, fold in asked:
        outputs = predict_together(chosen, part.vectors[cell.spec.fingerprint][rows])
        for task in cell.tasks:
            ids, y = part.frame["image_id"].to_numpy()[rows], part.labels[task.name][rows]
            columns = {"task": task.name, "fold": fold, "image_id": ids, "y": y}
            parts.append(pd.DataFrame({**columns, "predicted": task.point(outputs[task.name])}).dropna(subset=["y"]))
    return pd.concat(parts, ignore_index=True)


def measure(cell: Cell, predictions: pd.DataFrame, data: Dataset, seed: int) -> list[Result]:
    """Every metric of every task in every fold; for gender also of the rows aged ADULT or more."""
    results = []
    for task in cell.tasks:
        own = predictions[predictions["task"] == task.name]
        for fold, rows in own.groupby("fold"):
            names = (task.name, cell.backbone, cell.head, data.split.hash, str(fold))
            for suffix, chosen in _row_groups(task, rows, data.test if fold == TEST else data.rows).items():
                for metric, function in METRICS[task.kind].items():
                    y, predicted = chosen["y"].to_numpy(), chosen["predicted"].to_numpy()
                    value = float(function(y, predicted)) if len(chosen) else float("nan")
                    results.append(Result(*names, metric + suffix, value, len(chosen), seed))
    return results


def _row_groups(task: Task, rows: pd.DataFrame, part: Any) -> dict[str, pd.DataFrame]:
    """The rows to measure, by a suffix for the metric's name."""
    if task.name != "gender" or "age" not in part.frame:
        return {"": rows}
    ages = rows["image_id"].map(part.frame.set_index("image_id")["age"])
    return {"": rows, f"_from_{ADULT}": rows[ages >= ADULT]}
