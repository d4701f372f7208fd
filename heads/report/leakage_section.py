"""The leakage meter: what a split without groups would have pretended, and what the groups cannot see."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from heads.dataset import Dataset
from heads.leakage import Leakage
from heads.report import canvas
from heads.report.blocks import Block, Cell, Face, Key, Plot, Row, Section, Shape, Table
from heads.report.evidence import histograms
from heads.report.facts import goodness
from heads.report.lines import Axis, Series, lines, plain_key, steps
from heads.report.study import Study
from heads.report.tables import plain
from heads.table import COLUMNS, figure, marked

SPLITS = {"grouped": 0, "random": -1}  # how their lines look
SHOWN = 6  # pairs of near copies with conflicting labels


def leakage_section(
    studies: Sequence[Study],
    leakage: Leakage | None,
    data: Dataset,
    *,
    picture: Callable[[str], str] | None = None,
) -> Section:
    """The same heads under both splits, how near training comes to test rows, and labels that contradict each other."""
    if leakage is None:
        return Section("Leakage meter", "leakage", ())
    tables = [_figures(study, leakage.figures) for study in studies]
    caption = (
        "The best heads on the same images, split as here (grouped) and by chance alone (random). What is gained "
        "beyond chance comes from near copies of test images among those trained on, and would not hold for new people."
    )
    blocks = [
        Block("What a random split would pretend", caption, tables=tuple(table for table in tables if table.rows)),
        _nearness(studies, leakage),
        _conflicts(leakage.conflicts, data, picture),
    ]
    return Section("Leakage meter", "leakage", tuple(blocks))


def _figures(study: Study, figures: pd.DataFrame) -> Table:
    """The first metric of each model under both splits, and what the random one gains by it."""
    metric = study.task.metrics[0]
    percent = "%" in COLUMNS[metric][1]
    own = figures[(figures["task"] == study.task.name) & (figures["metric"] == metric)]
    rows = []
    for backbone, head, grouped, random in own[["backbone", "head", "grouped", "random"]].itertuples(
        index=False, name=None
    ):
        gained = goodness(metric, random) - goodness(metric, grouped)
        said = f"{gained * 100:+.1f}" if percent else f"{gained:+.2f}"
        texts = (study.name((backbone, head)), figure(metric, grouped), figure(metric, random), said)
        rows.append(Row(plain(*texts)))
    header = ("model", "grouped", "random", "gained, points" if percent else "gained")
    return Table(f"{study.task.name}: {COLUMNS[metric][0]}", header, tuple(rows))


def _nearness(studies: Sequence[Study], leakage: Leakage) -> Block:
    """How near the nearest training image comes to each test image."""
    run = studies[0].run
    names = leakage.near["backbone"].unique().tolist()
    drawn = []
    for name in names:
        own = leakage.nearest[leakage.nearest["backbone"] == name]
        if len(own):
            drawn.append(_histogram(own, title=marked(name, run.backbones)))
    rows = []
    for name in names:
        cells = [_near_cell(leakage.near, name, split) for split in SPLITS]
        rows.append(Row((Cell(marked(name, run.backbones)), *cells)))
    table = Table("", ("test images with a near copy", *SPLITS), tuple(rows))
    caption = (
        "The similarity of each test image to the nearest image trained on. Near copies are nearer than chance would "
        "place them: the table has the share of test images with one. Where groups were made by the same measure, "
        "grouped is 0 by construction, and says nothing of copies which that measure misses. How rows were kept "
        f"together: {leakage.rule}."
    )
    keys = (Key((Shape("M1 6H27", "line s0"),), "grouped"), plain_key("random"))
    return Block("How near training comes to test images", caption, keys=keys, plots=tuple(drawn), tables=(table,))


def _near_cell(near: pd.DataFrame, backbone: str, split: str) -> Cell:
    """The share of test rows with a near copy among the training rows."""
    own = near[(near["backbone"] == backbone) & (near["split"] == split)]
    return Cell(f"{own['share'].iloc[0]:.1%}") if len(own) else Cell("-")


def _histogram(nearest: pd.DataFrame, *, title: str) -> Plot:
    """Similarities under both splits."""
    samples = {split: nearest.loc[nearest["split"] == split, "similarity"].to_numpy() for split in SPLITS}
    found = histograms({split: own for split, own in samples.items() if len(own)})
    series = [Series(*steps(*own), SPLITS[split]) for split, own in found.items()]
    edges = next(iter(found.values())).edges
    top = canvas.spread([float(np.max(own.shares)) for own in found.values()] + [0.0], zero=True)
    across = Axis("cosine to the nearest training image", float(edges[0]), float(edges[-1]))
    return lines(series[::-1], across, Axis("share of test images", *top, percent=True), title=title)


def _conflicts(conflicts: pd.DataFrame, data: Dataset, picture: Callable[[str], str] | None) -> Block:
    """Near copies with labels that cannot both be right: how many, and with pictures which."""
    title = "One picture, two labels"
    if conflicts.empty:
        return Block(title, "No near copies have labels that contradict each other.")
    counts = conflicts["differs"].str.split(", ").explode().value_counts()
    rows = tuple(Row(plain(str(label), f"{n:,}")) for label, n in counts.items())
    caption = (
        f"Near copies with labels of which one must be wrong: {len(conflicts):,} "
        f"{'pair' if len(conflicts) == 1 else 'pairs'}. No head can be right on both."
    )
    faces = () if picture is None else _faces(conflicts.drop_duplicates("image_id").head(SHOWN), data, picture)
    return Block(title, caption, tables=(Table("", ("label", "pairs"), rows),), faces=faces)


def _faces(conflicts: pd.DataFrame, data: Dataset, picture: Callable[[str], str]) -> tuple[Face, ...]:
    """Both images of each pair, with their labels."""
    known = data.rows.frame.set_index("image_id")
    labels = [label for label in ("age", "gender", "ethnicity") if label in known]

    def said(image_id: str) -> str:
        own = known.loc[image_id, labels]
        return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in own)

    faces = []
    for one, other in conflicts[["image_id", "other_id"]].itertuples(index=False, name=None):
        for own, pair in ((one, other), (other, one)):
            faces.append(Face(own, said(pair), said(own), picture(known.loc[own, "path"]), "beside"))
    return tuple(faces)
