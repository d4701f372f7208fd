"""What plots are drawn on: scales, axes, lines and marks, as paths and labels in units of an SVG.

Drawn here and not by matplotlib: a matplotlib figure is a finished picture, whose letters shrink with it on a phone,
whose colours do not follow the reader's light or dark screen, and which takes 30 to 100 kB and a second's import. These
panels are as wide as a phone and stand side by side on wider screens; text stays text, and a panel is 2 to 15 kB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heads.report.blocks import Key, Label, Shape

WIDTH, HEIGHT, SQUARE = 360, 240, 360  # of panels; one of SQUARE is as wide as high within its axes
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 10, 42  # margins
LETTER = 7.2  # widest average letter of labels in the fonts that a page may find

_MARKERS: tuple[tuple[tuple[float, float], ...], ...] = (
    tuple((math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16)),
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    ((-0.5, -1.2), (0.5, -1.2), (0.5, 1.2), (-0.5, 1.2)),
)
STYLES = len(_MARKERS)  # a colour, a marker and a dash each, so that colour is never alone in telling


@dataclass(frozen=True)
class Scale:
    """Values low..high to units start..end, by their logarithm if `log`; ticks may be whole or per cent."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False
    percent: bool = False

    def __call__(self, value: float) -> float:
        """Where a value stands."""
        low, high, at = (math.log(v) for v in (self.low, self.high, value)) if self.log else self._linear(value)
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def _linear(self, value: float) -> tuple[float, float, float]:
        return self.low, self.high, value

    def ticks(self) -> list[tuple[float, str]]:
        """Round values within the scale, about five, and how to write them."""
        values = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)
        shown = [value for value in values if value == int(value)] if self.whole else values
        return [(value, f"{value * 100:.4g}%" if self.percent else f"{value:.6g}") for value in shown]


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]


def spread(values: Sequence[float], *, zero: bool = False) -> tuple[float, float]:
    """The ends of an axis that holds these values, with some room; from 0 if `zero`."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return (0.0 if zero else low - room), high + room


def cut(text: str, letters: int) -> str:
    """Text of so many letters at most, which tells if it was longer."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def key(text: str, style: int) -> Key:
    """How a model looks in plots, 28 x 12 units."""
    across = Shape("M1 6H27", f"line s{style}")
    return Key((across, Shape(marker(14, 6, style), f"dot s{style}")), text)


def marker(x: float, y: float, style: int, *, size: float = 3.5) -> str:
    """The path of a model's mark at a place."""
    return line([(x + size * dx, y + size * dy) for dx, dy in _MARKERS[style % STYLES]]) + "z"


def line(points: Sequence[tuple[float, float]]) -> str:
    """The path through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def axes(x: Scale, up: Scale, x_label: str, y_label: str) -> tuple[tuple[Shape, ...], tuple[Label, ...]]:
    """Grid lines at the ticks of both axes, with their numbers and names."""
    foot = max(up.start, HEIGHT - BOTTOM)
    across, upward = x.ticks(), up.ticks()
    grid = "".join(f"M{x.start} {up(value)}H{x.end}" for value, _ in upward)
    labels = [Label(x(value), foot + 16, text) for value, text in across]
    labels += [Label(x.start - 6, up(value) + 4, text, "end") for value, text in upward]
    labels.append(Label((x.start + x.end) / 2, foot + 34, x_label, look="axis"))
    labels.append(Label(12, (up.start + up.end) / 2, y_label, look="axis up"))
    return (Shape(grid, "grid"), Shape(f"M{x.start} {foot}H{x.end}", "base")), tuple(labels)


def apart(labels: Sequence[Label], *, gap: float = 13) -> list[Label]:
    """Labels moved down just so far that none stands on another."""
    placed: list[Label] = []
    for label in sorted(labels, key=lambda each: each.y):
        lowest = max((other.y + gap for other in placed), default=label.y)
        placed.append(Label(label.x, max(label.y, lowest), label.text, label.anchor, label.look))
    return placed
