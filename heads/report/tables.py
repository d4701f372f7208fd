"""Frames to tables of words: what the page and the Markdown both show."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from heads.report.blocks import Cell, Row, Table
from heads.report.facts import DUMMY, MODEL, Counts, Errors, Model, age_groups_off, goodness, of_model, per_class
from heads.report.run import Run
from heads.report.study import Study
from heads.table import COLUMNS, COSTS, SEEDED_MARK, TERMINAL, costs, figure
from heads.tasks import Task

MEANING = {
    "mae": "mean absolute error: how far off a prediction is on average, in years or in the unit of the column",
    "cs5": "share of predictions at most 5 years off",
    "bias": "mean of predicted minus true: above 0, people are made older than they are",
    "balanced_mae": "MAE averaged over ten age groups, so that rare ages count as much as common ones",
    "rmse": "root of the mean squared error, which large errors dominate",
    "r2": "share of the variance that is explained: 1 is perfect, 0 is no better than the mean",
    "accuracy": "share of predictions that are right",
    "balanced_accuracy": "share of right predictions averaged over the true classes: rare ones count as much",
    "macro_f1": "F1 averaged over classes; F1 is high where both precision and recall are",
    "accuracy_from_14": "accuracy on people aged 14 or more: an infant's gender cannot be seen",
}
COST_MEANING = {
    "train s": "seconds to train the heads of all folds, on embeddings that are stored already",
    "embed ms": "milliseconds to embed one image, as it was when the store was filled; once per image",
    "dim": "numbers in an embedding",
    "MB": "size of the backbone's weights",
}
SEEDED_BADGE = "random weights"


def plain(*texts: str) -> tuple[Cell, ...]:
    """Cells that are text alone."""
    return tuple(Cell(text) for text in texts)


def results_table(figures: pd.DataFrame, cells: pd.DataFrame, task: Task, run: Run) -> Table:
    """A line per backbone and head with every metric and cost, the best of each metric marked."""
    own = figures[figures["task"] == task.name]
    metrics = [metric for metric in TERMINAL if metric in set(own["metric"])]
    values = own.set_index([*MODEL, "metric"])
    best = {metric: _best(values["value"], metric, run) for metric in metrics}
    rows = []
    for model in own[MODEL].drop_duplicates().itertuples(index=False, name=None):
        cells_of_metrics = [
            Cell(figure(metric, at["value"]), best=model in best[metric], note=between(metric, at["low"], at["high"]))
            for metric, at in ((metric, values.loc[(*model, metric)]) for metric in metrics)
        ]
        own_cells = cells[(cells["task"] == task.name) & (cells[MODEL] == list(model)).all(axis=1)]
        spent = plain(f"{own_cells['seconds'].iloc[0]:.1f}", *costs(run.backbones.get(model[0])))
        names = (_named(model[0], seeded=run.is_seeded(model[0])), Cell(model[1]))
        rows.append(Row((*names, *cells_of_metrics, *spent), muted=model == DUMMY))
    header = ("backbone", "head", *(COLUMNS[metric][0] for metric in metrics), "train s", *COSTS)
    return Table(task.name, header, tuple(rows), words=2)


def between(metric: str, low: float, high: float) -> str:
    """An interval as people read it, the unit said once; nothing where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{figure(metric, low).removesuffix('%')} to {figure(metric, high)}"


def _named(backbone: str, *, seeded: bool) -> Cell:
    """A backbone's name, which cannot be taken for that of a trained one if its weights are random."""
    return Cell(f"{backbone} {SEEDED_MARK}", badge=SEEDED_BADGE) if seeded else Cell(backbone)


def _best(means: pd.Series, metric: str, run: Run) -> set[Model]:
    """The models that are best by a metric, among two or more beside the dummy; random weights are never called so."""
    own = means.xs(metric, level="metric").drop(DUMMY, errors="ignore").dropna()
    better = own[[not run.is_seeded(backbone) for backbone, _ in own.index]].map(lambda value: goodness(metric, value))
    return set(better.index[better == better.max()]) if len(own) > 1 else set()


def glossary(results: pd.DataFrame) -> Table:
    """What the columns of the results mean."""
    found = set(results["metric"])
    meanings = {COLUMNS[metric][0]: MEANING[metric] for metric in COLUMNS if metric in found} | COST_MEANING
    return Table("", ("column", "meaning"), tuple(Row(plain(*pair)) for pair in meanings.items()), words=2)


def errors_table(
    study: Study, errors: Errors, *, models: Sequence[Model], by: str = "age", named: Callable[[Any], str] = str
) -> Table:
    """Mean error of models by groups of rows, with a bar under each but the dummy's, which would dwarf them.

    Parameters
    ----------
    by : what the groups are of.
    named : turns a group into its name.
    """
    largest = errors.mean[[model for model in models if model != DUMMY]].max().max()
    rows = []
    for (group, line), n in zip(errors.mean.iterrows(), errors.n, strict=True):
        shares = [None if model == DUMMY else _share(line[model], largest) for model in models]
        cells = [Cell(study.error(line[model]), share=share) for model, share in zip(models, shares, strict=True)]
        rows.append(Row((*plain(named(group), f"{n:,}"), *cells)))
    return Table("", (by, "n", *map(study.name, models)), tuple(rows))


def _share(value: float, largest: float) -> float | None:
    """The length of a bar, none for no figure."""
    return None if math.isnan(value) or not largest else round(value / largest, 3)


def groups_off_table(study: Study) -> Table | None:
    """How many groups off the predictions of every model are; None for a task without groups."""
    most = 3  # groups off and more are one column
    rows = []
    for model in study.ranked:
        shares = age_groups_off(of_model(study.rows, model), study.task, study.run.age_groups)
        if shares is None:
            return None
        columns = [*(shares.get(off, 0.0) for off in range(most)), shares[shares.index >= most].sum()]
        cells = [Cell(_percent(share), share=_share(share, 1)) for share in (*columns, columns[0] + columns[1])]
        rows.append(Row((Cell(study.name(model)), *cells), muted=model == DUMMY))
    return Table("", ("model", "exact", "1 off", "2 off", f"{most} or more", "within one"), tuple(rows))


def confusion_table(study: Study, model: Model, counts: Counts) -> Table:
    """Per cent of each true class by the class predicted."""
    names = [str(name) for name in study.task.classes]
    rows = []
    for name, line in zip(names, counts, strict=True):
        total = line.sum()
        shares = [f"{n / total * 100:.0f}" if n else "·" for n in line] if total else ["·"] * len(line)
        depths = [round(float(n / total), 3) if total else 0.0 for n in line]
        cells = [Cell(text, share=depth) for text, depth in zip(shares, depths, strict=True)]
        rows.append(Row((Cell(name), *cells, Cell(f"{total:,}"))))
    return Table(study.name(model), ("true \\ predicted", *names, "n"), tuple(rows), matrix=True)


def mix_ups_table(study: Study, model: Model, found: pd.DataFrame) -> Table:
    """The most frequent mistakes, where a matrix would be too large."""
    rows = [
        Row(plain(study.label(true), study.label(said), f"{n:,}"))
        for true, said, n in found.itertuples(index=False, name=None)
    ]
    return Table(study.name(model), ("true", "predicted", "n"), tuple(rows), words=2)


def classes_table(study: Study, model: Model, counts: Counts) -> Table:
    """Precision, recall and F1 of every class."""
    rows = []
    figures = per_class(counts)
    shares = figures[["precision", "recall", "f1"]].to_numpy()
    for name, n, values in zip(study.task.classes, figures["n"], shares, strict=True):
        cells = [Cell(_percent(value), share=_share(value, 1)) for value in values]
        rows.append(Row((*plain(str(name), f"{n:,}"), *cells)))
    return Table(study.name(model), ("class", "n", "precision", "recall", "F1"), tuple(rows))


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def pairs_table(title: str, pairs: Mapping[str, str]) -> Table:
    """Facts by name."""
    return Table(title, ("", ""), tuple(Row(plain(*pair)) for pair in pairs.items()), words=2)


def backbones_table(run: Run) -> Table:
    """What every backbone must be to give the same embeddings, each part of a concatenation once."""
    parts = {part["fingerprint"]: part for facts in run.backbones.values() for part in facts["parts"]}
    rows = [
        Row(
            (
                _named(part["name"], seeded=part["seeded"]),
                *plain(part["fingerprint"], part["weights_sha256"] or "none", part["licence"], part["library"]),
            )
        )
        for part in parts.values()
    ]
    header = ("backbone", "fingerprint", "weights SHA-256", "licence", "library")
    return Table("Backbones", header, tuple(rows), words=5)


def counts_table(parts: Mapping[str, Mapping[str, int]], *, title: str, header: tuple[str, str, str]) -> Table:
    """How many, by what and by reason."""
    rows = [
        Row(plain(name, reason, f"{count:,}")) for name, reasons in parts.items() for reason, count in reasons.items()
    ]
    return Table(title, header, tuple(rows), words=2)


def words_table(title: str, sentences: Sequence[str]) -> Table:
    """A sentence per line."""
    return Table(title, ("",), tuple(Row(plain(sentence)) for sentence in sentences))
