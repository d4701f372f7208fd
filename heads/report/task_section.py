"""The section of one task: how its predictions err, and how its heads were trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS
from heads.metrics import CURVE, cs_curve
from heads.report import canvas, plots, tables
from heads.report.blocks import Block, Plot, Table
from heads.report.facts import DUMMY, Counts, Model, confusion, curves, mix_ups, one_of_each
from heads.report.lines import PLAIN, Axis, Series, lines, plain_key
from heads.report.people_section import bias_by_age, by_age, by_group
from heads.report.study import Study
from heads.table import COLUMNS

MATRIX_CLASSES = 15  # more than these make a matrix that nobody reads
MIX_UPS = 15  # of the most frequent mistakes, where there is no matrix
ANCESTOR = (
    "For contrast: the report that this project grew from had 55.1% exact and 93.8% within one of these ten groups, on "
    "other rows and another split."
)


def blocks_of(study: Study, cells: pd.DataFrame) -> tuple[Block, ...]:
    """How one task's predictions err, and how its heads were trained; `cells` as of a `Comparison`."""
    if not study.shown:
        return ()
    makers = (_scatter, _scores, _confusion, _classes, _groups_off, by_age, bias_by_age, by_group)
    made = [*(make(study) for make in makers), _training(study, cells)]
    return tuple(block for block in made if block is not None)


def _scatter(study: Study) -> Block | None:
    """Predicted against true values."""
    task = study.task
    if task.kind == "class":
        return None
    y = study.rows["y"]
    ends = (
        (float(task.classes[0]), float(task.classes[-1])) if task.kind == "age" else canvas.spread([y.min(), y.max()])
    )

    def plot(model: Model) -> Plot:
        own = one_of_each(study.of(model))
        return plots.density(own["y"], own["predicted"], title=study.name(model), what=task.name, ends=ends)

    size = f"{(ends[1] - ends[0]) / plots.BINS:.3g}"
    caption = (
        f"Each square holds the rows of {size} by {size}; the darker, the more. A perfect head would fill the dashed "
        "diagonal alone: what lies above it is predicted too high, what lies below too low."
    )
    return Block(
        f"Predicted against true {task.name}",
        caption,
        plots=tuple(map(plot, study.shown)),
        more=_more(study, plots=tuple(map(plot, study.others))),
    )


def _scores(study: Study) -> Block | None:
    """The share of ages that are at most so many years off."""
    if study.task.kind != "age":
        return None
    models = [*study.shown, *([DUMMY] if DUMMY in study.found else [])]
    found = {model: cs_curve(*(study.of(model)[name].to_numpy() for name in ("y", "predicted"))) for model in models}
    series = [
        Series(CURVE, curve.tolist(), PLAIN if model == DUMMY else study.style(model), marked=model != DUMMY)
        for model, curve in found.items()
    ]
    keys = (*study.keys, *([plain_key("dummy")] if DUMMY in models else []))
    plot = lines(
        series, Axis("years off, at most", 0, CURVE[-1], whole=True), Axis("share of images", 0, 1, percent=True)
    )
    half = int(np.argmax(found[study.shown[0]] >= 0.5))
    caption = "What share of ages is at most so many years off (CS@k): the higher a line, the better."
    if half:
        caption += f" Half of those of {study.name(study.shown[0])} are at most {half} off."
    return Block("How many are near enough?", caption, keys=keys, plots=(plot,), narrow=True)


def _more(study: Study, *, plots: tuple[Plot, ...] = (), tables: tuple[Table, ...] = ()) -> Block | None:
    """The same of the heads that are not the best of their backbones."""
    return Block(f"Other heads ({len(study.others)})", plots=plots, tables=tables) if plots or tables else None


def _counts(study: Study, models: Sequence[Model]) -> dict[Model, Counts]:
    return {model: confusion(one_of_each(study.of(model)), len(study.task.classes)) for model in models}


def _confusion(study: Study) -> Block | None:
    """What is taken for what."""
    if study.task.kind != "class":
        return None
    counts = _counts(study, study.shown)
    best = study.shown[0]
    found = mix_ups(counts[best])
    if len(study.task.classes) > MATRIX_CLASSES:
        caption = f"{len(study.task.classes)} classes are too many for a matrix: the most frequent mistakes."
        own = tuple(tables.mix_ups_table(study, model, mix_ups(n).head(MIX_UPS)) for model, n in counts.items())
        return Block("Confusion", caption, tables=own)
    caption = "Per cent of the rows of each true class, by the class predicted: right ones on the diagonal."
    if len(found):
        true, said, n = found.iloc[0]
        most = f'"{study.label(true)}" taken for "{study.label(said)}"'
        caption += f" The most frequent mistake of {study.name(best)}: {most}, {n:,} times."
    more = tuple(tables.confusion_table(study, *pair) for pair in _counts(study, study.others).items())
    shown = tuple(tables.confusion_table(study, *pair) for pair in counts.items())
    return Block("Confusion", caption, tables=shown, more=_more(study, tables=more))


def _classes(study: Study) -> Block | None:
    """Precision, recall and F1."""
    if study.task.kind != "class":
        return None
    caption = (
        "Precision: of the rows predicted as the class, the share that are. Recall: of the rows of the class, the "
        "share found. F1 is their harmonic mean."
    )
    shown = tuple(tables.classes_table(study, *pair) for pair in _counts(study, study.shown).items())
    more = tuple(tables.classes_table(study, *pair) for pair in _counts(study, study.others).items())
    return Block("Precision, recall and F1", caption, tables=shown, more=_more(study, tables=more))


def _groups_off(study: Study) -> Block | None:
    """Age groups off."""
    table = tables.groups_off_table(study)
    if table is None:
        return None
    task, groups = study.task, study.run.age_groups
    names = task.classes if task.edges else groups.names
    source = "" if task.edges else " Both ages are sorted into groups."
    caption = f"How many groups a prediction is off, of the {len(names)}: {', '.join(map(str, names))}.{source}"
    if names == AGE_GROUPS[DEFAULT_AGE_GROUPS].names:
        caption += f" {ANCESTOR}"
    return Block("Age groups off", caption, tables=(table,), narrow=True)


def _training(study: Study, cells: pd.DataFrame) -> Block | None:
    """Loss and metric by round, of the heads that are trained in rounds, folded away."""
    task = study.task
    courses = {}
    for model in study.ranked:
        own = cells[(cells["task"] == task.name) & (cells["backbone"] == model[0]) & (cells["head"] == model[1])]
        history = own["history"].iloc[0]
        if len(history):
            courses[model] = curves(history)
    if not courses:
        return None
    caption = (
        "Lines are means over the nets of all folds, the ground behind them is their range. Each net keeps the weights "
        "of its best validation round. Rows are trained on with dropout, so their loss may lie above the other."
    )
    metric = COLUMNS[task.metrics[0]][0]
    loss = _course_plots(study, courses, ["train_loss", "valid_loss"])
    figures = _course_plots(study, courses, [f"{task.name} {task.metrics[0]}"])
    drawn = [plot for pair in zip(_titled(loss, "loss"), _titled(figures, metric), strict=True) for plot in pair]
    return Block("", more=Block(f"Loss and {metric} by round of training", caption, plots=tuple(drawn)))


def _titled(drawn: Sequence[Plot], what: str) -> list[Plot]:
    """Plots that say what they show beside whose."""
    return [replace(plot, title=f"{plot.title}: {what}") for plot in drawn]


def _course_plots(study: Study, courses: Mapping[Model, pd.DataFrame], names: Sequence[str]) -> tuple[Plot, ...]:
    """A plot per model of what bears these names, all of one height."""
    shown = {model: course[course["name"].isin(names)] for model, course in courses.items()}
    ends = canvas.spread([value for course in shown.values() for value in (course["low"].min(), course["high"].max())])
    percent = study.task.kind == "class" and names != ["train_loss", "valid_loss"]
    return tuple(
        plots.curve(course, title=study.name(model), ends=ends, percent=percent) for model, course in shown.items()
    )
