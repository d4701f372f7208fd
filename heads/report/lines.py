"""Lines in a frame: curves of any kind, by what stands on their axes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heads.report.blocks import Key, Plot, Shape
from heads.report.canvas import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, axes, line, marker

PLAIN = -1  # the style of what is there for contrast: grey, without marks


class Axis(NamedTuple):
    """What an axis is called, where it begins and ends, and whether its ticks are in per cent or whole."""

    label: str
    low: float
    high: float
    percent: bool = False
    whole: bool = False


class Series(NamedTuple):
    """Points joined by a line, in their order, its style (of a model, or PLAIN), and whether each point is marked."""

    x: Sequence[float]
    y: Sequence[float]
    style: int
    marked: bool = False


def lines(series: Sequence[Series], x_axis: Axis, y_axis: Axis, *, title: str = "", diagonal: bool = False) -> Plot:
    """Draw lines in one frame.

    Parameters
    ----------
    diagonal : whether to draw where both axes are equal, for lines that should lie there.
    """
    x = Scale(x_axis.low, x_axis.high, LEFT, WIDTH - RIGHT, percent=x_axis.percent, whole=x_axis.whole)
    up = Scale(y_axis.low, y_axis.high, HEIGHT - BOTTOM, TOP, percent=y_axis.percent)
    frame, labels = axes(x, up, x_axis.label, y_axis.label)
    shapes = list(frame)
    if diagonal:
        ends = max(x.low, up.low), min(x.high, up.high)
        shapes.append(Shape(line([(x(end), up(end)) for end in ends]), "guide"))
    for each in series:
        points = [(x(a), up(b)) for a, b in zip(each.x, each.y, strict=True)]
        shapes.append(Shape(line(points), f"line {look(each.style)}"))
        if each.marked:
            marks = "".join(marker(*point, max(each.style, 0)) for point in points)
            shapes.append(Shape(marks, f"dot {look(each.style)}"))
    about = f"{title}: {y_axis.label} by {x_axis.label}".removeprefix(": ")
    return Plot(title, about, tuple(shapes), labels, WIDTH, HEIGHT)


def look(style: int) -> str:
    """The class of a style."""
    return "plain" if style == PLAIN else f"s{style}"


def plain_key(text: str) -> Key:
    """How what is there for contrast looks."""
    return Key((Shape("M1 6H27", "line plain"),), text)


def thinned(x: ArrayLike, y: ArrayLike, *, most: int = 80) -> tuple[list[float], list[float]]:
    """Points evenly taken from many, the first and the last among them."""
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    taken = np.unique(np.linspace(0, len(first) - 1, min(most, len(first))).round().astype(int))
    return first[taken].tolist(), second[taken].tolist()


def steps(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """The outline of a histogram: (bins,) counts over (bins + 1,) edges to points, down to 0 at both ends."""
    x = np.repeat(edges, 2)
    y = np.concatenate([[0.0], np.repeat(counts, 2), [0.0]])
    return x.tolist(), y.tolist()
