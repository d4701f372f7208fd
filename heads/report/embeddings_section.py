"""What the embeddings themselves look like: a map of each backbone's, and how alike backbones see the same faces."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import AgeGroups
from heads.dataset import Dataset
from heads.report.blocks import Block, Cell, Key, Plot, Row, Section, Shape, Table
from heads.report.canvas import marker
from heads.report.evidence import drawn_rows, flat_map
from heads.report.plots import dots
from heads.report.run import Run
from heads.table import marked

FEWEST = 10  # rows of a map
GENDERS = ("female", "male")
AGES = AgeGroups(("0–3", "4–12", "13–19", "20–34", "35–59", "60 and over"), (0, 4, 13, 20, 35, 60))


_MAP = (
    "Each dot is a face, each map the two directions in which a backbone's embeddings differ most (principal "
    "components). Where colours lie apart, a straight line through the embeddings tells them apart already."
)
_ALIKE = (
    "Likeness of what two backbones make of the same faces (linear CKA, debiased): 1 if one is the other turned and "
    "scaled, 0 if they share nothing. The less alike, the more there is to win side by side."
)


def embeddings_section(data: Dataset, run: Run, cka: pd.DataFrame) -> Section:
    """A map of every backbone's embeddings by age and by gender, and their likeness."""
    blocks: list[Block] = []
    frame = data.rows.frame
    rows = drawn_rows(len(frame))
    held = {
        name: facts["fingerprint"]
        for name, facts in run.backbones.items()
        if len(facts["parts"]) == 1 and facts["fingerprint"] in data.rows.vectors
    }  # a concatenation's map would be that of its longest part
    if held and len(rows) >= FEWEST:
        maps = {name: flat_map(data.rows.vectors[fingerprint][rows]) for name, fingerprint in held.items()}
        colours = _colours(frame.iloc[rows])
        for title, (codes, looks) in colours.items():
            drawn = [
                dots(places, codes, [*looks.values()], title=marked(name, run.backbones), what=title)
                for name, places in maps.items()
            ]
            blocks.append(_block(title, looks, drawn, first=not blocks))
    if len(cka):
        blocks.append(Block("Do backbones see alike?", _ALIKE, tables=(_cka_table(cka, run),)))
    return Section("Embeddings", "embeddings", tuple(blocks))


def _colours(frame: pd.DataFrame) -> dict[str, tuple[NDArray[np.int64], dict[str, str]]]:
    """By what maps are coloured: for each row the position of its colour, -1 for none; and their looks by name."""
    found = {}
    if "age" in frame and frame["age"].notna().any():
        found["age"] = AGES.assign(frame["age"].to_numpy(float)), {name: f"a{i}" for i, name in enumerate(AGES.names)}
    if "gender" in frame and frame["gender"].notna().any():
        codes = pd.Index(GENDERS).get_indexer(pd.Index(frame["gender"]))
        found["gender"] = codes, {name: f"s{i}" for i, name in enumerate(GENDERS)}
    return found


def _block(title: str, names: dict[str, str], drawn: Sequence[Plot], *, first: bool) -> Block:
    """The maps of all backbones by one colouring, explained once."""
    keys = tuple(Key((Shape(marker(14, 6, 0, size=4.5), f"dot {look}"),), name) for name, look in names.items())
    return Block(f"By {title}", _MAP if first else "", keys=keys, plots=tuple(drawn))


def _cka_table(cka: pd.DataFrame, run: Run) -> Table:
    """A line per pair of backbones."""
    pairs = cka[["first", "second", "value"]].itertuples(index=False, name=None)
    rows = [
        Row((Cell(marked(first, run.backbones)), Cell(marked(second, run.backbones)), Cell(f"{value:.2f}")))
        for first, second, value in pairs
    ]
    return Table("", ("backbone", "and", "likeness"), tuple(rows), words=2)
