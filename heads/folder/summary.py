"""A folder as a whole, as a page with the look of the report and as a table."""

import math

import pandas as pd

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS, AgeGroups
from heads.folder.figures import folder_figures
from heads.folder.photographs import cautions
from heads.report.blocks import Block, Cell, Headline, Label, Plot, Report, Row, Section, Shape, Table
from heads.report.canvas import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, axes, line
from heads.report.page import render_page
from heads.statistics import FEWEST, LEVEL

_HOW = (
    "A face counts in every group by its probability: that of the group it is called, and the rest as its interval of "
    f"ages deals it; classes by their calibrated probability. The {LEVEL:.0%} intervals say how far a figure moves "
    "if other photographs of this kind are taken (whole photographs are drawn again) and if each face is of "
    "another age or class, as its own uncertainty allows."
)
_CANNOT = (
    "Errors that all faces share: heads that make everyone of some kind look older shift the figure, and its interval "
    "with it. Heads also lean towards the mix they learned from: a folder of one age or of one gender alone comes out "
    "mixed. What they err by group of people is in the model card and the report of the bundle.",
    "Who is not in the photographs, and faces that were not found: small, turned, covered or dark ones are missed more "
    "often.",
    "How many people there are: somebody in five photographs counts five times.",
    "What somebody's age or gender is: age is how old a face looks, gender how people perceive it.",
    "Anything of a single person: this page is about the folder as a whole.",
)


def folder_summary(
    rows: pd.DataFrame, *, title: str = "Summary", groups: AgeGroups = AGE_GROUPS[DEFAULT_AGE_GROUPS]
) -> tuple[str, pd.DataFrame]:
    """Sum up scores.

    Parameters
    ----------
    rows : of `heads.score`, a row per face or per photograph without one; no pictures are looked at.
    groups : of ages.

    Returns
    -------
    page : HTML, which holds all it needs and names no photograph.
    table : the figures, see `heads.folder.figures.folder_figures`.
    """
    table = folder_figures(rows, groups=groups)
    own = {str(name): figures for name, figures in table.groupby("figure", sort=False)}
    photographs, faces = own["photographs"].set_index("group")["n"], int(own["rows"]["n"].iloc[0])
    sections = [_photographs(own)]
    if "age group" in own:
        sections.append(_ages(own["age group"], own["mean age"].iloc[0], rows, groups))
    taken = {"photographs", "rows", "status", "quality", "mean age", "age group"}
    tasks = [name for name in own if name not in taken]
    sections += [_classes(name, own[name], f"task-{number}") for number, name in enumerate(tasks, start=1)]
    limits = Table("", ("",), tuple(Row((Cell(sentence),)) for sentence in _CANNOT))
    sections.append(Section("What this cannot tell", "limits", (Block("", tables=(limits,)),)))
    warnings = [*cautions(rows)]
    if photographs["with a face"] < FEWEST:
        warnings.append(f"Fewer than {FEWEST} photographs with a face: too few to say how far the figures would move.")
    subtitle = f"{_count(photographs['all'], 'photograph')}, {_count(faces, 'face')}"
    report = Report(title, subtitle, tuple(_headlines(own)), tuple(warnings), tuple(sections))
    return render_page(report), table


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _headlines(own: dict[str, pd.DataFrame]) -> list[Headline]:
    photographs = own["photographs"].set_index("group")["n"]
    without = photographs["all"] - photographs["with a face"]
    faces = f"{int(own['rows']['n'].iloc[0]):,}"
    said = [Headline("faces", faces, f"in {photographs['with a face']:,} photographs", f"{without:,} have none")]
    if "mean age" in own:
        mean = own["mean age"].iloc[0]
        largest = own["age group"].sort_values("value", ascending=False, kind="stable").iloc[0]
        most = f"the largest group is {largest['group']}, {largest['value']:.0%}"
        said.append(Headline("mean age", f"{mean['value']:.1f}", most, "", _interval(mean, "{:.1f}")))
    if "gender" in own:
        largest = own["gender"].sort_values("value", ascending=False, kind="stable").iloc[0]
        text = f"{largest['value']:.0%} {largest['group']}"
        said.append(Headline("gender", text, "as people perceive it", "", _interval(largest, "{:.0%}")))
    return said


def _photographs(own: dict[str, pd.DataFrame]) -> Section:
    statuses = _counted("Rows by status", own["status"])
    blocks = [Block("What became of them", "A row is a face, or a photograph without one.", tables=(statuses,))]
    if "quality" in own:
        caption = "One number for size, sharpness, light and pose: 1 is a picture like those the heads learned from."
        blocks.append(Block("Quality of the faces", caption, tables=(_counted("Faces by quality", own["quality"]),)))
    narrow = tuple(Block(b.title, b.caption, tables=b.tables, narrow=True) for b in blocks)
    return Section("Photographs", "photographs", narrow)


def _counted(title: str, figures: pd.DataFrame) -> Table:
    rows = [
        Row((Cell(str(group).replace("_", " ")), Cell(f"{n:,}"), Cell(f"{value:.0%}", share=round(value, 3))))
        for group, n, value in zip(figures["group"], figures["n"], figures["value"], strict=True)
    ]
    return Table(title, ("", "rows", "share"), tuple(rows))


def _ages(figures: pd.DataFrame, mean: pd.Series, rows: pd.DataFrame, groups: AgeGroups) -> Section:
    ok = rows["status"] == "ok"
    caption = f"Of {mean['n']:,} faces. {_HOW}"
    if "age_low" not in rows or rows["age_low"][ok].isna().all():
        caption += " The bundle has no intervals of ages: they count as sure, which they are not."
    if without := int((ok & rows["age"].isna()).sum()):
        caption += (
            f" {without:,} faces have no age: if the unsure ones were left out, those that are left are no fair sample."
        )
    table = _estimated(f"Faces by age, mean {mean['value']:.1f} years {_interval(mean, '{:.1f}')}", figures)
    plot = Block("", plots=(_bars(figures, groups),), narrow=True)
    return Section(
        "Ages", "ages", (Block("How old do they look?", caption), plot, Block("", tables=(table,), narrow=True))
    )


def _classes(task: str, figures: pd.DataFrame, anchor: str) -> Section:
    name = task.replace("_", " ")
    caption = f"Of {int(figures['n'].sum()):,} faces, counted as ages are."
    if len(figures) > 2:
        caption += (
            " Scores hold the probability of the likeliest class; the rest is dealt among the others as often as they "
            "are named."
        )
    block = Block("", caption, tables=(_estimated(f"Faces by {name}", figures),))
    return Section(name.capitalize(), anchor, (block,))


def _estimated(title: str, figures: pd.DataFrame) -> Table:
    rows = [
        Row(
            (
                Cell(str(row["group"])),
                Cell(f"{row['n']:,}"),
                Cell(f"{row['expected']:.1f}"),
                Cell(f"{row['value']:.1%}", share=round(row["value"], 3), note=_interval(row, "{:.0%}")),
            )
        )
        for row in figures.to_dict("records")
    ]
    return Table(title, ("", "called so", "expected", "share"), tuple(rows))


def _interval(row: "pd.Series | dict", form: str) -> str:
    if math.isnan(row["low"]):
        return ""
    return f"[{form.format(row['low'])}, {form.format(row['high'])}]"


def _bars(figures: pd.DataFrame, groups: AgeGroups) -> Plot:
    """The share of each age group with its interval; groups as wide as each other, by the ages where they begin."""
    tops = figures["high"].fillna(figures["value"])
    x = Scale(0, len(figures), LEFT, WIDTH - RIGHT)
    up = Scale(0, float(max(tops.max(), figures["value"].max())) * 1.05, HEIGHT - BOTTOM, TOP, percent=True)
    frame, labels = axes(x, up, "age from", "share of faces")
    upright = [label for label in labels if label.anchor == "end" or label.look != "tick"]
    edges = [Label(x(at), HEIGHT - BOTTOM + 16, str(edge)) for at, edge in enumerate(groups.edges)]
    bars = "".join(
        f"M{x(at + 0.04)} {up.start}V{up(value)}H{x(at + 0.96)}V{up.start}z"
        for at, value in enumerate(figures["value"])
    )
    whiskers = "".join(
        line([(x(at + 0.5), up(low)), (x(at + 0.5), up(high))])
        for at, (low, high) in enumerate(zip(figures["low"], figures["high"], strict=True))
        if not math.isnan(low)
    )
    about = "Share of faces by age group with its 95% interval; the table has the numbers"
    shapes = (*frame, Shape(bars, "bar"), Shape(whiskers, "line s0"))
    return Plot("", about, shapes, (*upright, *edges), WIDTH, HEIGHT)
