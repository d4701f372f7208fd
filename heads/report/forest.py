"""Forest plots: a row for each of many figures, as a point with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from heads.report.blocks import Label, Plot, Shape
from heads.report.canvas import LETTER, RIGHT, WIDTH, Scale, cut, line, marker
from heads.report.lines import Axis

EDGE = 8  # units left of the scale
HEAD, GAP, STEP, FOOT = 17, 9, 10, 38  # heights: of a row's name, below a row, of a point, of the axis


class Spot(NamedTuple):
    """A figure with its interval, and its style."""

    value: float
    low: float
    high: float
    style: int


@dataclass(frozen=True)
class Line:
    """A row: its name above on the left, a note on the right, and the figures beneath; without any it is a heading."""

    name: str
    note: str = ""
    spots: Sequence[Spot] = ()

    @property
    def height(self) -> int:
        """Units from this row to the next."""
        return HEAD + STEP * len(self.spots) + (GAP if self.spots else 0)


def forest(rows: Sequence[Line], axis: Axis, *, title: str, guide: float = math.nan) -> Plot:
    """Draw rows beneath each other over one axis.

    Names stand above their figures: beside them they would take half the width of a phone.

    Parameters
    ----------
    guide : a value to draw a line at, if it is within the axis.
    """
    height = sum(row.height for row in rows) + FOOT
    foot = height - FOOT
    x = Scale(axis.low, axis.high, EDGE, WIDTH - RIGHT, percent=axis.percent)
    ticks = x.ticks()
    shapes = [Shape("".join(f"M{x(value)} 0V{foot}" for value, _ in ticks), "grid")]
    if axis.low <= guide <= axis.high:
        shapes.append(Shape(f"M{x(guide)} 0V{foot}", "guide"))
    labels = [Label(x(value), foot + 14, text) for value, text in ticks]
    labels.append(Label((x.start + x.end) / 2, foot + 32, axis.label, look="axis"))
    top = 0
    for row in rows:
        room = int((WIDTH - EDGE - RIGHT) / LETTER) - len(row.note)
        name = cut(row.name, room) if row.spots else row.name
        labels.append(Label(EDGE, top + HEAD - 3, name, "start", "name" if row.spots else "name heading"))
        labels.append(Label(WIDTH - RIGHT, top + HEAD - 3, row.note, "end", "name note"))
        for number, spot in enumerate(row.spots):
            shapes += _spot(spot, x, top + HEAD + STEP * (number + 0.5))
        top += row.height
    about = f"{title}: {axis.label} with its 95% interval, of " + ", ".join(row.name for row in rows if row.spots)
    return Plot(title, about, tuple(shapes), tuple(label for label in labels if label.text), WIDTH, height)


def _spot(spot: Spot, x: Scale, y: float) -> list[Shape]:
    """A line from low to high with a mark at the value; nothing for no figure."""
    if not math.isfinite(spot.value):
        return []
    shapes = []
    if math.isfinite(spot.low + spot.high):
        ends = [min(max(end, x.low), x.high) for end in (spot.low, spot.high)]
        shapes.append(Shape(line([(x(end), y) for end in ends]), f"line thick s{spot.style}"))
    return [*shapes, Shape(marker(x(spot.value), y, spot.style, size=4), f"dot s{spot.style}")]
