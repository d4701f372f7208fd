"""Frames to plots, as paths and labels in units of an SVG; how they look is left to the page's style."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heads.report.blocks import Label, Plot, Shape
from heads.report.canvas import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    RIGHT,
    SQUARE,
    TOP,
    WIDTH,
    Scale,
    apart,
    axes,
    cut,
    line,
    marker,
    spread,
)
from heads.report.facts import Errors, Model
from heads.table import COLUMNS

BINS = 50  # of the density, along each axis
DEPTHS = 6  # steps of its shade
FEW = 20  # rows in a bin below which its mean is not drawn,
HANDFUL = 5  # or this many where most bins have no more
EDGE = 6  # units around a map
LAYERS, TURN = 4, 7919  # of dots, and the order in which they are laid


class Point(NamedTuple):
    """A backbone in `cost`: milliseconds to embed an image, value of a metric, its name and its look."""

    ms: float
    value: float
    name: str
    style: int


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
    diagonal = Shape(line([(x(end), up(end)) for end in ends]), "guide")
    about = f"{title}: density of predicted against true {what}, {len(y):,} rows; right predictions on the diagonal"
    frame, labels = axes(x, up, f"true {what}", f"predicted {what}")
    return Plot(title, about, (*frame, *shapes, diagonal), labels, SQUARE, SQUARE)


def by_age(
    errors: Errors, styles: Mapping[Model, int], *, step: int, y_label: str, percent: bool = False, signed: bool = False
) -> Plot:
    """Mean error of models by age, above bars of how many rows there are; a line ends where a bin is missing.

    Parameters
    ----------
    errors : by `age_bin` of `step` years.
    styles : the models to draw, with their looks.
    signed : whether errors may be below 0, which is then marked.
    """
    ages = errors.n.index.to_numpy(float)
    x = Scale(ages.min(), ages.max() + step, LEFT, WIDTH - RIGHT)
    foot = HEIGHT - BOTTOM
    drawn = errors.mean.loc[errors.n >= least_rows(errors), list(styles)]
    values = [*drawn.to_numpy().ravel().tolist(), 0.0]
    up = Scale(*spread(values, zero=not signed), foot - 42, TOP, percent=percent)
    tall = Scale(0, float(errors.n.max()), foot, foot - 26)
    bars = "".join(
        f"M{x(age)} {foot}V{tall(n)}H{x(age + step) - 1:.1f}V{foot}z" for age, n in zip(ages, errors.n, strict=True)
    )
    frame, labels = axes(x, up, "true age", y_label)
    shapes = [*frame, Shape(bars, "bar")]
    if signed:
        shapes.append(Shape(f"M{x.start} {up(0)}H{x.end}", "guide"))
    for model, style in styles.items():
        known = drawn[model].dropna()
        run_of_each = (known.index.to_series().diff() != step).cumsum().to_numpy()
        lines = [
            [(x(age), up(error)) for age, error in zip(run.index.to_numpy(float) + step / 2, run, strict=True)]
            for _, run in known.groupby(run_of_each)
        ]
        shapes.append(Shape("".join(map(line, lines)), f"line s{style}"))
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
    up = Scale(*ends, HEIGHT - BOTTOM, TOP, percent=percent)
    frame, labels = axes(x, up, "round", "")
    shapes, names = list(frame), []
    for name, own in course.groupby("name", sort=False):
        look, text = ("s1 dashed", "training") if name == "train_loss" else ("s0", "validation")
        points = {side: [(x(n), up(v)) for n, v in zip(own["round"], own[side], strict=True)] for side in _SIDES}
        shapes.append(Shape(line(points["low"] + points["high"][::-1]) + "z", f"band {look}"))
        shapes.append(Shape(line(points["mean"]), f"line {look}"))
        names.append(Label(x.end + 6, points["mean"][-1][1] + 4, text, "start", "name"))
    return Plot(title, f"{title}, by round of training", tuple(shapes), (*labels, *apart(names)), WIDTH, HEIGHT)


_SIDES = ("mean", "low", "high")


def cost(points: Sequence[Point], *, title: str, metric: str) -> Plot:
    """Milliseconds to embed an image, on a logarithmic axis, against a metric."""
    y_label, form = COLUMNS[metric]
    x = Scale(min(p.ms for p in points) / 1.6, max(p.ms for p in points) * 1.6, LEFT, WIDTH - RIGHT, log=True)
    up = Scale(*spread([p.value for p in points]), HEIGHT - BOTTOM, TOP + 8, percent="%" in form)
    frame, labels = axes(x, up, "ms to embed an image", y_label)
    shapes, names = list(frame), []
    for point in points:
        at = x(point.ms), up(point.value)
        shapes.append(Shape(marker(*at, point.style, size=5), f"dot s{point.style}"))
        left = at[0] > WIDTH / 2
        room = (at[0] if left else WIDTH - at[0]) - 9
        text = cut(point.name, int(room / LETTER))
        names.append(Label(at[0] + (-9 if left else 9), at[1] + 4, text, "end" if left else "start", "name"))
    about = f"{title}: {y_label} against milliseconds to embed an image"
    return Plot(title, about, tuple(shapes), (*labels, *apart(names)), WIDTH, HEIGHT)


def dots(places: NDArray[np.float64], codes: NDArray[np.int64], looks: Sequence[str], *, title: str, what: str) -> Plot:
    """A map of rows.

    Parameters
    ----------
    places : (n, 2), within 0..1.
    codes : (n,), each row's position in `looks`, or -1: not drawn.
    what : names what the looks stand for.
    """
    units = EDGE + places * (SQUARE - 2 * EDGE)
    turns = np.arange(len(codes)) * TURN % len(codes)  # no look lies on top of all others
    shapes = []
    for part in np.array_split(np.argsort(turns), LAYERS):
        for code, look in enumerate(looks):
            own = units[part[codes[part] == code]]
            shapes.append(Shape("".join(f"M{x:.0f} {SQUARE - y:.0f}h0" for x, y in own), f"speck {look}"))
    about = f"{title}: a map of {(codes >= 0).sum():,} embeddings by {what}"
    return Plot(title, about, tuple(shape for shape in shapes if shape.path), (), SQUARE, SQUARE)
