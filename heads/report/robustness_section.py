"""What happens to a metric as images get worse."""

from collections.abc import Sequence

import pandas as pd

from heads.report import canvas
from heads.report.blocks import Block, Key, Plot, Section
from heads.report.facts import MODEL
from heads.report.lines import Axis, Series, lines
from heads.report.study import Study
from heads.table import COLUMNS


def robustness_section(studies: Sequence[Study], robustness: pd.DataFrame | None) -> Section:
    """A small plot per corruption, of every task; nothing where it was not measured."""
    blocks: list[Block] = []
    if robustness is not None:
        for study in studies:
            blocks += _block(study, robustness, first=not blocks)
    return Section("Worse images", "robustness", tuple(blocks))


def _block(study: Study, robustness: pd.DataFrame, *, first: bool) -> list[Block]:
    """One task's plots, all of one height; explained with the first."""
    metric = study.task.metrics[0]
    own = robustness[(robustness["task"] == study.task.name) & (robustness["metric"] == metric)]
    if own.empty:
        return []
    heading, form = COLUMNS[metric]
    percent = "%" in form
    upward = Axis(heading, *canvas.spread(own["value"].tolist()), percent=percent)
    across = Axis("level of harm", 0, float(own["level"].max()), whole=True)
    names = own["corruption"].unique().tolist()
    drawn = tuple(_plot(study, own[own["corruption"] == name], across, upward, title=name) for name in names)
    models = [*dict.fromkeys(own[MODEL].itertuples(index=False, name=None))]
    keys: tuple[Key, ...] = tuple(canvas.key(study.name(model), study.style(model)) for model in models)
    caption = (
        f"The test images of {own['n'].max():,} rows are harmed, from not at all (0) to badly; the heads are those "
        "trained on good ones. A flat line is what one wants."
    )
    return [Block(study.task.name, caption if first else "", keys=keys, plots=drawn)]


def _plot(study: Study, rows: pd.DataFrame, across: Axis, upward: Axis, *, title: str) -> Plot:
    """A line per model over the levels of one corruption."""
    series = [
        Series(own["level"].tolist(), own["value"].tolist(), study.style((str(backbone), str(head))), marked=True)
        for (backbone, head), own in rows.sort_values("level").groupby(MODEL, sort=False)
    ]
    return lines(series, across, upward, title=title)
