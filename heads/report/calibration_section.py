"""Whether heads know how sure they may be: confidence against accuracy, and the intervals of ages."""

from collections.abc import Sequence

import pandas as pd

from heads.calibrate import LEVEL
from heads.report import canvas, tables
from heads.report.blocks import Block, Cell, Key, Plot, Row, Section, Table
from heads.report.evidence import coverage, reliability, risk
from heads.report.facts import Model
from heads.report.forest import Line, Spot, forest
from heads.report.lines import Axis, Series, lines, thinned
from heads.report.study import Study
from heads.statistics import FEWEST
from heads.table import COLUMNS, figure

TRUE = "true age group"


def calibration_section(studies: Sequence[Study]) -> Section:
    """Reliability of classes, coverage of the intervals of ages, and what is won by leaving out the unsure."""
    sure = [study for study in studies if study.shown and study.rows["confidence"].notna().any()]
    bounded = [study for study in studies if study.shown and study.rows["low"].notna().any()]
    blocks = [*(block for study in bounded for block in _intervals(study)), *([_reliability(sure)] if sure else [])]
    return Section("Calibration and coverage", "calibration", tuple(blocks))


def _keys(studies: Sequence[Study]) -> tuple[Key, ...]:
    """The models of plots, each once."""
    names = {study.style(model): study.name(model) for study in studies for model in study.shown}
    return tuple(canvas.key(name, style) for style, name in names.items())


def _reliability(studies: Sequence[Study]) -> Block:
    """How often a class is right by how sure it was said to be."""
    axis = ("how sure it says it is", "share right")
    drawn = []
    for study in studies:
        curves = {model: reliability(study.of(model)) for model in study.shown}
        least = min(value for curve in curves.values() for values in curve for value in values)
        ends = max(least - 0.05, 0.0), 1.0
        series = [Series(*curve, study.style(model), marked=True) for model, curve in curves.items()]
        across, upward = (Axis(label, *ends, percent=True) for label in axis)
        drawn.append(lines(series, across, upward, title=study.task.name, diagonal=True))
    caption = (
        "Each mark is a tenth of the rows, by how sure the head says it is. On the dashed line it is right as often as "
        "it says; below the line it is too sure. The calibration error is the mean distance from that line."
    )
    made = tuple(filter(None, (_figures_table(study, ["ece"]) for study in studies)))
    return Block("Is it right as often as it says?", caption, keys=_keys(studies), plots=tuple(drawn), tables=made)


def _figures_table(study: Study, metrics: Sequence[str]) -> Table | None:
    """What the comparison measured of these, of the models that plots show."""
    keys = study.figures[["backbone", "head", "metric"]].itertuples(index=False, name=None)
    values = study.figures[["value", "low", "high"]].itertuples(index=False, name=None)
    figures = dict(zip(keys, values, strict=True))
    known = [metric for metric in metrics if metric in set(study.figures["metric"])]
    rows = []
    for model in study.shown:
        cells = []
        for metric in known:
            value, low, high = figures[(*model, metric)]
            cells.append(Cell(figure(metric, value), note=tables.between(metric, low, high)))
        rows.append(Row((Cell(study.name(model)), *cells)))
    header = ("model", *(COLUMNS[metric][0] for metric in known))
    return Table(study.task.name, header, tuple(rows)) if known else None


def _intervals(study: Study) -> list[Block]:
    """Coverage of the intervals of ages, and the error of the surest."""
    best = study.shown[0]
    table = coverage(study.of(best), study.run.age_groups)
    table = table[table["n"] >= FEWEST]
    known = table[table["trait"] != TRUE]
    outside = len(known) - int(known["inside"].sum())
    caption = (
        f"Each predicted {study.task.name} has an interval that is to hold the true one {LEVEL:.0%} of the time, "
        f"learned on validation rows. Of {study.name(best)}: marks are the share that holds it, lines where that share "
        f"lies 99 times of 100 by chance alone. {_of(len(known) - outside, len(known))} inside."
    )
    true = table[table["trait"] == TRUE]
    said = (
        "No promise is made by true age, which nobody knows when scoring: where people look older or younger than they "
        "are, their intervals hold them less often."
    )
    more = Block(
        "By true age, and all numbers", said, tables=(_coverage_table(true, judged=False), _coverage_table(known))
    )
    title = f"Do intervals hold the true {study.task.name}?"
    return [
        Block(title, caption, plots=(_coverage_plot(known),), more=more, narrow=True),
        _risk(study, study.shown),
    ]


def _of(part: int, whole: int) -> str:
    return f"All {whole} are" if part == whole else f"{part} of {whole} are"


def _coverage_plot(table: pd.DataFrame) -> Plot:
    """A row per group: where its coverage may lie, and where it does."""
    rows = []
    for trait, own in table.groupby("trait", sort=False):
        if trait != "all":
            rows.append(Line(str(trait)))
        for group, n, share, low, high, inside in own[["group", "n", "coverage", "low", "high", "inside"]].itertuples(
            index=False, name=None
        ):
            mark = "" if inside else "outside:  "
            rows.append(Line(str(group), f"{mark}{share:.1%} of {n:,}", (Spot(share, low, high, 0 if inside else 1),)))
    low, _ = canvas.spread([*table["low"], *table["coverage"]])
    return forest(rows, Axis("share inside its interval", low, 1.0, percent=True), title="", guide=LEVEL)


def _coverage_table(table: pd.DataFrame, *, judged: bool = True) -> Table:
    """Coverage and width by group, and whether chance explains what is off if they are `judged`."""
    rows = []
    for trait, group, n, share, low, high, inside, width in table.itertuples(index=False, name=None):
        fields = [f"{trait}: {group}" if trait != "all" else "all", f"{n:,}", f"{share:.1%}", f"{width:.1f}"]
        if judged:
            fields += [f"{low * 100:.1f} to {high:.1%}", "" if inside else "outside"]
        rows.append(Row(tables.plain(*fields)))
    header = ("group", "n", "inside", "years wide", *(("by chance inside", "") if judged else ()))
    return Table("", header, tuple(rows))


def _risk(study: Study, models: Sequence[Model]) -> Block:
    """The error of the rows that are kept, as the least sure are left out."""
    curves = {model: thinned(*risk(study.of(model))) for model in models}
    series = [Series(*_from_a_tenth(*curve), study.style(model)) for model, curve in curves.items()]
    top = canvas.spread([value for each in series for value in each.y], zero=True)
    plot = lines(series, Axis("share of images kept", 0, 1, percent=True), Axis("MAE of those kept, years", *top))
    caption = (
        "Images with the widest intervals are left out first. The further a line falls to the left, the better a head "
        "knows which of its ages to trust; AURC is the mean height of a line."
    )
    made = tuple(filter(None, [_figures_table(study, ["coverage", "width", "aurc"])]))
    title = "What if only the surest count?"
    return Block(title, caption, keys=study.keys, plots=(plot,), tables=made, narrow=True)


def _from_a_tenth(kept: Sequence[float], mae: Sequence[float]) -> tuple[list[float], list[float]]:
    """Without the first tenth, whose mean is of few rows."""
    pairs = [(share, error) for share, error in zip(kept, mae, strict=True) if share >= 0.1]
    return [share for share, _ in pairs], [error for _, error in pairs]
