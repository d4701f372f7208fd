"""A report from a comparison: its sections in their order, and the last of them."""

import math
from collections.abc import Callable, Sequence

from heads.compare import Comparison
from heads.dataset import Dataset
from heads.report import plots, tables
from heads.report.blocks import Block, Face, Report, Section
from heads.report.calibration_section import calibration_section
from heads.report.embeddings_section import embeddings_section
from heads.report.facts import DUMMY, worst
from heads.report.leakage_section import leakage_section
from heads.report.results_section import headline, results_section
from heads.report.robustness_section import robustness_section
from heads.report.run import Run
from heads.report.study import Study, studies_of
from heads.report.task_section import blocks_of
from heads.table import seeded_note

WORST = 12  # mistakes shown of each task
Picture = Callable[[str], str]  # from the path of an image to a small JPEG as a data URI, "" for none


def report_of(comparison: Comparison, data: Dataset, run: Run, *, picture: Picture | None = None) -> Report:
    """What was compared, how it errs and what it costs; without `picture` nothing in it names an image.

    Parameters
    ----------
    picture : adds the worst mistakes, by the ids of their images, each with what this makes of its path.
    """
    studies = studies_of(comparison, data, run)
    sections = [
        results_section(studies, comparison, data),
        *(
            Section(study.task.name, f"task-{number}", blocks_of(study, comparison.cells))
            for number, study in enumerate(studies, start=1)
        ),
        calibration_section(studies),
        leakage_section(studies, comparison.leakage, data, picture=picture),
        robustness_section(studies, comparison.robustness),
        embeddings_section(data, run, comparison.cka),
        _cost(studies),
    ]
    if picture:
        sections.append(_mistakes(studies, picture))
    sections.append(_repeat(data, run))
    warnings = tuple(filter(None, [seeded_note(run.backbones)]))
    subtitle = f"{len(data.rows):,} images, {data.split.n_folds} folds, {run.date}"
    title = "faceprobe: " + ", ".join(task.name for task in run.tasks)
    summary = tuple(headline(study, comparison.verdicts) for study in studies)
    return Report(title, subtitle, summary, warnings, tuple(section for section in sections if section.blocks))


def _cost(studies: Sequence[Study]) -> Section:
    """What a backbone costs against what it gives, where the cost is known."""
    drawn = []
    for study in studies:
        points = {model: (study.run.backbones[model[0]]["embed_ms"], study.found[model].value) for model in study.shown}
        known = [
            plots.Point(*at, study.name(model), study.style(model))
            for model, at in points.items()
            if at[0] > 0 and all(map(math.isfinite, at))
        ]
        if known:
            drawn.append(plots.cost(known, title=study.task.name, metric=study.task.metrics[0]))
    caption = (
        "The best head of each backbone. Further left is cheaper: an image is embedded once, and heads cost next to "
        "nothing on top. Errors (MAE) are better low, accuracies high."
    )
    return Section("Cost against accuracy", "cost", (Block("", caption, plots=tuple(drawn)),) if drawn else ())


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
