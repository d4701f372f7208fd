"""A report from a comparison: the sections, and the tables and plots that are not of one task alone."""

import math
from collections.abc import Callable, Sequence

from heads.compare import Comparison
from heads.dataset import Dataset
from heads.report import plots, tables
from heads.report.blocks import Block, Face, Headline, Report, Section
from heads.report.facts import DUMMY, MODEL, first_metric, goodness, worst
from heads.report.run import Run
from heads.report.study import Study, studies_of
from heads.report.task_section import blocks_of
from heads.table import COLUMNS, figure, seeded_note

WORST = 12  # mistakes shown of each task
Picture = Callable[[str], str]  # from the path of an image to a small JPEG as a data URI, "" for none


def report_of(comparison: Comparison, data: Dataset, run: Run, *, picture: Picture | None = None) -> Report:
    """What was compared, how it errs and what it costs; without `picture` nothing in it names an image.

    Parameters
    ----------
    picture : adds the worst mistakes, by the ids of their images, each with what this makes of its path.
    """
    studies = studies_of(comparison, data, run)
    sections = [_results(comparison, data, run)]
    sections += [
        Section(study.task.name, f"task-{number}", blocks_of(study, comparison.cells))
        for number, study in enumerate(studies, start=1)
    ]
    sections += _cost(studies, comparison)
    if picture:
        sections.append(_mistakes(studies, picture))
    sections.append(_repeat(data, run))
    warnings = tuple(filter(None, [seeded_note(run.backbones)]))
    subtitle = f"{len(data.rows):,} images, {data.split.n_folds} folds, {run.date}"
    title = "faceprobe: " + ", ".join(task.name for task in run.tasks)
    return Report(title, subtitle, tuple(_headline(study, comparison) for study in studies), warnings, tuple(sections))


def _headline(study: Study, comparison: Comparison) -> Headline:
    """The best model of a task beside the dummy."""
    metric = study.task.metrics[0]
    found = first_metric(comparison.of_folds, study.task)
    best = (study.shown or [DUMMY])[0]
    word = "Random weights" if study.run.is_seeded(best[0]) else "Best"
    lead, contrast = f"{word} on {study.task.name} by {COLUMNS[metric][0]}", f"on {found[best].n:,} rows"
    if DUMMY in found:
        floor = found[DUMMY].mean
        contrast = f"dummy {figure(metric, floor)}, {contrast}"
        if not goodness(metric, found[best].mean) > goodness(metric, floor):
            lead = f"Nothing beats the dummy on {study.task.name} by {COLUMNS[metric][0]}"
    return Headline(lead, figure(metric, found[best].mean, found[best].spread), study.name(best), contrast)


def _results(comparison: Comparison, data: Dataset, run: Run) -> Section:
    """The tables, of the folds and of another manifest."""
    folds = [tables.results_table(comparison.of_folds, comparison.cells, task, run) for task in run.tasks]
    caption = (
        f"Mean over {data.split.n_folds} folds of heads tested on rows they have not seen, ± the standard deviation "
        "over folds."
    )
    if len(comparison.cells[MODEL].drop_duplicates()) > 1:
        caption += (
            " ★ marks the best of a column, random weights aside. The dummy predicts the median or the most frequent "
            "class of the training rows: a head must beat it."
        )
    words = Block("What the columns mean", tables=(tables.glossary(comparison.of_folds),))
    blocks = [Block("", caption, tables=tuple(folds), more=words)]
    if data.test is not None:
        caption = (
            f"{len(data.test):,} rows on which nothing was trained, by the heads of all folds together. Rows with the "
            "bytes of an image trained on are left out."
        )
        tested = [tables.results_table(comparison.of_test, comparison.cells, task, run) for task in run.tasks]
        blocks.append(Block("Tested on another manifest", caption, tables=tuple(tested)))
    return Section("Results", "results", tuple(blocks))


def _cost(studies: Sequence[Study], comparison: Comparison) -> list[Section]:
    """What a backbone costs against what it gives, where the cost is known."""
    drawn = []
    for study in studies:
        found, metric = first_metric(comparison.of_folds, study.task), study.task.metrics[0]
        points = {model: (study.run.backbones[model[0]]["embed_ms"], found[model].mean) for model in study.shown}
        known = [
            plots.Point(*at, study.name(model), study.style(model))
            for model, at in points.items()
            if at[0] > 0 and all(map(math.isfinite, at))
        ]
        if known:
            drawn.append(plots.cost(known, title=study.task.name, metric=metric))
    caption = (
        "The best head of each backbone. Further left is cheaper: an image is embedded once, and heads cost next to "
        "nothing on top. Errors (MAE) are better low, accuracies high."
    )
    return [Section("Cost against accuracy", "cost", (Block("", caption, plots=tuple(drawn)),))] if drawn else []


def _mistakes(studies: Sequence[Study], picture: Picture) -> Section:
    """The rows that the best head of each task gets most wrong."""
    names = ("image_id", "path", "y", "predicted")
    blocks = []
    for study in studies:
        best = (study.shown or [DUMMY])[0]
        found = worst(study.rows, study.task, best, WORST)
        faces = tuple(
            Face(image_id, study.label(y), study.label(predicted), picture(path))
            for image_id, path, y, predicted in zip(*(found[name] for name in names), strict=True)
        )
        caption = f"{study.name(best)}, on rows it has not seen. Look at the labels too: some may be wrong."
        blocks.append(Block(study.task.name, caption if faces else "No mistakes.", faces=faces))
    return Section("Worst mistakes", "mistakes", tuple(blocks))


def _repeat(data: Dataset, run: Run) -> Section:
    """All that another run needs to give the same figures."""
    split = data.split
    made_from = {**{name: text for name, text in run.paths.items() if name != "command"}, **run.machine}
    facts = {
        "date": run.date,
        **made_from,
        "rows": f"{len(data.rows):,}",
        "split": split.rule,
        "split's SHA-256": split.hash,
        "seed": f"{run.seed}, of the split and the heads",
    }
    own = [tables.pairs_table("Run", facts), tables.backbones_table(run)]
    for part, of in zip(data.parts, ("", " of the test manifest"), strict=False):
        left = {"all": part.dropped, **part.left_out}
        if any(left.values()):
            own.append(tables.counts_table(left, title=f"Rows left out{of}", header=("task", "reason", "rows")))
    return Section("Repeat this run", "repeat", (Block("", tables=tuple(own), code=run.paths.get("command", "")),))
