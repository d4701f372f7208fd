"""Stores x heads x folds to results: every cell on the same rows and the same split, each trained once."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from heads.cell import TEST, Cell, Outcome, finish, training_weights
from heads.cka import linear_cka
from heads.dataset import Concatenation, Dataset, Rows
from heads.figures import ADULT, DUMMY, FIGURES, FROM_ADULT, VERDICTS, judge
from heads.inputs import WIDEST
from heads.leakage import Leakage, measure_leakage
from heads.measures import MEASURES
from heads.tasks import METRICS, Task

CKA = ["first", "second", "value"]
CKA_ROWS = 5000  # of which it is computed at most; more move it in the third decimal


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


@dataclass(frozen=True, eq=False)
class Comparison:
    """The outcome of `compare`.

    Attributes
    ----------
    results : DataFrame, one row per task, backbone, head, fold, metric and seed: the fields of `Result`.
    cells : DataFrame, one row per task, backbone and head: `seconds` to train all folds and seeds, `bytes` of one
        fold's head; `metric`, the task's first, and `validation`, what it is on validation rows, mean over folds and
        seeds; `history` of the first seed's training, a dict per fold as of `DenseHead`, or [] where a head has none;
        `trials` of a search, a list of rows, or [].
    predictions : DataFrame, one row per backbone, head, seed and row predicted: backbone, head, seed, and the columns
        of `predict_folds`: task, fold, image_id, y, predicted, low, high, confidence.
    reused : how many cells an earlier run had finished.
    figures : DataFrame with the columns FIGURES: each metric with its interval at 95% over resampled groups, of the
        test rows of all folds and all seeds together; n images. Beside the metrics of `results` ece of classes, and
        coverage, width (years) and aurc (years) of the intervals of ages.
    verdicts : DataFrame with the columns VERDICTS: each pair of models, the dummy aside, by the task's first metric;
        p_adjusted and words are corrected for all pairs of the task.
    cka : DataFrame with first, second, value: how alike each pair of backbones sees the rows, `heads.cka`.
    leakage : of a grouped split, if it was asked for.
    robustness : DataFrame with the columns of `heads.robustness`, if it was asked for.
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
        """Every trial of every search: task, backbone, head, seed, fold, and the columns of `SearchedHead.trials_`."""
        keys = ["task", "backbone", "head"]
        cells = self.cells.to_dict("records")
        return pd.DataFrame([{**{key: cell[key] for key in keys}, **row} for cell in cells for row in cell["trials"]])

    @property
    def best_heads(self) -> pd.DataFrame:
        """The rows of `cells` with the best head of each backbone and task by their validation rows."""
        own = self.cells[self.cells["head"] != DUMMY[1]]
        better = [MEASURES[metric].better for metric in own["metric"]]
        ranked = own.assign(goodness=own["validation"] * better).sort_values("goodness", ascending=False, kind="stable")
        return ranked.drop_duplicates(["task", "backbone"]).drop(columns="goodness")

    @property
    def figures_of_test(self) -> pd.DataFrame:
        """The results on the other manifest, mean over seeds, as `figures`, without intervals."""
        keys = ["task", "backbone", "head", "metric"]
        means = self.of_test.groupby(keys, sort=False).agg(value=("value", "mean"), n=("n", "first")).reset_index()
        return means.assign(low=np.nan, high=np.nan)[FIGURES]

    @property
    def of_folds(self) -> pd.DataFrame:
        """The results of the split's folds."""
        return self.results[self.results["fold"] != TEST]

    @property
    def of_test(self) -> pd.DataFrame:
        """The results on the other manifest."""
        return self.results[self.results["fold"] == TEST]


def compare(
    cells: Sequence[Cell],
    data: Dataset,
    folder: Path,
    *,
    seeds: Sequence[int] = (0,),
    leakage: bool = False,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Comparison:
    """Train and test every cell that `folder` does not hold already.

    Parameters
    ----------
    folder : finished cells' predictions are kept in `folder`/cells, so a stopped comparison goes on where it was.
    seeds : of the heads; each cell is trained with all of them.
    leakage : whether to train the best head of each backbone and task, by validation rows, under a random split too.
    on_progress : called with 1 after each cell.
    """
    for cell in cells:
        training_weights(cell, data)  # what cannot be is refused before anything is trained
    kept = folder / "cells"
    kept.mkdir(parents=True, exist_ok=True)
    outcomes: list[tuple[Cell, Outcome]] = []
    reused = 0
    for cell in cells:
        outcome, known = finish(cell, data, kept, seeds=seeds)
        outcomes.append((cell, outcome))
        reused += known
        on_progress(1)
    comparison = comparison_of(outcomes, data, seeds=seeds, reused=reused)
    if leakage:
        chosen = chosen_cells(cells, comparison.best_heads)
        comparison = replace(comparison, leakage=measure_leakage(chosen, comparison.predictions, data, kept))
    return comparison


def chosen_cells(cells: Sequence[Cell], best: pd.DataFrame) -> list[tuple[Cell, Task]]:
    """Find the cells of `Comparison.best_heads`, each with the task it is best at; task by task."""
    wanted = {*best[["task", "backbone", "head"]].itertuples(index=False, name=None)}
    tasks = dict.fromkeys(task for cell in cells for task in cell.tasks)
    return [
        (cell, task)
        for task in tasks
        for cell in cells
        if task in cell.tasks and (task.name, cell.backbone, cell.head) in wanted
    ]


def comparison_of(
    outcomes: Sequence[tuple[Cell, Outcome]], data: Dataset, *, seeds: Sequence[int] = (0,), reused: int = 0
) -> Comparison:
    """Measure cells' predictions and lay everything out by task, backbone and head."""
    names = [{"backbone": cell.backbone, "head": cell.head} for cell, _ in outcomes]
    predictions = pd.concat(
        [outcome.predictions.assign(**name) for (_, outcome), name in zip(outcomes, names, strict=True)],
        ignore_index=True,
    )
    tasks = [*dict.fromkeys(task for cell, _ in outcomes for task in cell.tasks)]
    split = data.split
    groups = pd.Series(split.groups, index=pd.Index(split.ids))
    judged = judge(tasks, predictions[predictions["fold"] != TEST], groups, _ages(data.rows))
    return Comparison(
        results=pd.DataFrame(
            [asdict(each) for cell, outcome in outcomes for each in measure(cell, outcome.predictions, data)]
        ),
        cells=pd.DataFrame([row for cell, outcome in outcomes for row in _cell_rows(cell, outcome)]),
        predictions=predictions,
        reused=reused,
        figures=judged.figures,
        verdicts=judged.verdicts,
        cka=cka_of([cell for cell, _ in outcomes], data.rows),
    )


def _cell_rows(cell: Cell, outcome: Outcome) -> list[dict[str, object]]:
    """A row of `Comparison.cells` for each task."""
    own = {"backbone": cell.backbone, "head": cell.head, **outcome.facts}
    validation = own.pop("validation")
    return [
        {"task": task.name, **own, "metric": task.metrics[0], "validation": validation[task.name]}
        for task in cell.tasks
    ]


def cka_of(cells: Sequence[Cell], rows: Rows) -> pd.DataFrame:
    """CKA of each pair of backbones; those of more than WIDEST numbers, such as pixels, are left out as too slow."""
    specs = {
        cell.spec.name: rows.vectors[cell.spec.fingerprint]
        for cell in cells
        if cell.head != "dummy" and not isinstance(cell.spec, Concatenation)
    }
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:CKA_ROWS])
    narrow = {name: X[chosen] for name, X in specs.items() if np.prod(X.shape[1:]) <= WIDEST}
    pairs = [(*names, linear_cka(*(narrow[name] for name in names))) for names in combinations(narrow, 2)]
    return pd.DataFrame(pairs, columns=CKA)


def measure(cell: Cell, predictions: pd.DataFrame, data: Dataset) -> list[Result]:
    """Every metric of every task in every fold and seed; for gender also of the rows aged ADULT or more."""
    results = []
    for task in cell.tasks:
        own = predictions[predictions["task"] == task.name]
        for keys, rows in own.groupby(["fold", "seed"]):
            fold, seed = cast(tuple[str, int], keys)
            names = (task.name, cell.backbone, cell.head, data.split.hash, fold)
            for suffix, chosen in _row_groups(task, rows, data.test if fold == TEST else data.rows).items():
                for metric, function in METRICS[task.kind].items():
                    y, predicted = chosen["y"].to_numpy(), chosen["predicted"].to_numpy()
                    value = float(function(y, predicted)) if len(chosen) else float("nan")
                    results.append(Result(*names, metric + suffix, value, len(chosen), seed))
    return results


def _row_groups(task: Task, rows: pd.DataFrame, part: Rows | None) -> dict[str, pd.DataFrame]:
    """The rows to measure, by a suffix for the metric's name."""
    ages = None if task.name != "gender" or part is None else _ages(part)
    if ages is None:
        return {"": rows}
    return {"": rows, FROM_ADULT: rows[rows["image_id"].map(ages) >= ADULT]}


def _ages(part: Rows) -> pd.Series | None:
    """By image_id, if the manifest has ages."""
    return part.frame.set_index("image_id")["age"] if "age" in part.frame else None
