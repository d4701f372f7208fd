"""Frames to plots, as paths and labels in units of an SVG; how they look is left to the page's style.

Drawn here and not by matplotlib: a matplotlib figure is a finished picture, whose letters shrink with it on a phone,
whose colours do not follow the reader's light or dark screen, and which takes 30 to 100 kB and a second's import. These
panels are as wide as a phone and stand side by side on wider screens; text stays text, and a panel is 2 to 15 kB.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from heads.report.blocks import Key, Label, Plot, Shape
from heads.report.facts import Errors, Model
from heads.table import COLUMNS

WIDTH, HEIGHT, SQUARE = 360, 240, 360  # of panels; one of SQUARE is as wide as high within its axes
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 10, 42  # margins
LETTER = 7.2  # widest average letter of labels in the fonts that a page may find
BINS = 50  # of the density, along each axis
DEPTHS = 6  # steps of its shade
FEW = 20  # rows in a bin below which its mean is not drawn,
HANDFUL = 5  # or this many where most bins have no more

_MARKERS: tuple[tuple[tuple[float, float], ...], ...] = (
    tuple((math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)) for turn in range(16)),
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    ((-0.5, -1.2), (0.5, -1.2), (0.5, 1.2), (-0.5, 1.2)),
)
STYLES = len(_MARKERS)  # a colour, a marker and a dash each, so that colour is never alone in telling


class Point(NamedTuple):
    """A backbone in `cost`: milliseconds to embed an image, value of a metric, its name and its look."""

    ms: float
    value: float
    name: str
    style: int


@dataclass(frozen=True)
class Scale:
    """Values low..high to units start..end, by their logarithm if `log`; `whole` values have whole ticks."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    def __call__(self, value: float) -> float:
        """Where a value stands."""
        low, high, at = (math.log(v) for v in (self.low, self.high, value)) if self.log else self._linear(value)
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def _linear(self, value: float) -> tuple[float, float, float]:
        return self.low, self.high, value

    def ticks(self, *, percent: bool = False) -> list[tuple[float, str]]:
        """Round values within the scale, about five, and how to write them."""
        values = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)
        shown = [value for value in values if value == int(value)] if self.whole else values
        return [(value, f"{value * 100:.4g}%" if percent else f"{value:.6g}") for value in shown]


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


def density(y: pd.Series, predicted: pd.Series, *, title: str, what: str, ends: tuple[float, float]) -> Plot:
    """Predicted against true values: how many rows fall into each of BINS x BINS squares.

    Parameters
    ----------
    what : names the values, such as "age".
    ends : of both axes.
    """
    x = Scale(*ends, LEFT, SQUARE - RIGHT)
    up = Scale(*ends, SQUARE - BOTTOM, SQUARE - BOTTOM - (SQUARE - RIGHT - LEFT))
    counts, edges, _ = np.histogram2d(np.clip(y, *ends), np.clip(predicted, *ends), BINS, [ends, ends])
    step = max(np.log(counts.max()) / DEPTHS, np.log(2))  # a shade lighter for half as many rows, or fewer
    depth = np.maximum(DEPTHS - 1 - np.log(counts.max() / np.maximum(counts, 1)) // step, 0)
    side = round((x.end - x.start) / BINS, 2)
    shapes = []
    for level in range(DEPTHS):
        cells = np.argwhere((counts > 0) & (depth == level))
        squares = (f"M{x(edges[i])} {up(edges[j + 1])}h{side}v{side}h-{side}z" for i, j in cells)
        shapes.append(Shape("".join(squares), f"cell d{level}"))
    diagonal = Shape(_line([(x(end), up(end)) for end in ends]), "guide")
    about = f"{title}: density of predicted against true {what}, {len(y):,} rows; right predictions on the diagonal"
    frame, labels = _axes(x, up, x_label=f"true {what}", y_label=f"predicted {what}")
    return Plot(title, about, (*frame, *shapes, diagonal), labels, SQUARE, SQUARE)


def by_age(errors: Errors, styles: Mapping[Model, int], *, step: int, y_label: str, percent: bool) -> Plot:
    """Mean error of models by age, above bars of how many rows there are; a line ends where a bin is missing.

    Parameters
    ----------
    errors : by `age_bin` of `step` years.
    styles : the models to draw, with their looks.
    """
    ages = errors.n.index.to_numpy(float)
    x = Scale(ages.min(), ages.max() + step, LEFT, WIDTH - RIGHT)
    foot = HEIGHT - BOTTOM
    drawn = errors.mean.loc[errors.n >= least_rows(errors), list(styles)]
    up = Scale(*spread(drawn.to_numpy().ravel().tolist(), zero=True), foot - 42, TOP)
    tall = Scale(0, float(errors.n.max()), foot, foot - 26)
    bars = "".join(
        f"M{x(age)} {foot}V{tall(n)}H{x(age + step) - 1:.1f}V{foot}z" for age, n in zip(ages, errors.n, strict=True)
    )
    frame, labels = _axes(x, up, x_label="true age", y_label=y_label, percent=percent)
    shapes = [*frame, Shape(bars, "bar")]
    for model, style in styles.items():
        known = drawn[model].dropna()
        run_of_each = (known.index.to_series().diff() != step).cumsum().to_numpy()
        lines = [
            [(x(age), up(error)) for age, error in zip(run.index.to_numpy(float) + step / 2, run, strict=True)]
            for _, run in known.groupby(run_of_each)
        ]
        shapes.append(Shape("".join(map(_line, lines)), f"line s{style}"))
        shapes.append(Shape("".join(marker(*point, style) for line in lines for point in line), f"dot s{style}"))
    most = Label(x.end, foot - 27, f"rows per bin, at most {errors.n.max():,}", "end", "note")
    about = f"{y_label} by true age in bins of {step} years; the table below has the numbers"
    return Plot("", about, tuple(shapes), (*labels, most), WIDTH, HEIGHT)


def least_rows(errors: Errors) -> int:
    """From how many rows on a bin is drawn: FEW, or a HANDFUL where most are smaller, if any has as many."""
    return FEW if errors.n.median() >= FEW else min(HANDFUL, int(errors.n.max()))


def curve(course: pd.DataFrame, *, title: str, ends: tuple[float, float], percent: bool = False) -> Plot:
    """Training by round: a line per name, and the range of the nets behind it.

    Parameters
    ----------
    course : of `heads.report.facts.curves`; "train_loss" is of training rows, all else of validation rows.
    ends : of the upright axis.
    """
    x = Scale(1, max(float(course["round"].max()), 2), LEFT, WIDTH - 70, whole=True)  # room for the lines' names
    up = Scale(*ends, HEIGHT - BOTTOM, TOP)
    frame, labels = _axes(x, up, x_label="round", y_label="", percent=percent)
    shapes, names = list(frame), []
    for name, own in course.groupby("name", sort=False):
        look, text = ("s1 dashed", "training") if name == "train_loss" else ("s0", "validation")
        points = {side: [(x(n), up(v)) for n, v in zip(own["round"], own[side], strict=True)] for side in _SIDES}
        shapes.append(Shape(_line(points["low"] + points["high"][::-1]) + "z", f"band {look}"))
        shapes.append(Shape(_line(points["mean"]), f"line {look}"))
        names.append(Label(x.end + 6, points["mean"][-1][1] + 4, text, "start", "name"))
    return Plot(title, f"{title}, by round of training", tuple(shapes), (*labels, *_apart(names)), WIDTH, HEIGHT)


_SIDES = ("mean", "low", "high")


def cost(points: Sequence[Point], *, title: str, metric: str) -> Plot:
    """Milliseconds to embed an image, on a logarithmic axis, against a metric."""
    y_label, form = COLUMNS[metric]
    x = Scale(min(p.ms for p in points) / 1.6, max(p.ms for p in points) * 1.6, LEFT, WIDTH - RIGHT, log=True)
    up = Scale(*spread([p.value for p in points]), HEIGHT - BOTTOM, TOP + 8)
    frame, labels = _axes(x, up, x_label="ms to embed an image", y_label=y_label, percent="%" in form)
    shapes, names = list(frame), []
    for point in points:
        at = x(point.ms), up(point.value)
        shapes.append(Shape(marker(*at, point.style, size=5), f"dot s{point.style}"))
        left = at[0] > WIDTH / 2
        room = (at[0] if left else WIDTH - at[0]) - 9
        text = _cut(point.name, int(room / LETTER))
        names.append(Label(at[0] + (-9 if left else 9), at[1] + 4, text, "end" if left else "start", "name"))
    about = f"{title}: {y_label} against milliseconds to embed an image"
    return Plot(title, about, tuple(shapes), (*labels, *_apart(names)), WIDTH, HEIGHT)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def key(text: str, style: int) -> Key:
    """How a model looks in plots, 28 x 12 units."""
    line = Shape("M1 6H27", f"line s{style}")
    return Key((line, Shape(marker(14, 6, style), f"dot s{style}")), text)


def marker(x: float, y: float, style: int, *, size: float = 3.5) -> str:
    """The path of a model's mark at a place."""
    return _line([(x + size * dx, y + size * dy) for dx, dy in _MARKERS[style % STYLES]]) + "z"


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def _axes(
    x: Scale, up: Scale, *, x_label: str, y_label: str, percent: bool = False
) -> tuple[tuple[Shape, ...], tuple[Label, ...]]:
    """Grid lines at the ticks of both axes, with their numbers and names."""
    foot = max(up.start, HEIGHT - BOTTOM)
    across, upward = x.ticks(), up.ticks(percent=percent)
    grid = "".join(f"M{x.start} {up(value)}H{x.end}" for value, _ in upward)
    labels = [Label(x(value), foot + 16, text) for value, text in across]
    labels += [Label(x.start - 6, up(value) + 4, text, "end") for value, text in upward]
    labels.append(Label((x.start + x.end) / 2, foot + 34, x_label, look="axis"))
    labels.append(Label(12, (up.start + up.end) / 2, y_label, look="axis up"))
    return (Shape(grid, "grid"), Shape(f"M{x.start} {foot}H{x.end}", "base")), tuple(labels)


def _apart(labels: Sequence[Label], *, gap: float = 13) -> list[Label]:
    """Labels moved down just so far that none stands on another."""
    placed: list[Label] = []
    for label in sorted(labels, key=lambda each: each.y):
        lowest = max((other.y + gap for other in placed), default=label.y)
        placed.append(Label(label.x, max(label.y, lowest), label.text, label.anchor, label.look))
    return placed
