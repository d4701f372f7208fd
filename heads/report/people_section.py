"""For whom one task's predictions err: by age, gender, ethnicity, and their crossings."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from heads.measures import MEASURES
from heads.report import canvas, plots, tables
from heads.report.blocks import Block, Cell, Plot, Row, Table
from heads.report.facts import TRAITS, Errors, Model, age_bin, age_step, by_people, mean_error
from heads.report.forest import Line, Spot, forest
from heads.report.lines import Axis
from heads.report.study import Study
from heads.statistics import FEWEST
from heads.table import COLUMNS, figure


def _ages(study: Study, *, of: str = "error") -> tuple[Errors, int] | None:
    """Mean errors by bins of ages, and their years; None where the manifest has no ages."""
    if "age" not in study.rows or study.rows["age"].isna().all():
        return None
    step = age_step(study.rows.drop_duplicates("image_id")["age"], enough=plots.FEW)
    return mean_error(study.rows, age_bin(study.rows["age"], step), of=of), step


def by_age(study: Study) -> Block | None:
    """Error by age, where the manifest has ages."""
    found = _ages(study)
    if found is None:
        return None
    errors, step = found
    best = study.shown[0]
    least = plots.least_rows(errors)

    def years(low: float) -> str:
        return f"{low:.0f}–{low + step - 1:.0f}"

    own = errors.mean[best].where(errors.n >= least).to_numpy()
    at = int(np.nanargmax(own))
    caption = (
        f"Of the bins with {least} rows or more, {study.name(best)} errs most at ages {years(errors.n.index[at])}: "
        f"{study.measure} {study.error(own[at])} of {errors.n.iloc[at]:,} rows. The others are among the numbers."
    )
    drawn = {model: study.style(model) for model in study.shown}
    plot = plots.by_age(errors, drawn, step=step, y_label=study.measure, percent=study.task.kind == "class")
    numbers = Block("Numbers", tables=(tables.errors_table(study, errors, models=study.ranked, named=years),))
    return Block("Error by age", caption, keys=study.keys, plots=(plot,), more=numbers, narrow=True)


def bias_by_age(study: Study) -> Block | None:
    """Whether ages are made older or younger, by age."""
    found = _ages(study, of="off") if study.task.kind == "age" else None
    if found is None:
        return None
    errors, step = found
    drawn = {model: study.style(model) for model in study.shown}
    plot = plots.by_age(errors, drawn, step=step, y_label="bias, years", signed=True)
    caption = (
        "Mean of predicted minus true: above the dashed line people are made older than they are, below it younger. A "
        "head that is unsure moves towards the middle of the ages it has seen."
    )
    return Block("Too old or too young?", caption, keys=study.keys, plots=(plot,), narrow=True)


def by_group(study: Study) -> Block | None:
    """The first metric by gender, ethnicity and age group, and of the best model by their crossings."""
    groups = study.run.age_groups
    found = {model: by_people(study.of(model), study.task, groups) for model in study.shown}
    best = study.shown[0]
    if found[best].empty:
        return None
    metric = study.task.metrics[0]
    heading = COLUMNS[metric][0]
    caption = (
        f"{heading[0].upper()}{heading[1:]} with its 95% interval: "
        f"{'less' if MEASURES[metric].better < 0 else 'more'} is better. "
        f"Nothing is said of groups with fewer than {FEWEST} images."
    )
    drawn = [_forest(study, found, traits) for traits in ([*TRAITS], ["age group"])]
    crossed = by_people(study.of(best), study.task, groups, crossed=True)
    made = [_table(metric, str(trait), own) for trait, own in crossed.groupby("trait", sort=False)]
    more = Block(f"Numbers and crossings of {study.name(best)}", tables=tuple(made))
    return Block(f"{heading} by group", caption, keys=study.keys, plots=tuple(filter(None, drawn)), more=more)


def _forest(study: Study, found: Mapping[Model, pd.DataFrame], traits: Sequence[str]) -> Plot | None:
    """A row per group of these traits with every model in it; all plots of a task have one scale."""
    heading, form = COLUMNS[study.task.metrics[0]]
    ends = canvas.spread([end for table in found.values() for end in (*table["low"], *table["high"])])
    styles = [study.style(model) for model in found]
    figures = np.stack([table[["value", "low", "high"]].to_numpy(float) for table in found.values()], axis=1)
    table = next(iter(found.values()))
    rows = []
    for trait in traits:
        own = np.flatnonzero((table["trait"] == trait) & (table["n"] >= FEWEST))
        rows += [Line(trait)] if len(own) and len(traits) > 1 else []
        for at in own:
            spots = [
                Spot(value, low, high, style) for (value, low, high), style in zip(figures[at], styles, strict=True)
            ]
            rows.append(Line(str(table["group"].iloc[at]), f"n {table['n'].iloc[at]:,}", spots))
    known = [trait for trait in traits if (table["trait"] == trait).any()]
    title = " and ".join(filter(None, (", ".join(known[:-1]), *known[-1:])))
    return forest(rows, Axis(heading, *ends, percent="%" in form), title=title) if rows else None


def _table(metric: str, trait: str, found: pd.DataFrame) -> Table:
    """The figures of each group, withheld where it is tiny."""
    rows = []
    for group, n, value, low, high in found[["group", "n", "value", "low", "high"]].itertuples(index=False, name=None):
        tiny = np.isnan(value)
        cell = Cell("withheld") if tiny else Cell(figure(metric, value), note=tables.between(metric, low, high))
        rows.append(Row((*tables.plain(str(group), f"under {FEWEST}" if tiny else f"{n:,}"), cell), muted=tiny))
    return Table("", (trait, "n", COLUMNS[metric][0]), tuple(rows))
