"""What benchmarks draw: SVGs that a README can show."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from data.files import write_text

WIDTH, NAMES, NUMBERS, BAR, GAP = 720, 170, 150, 15, 5  # in units; NAMES and NUMBERS are margins
COLOURS = {"sgemm": "#c9cdd3", "bare": "#8a8f98", "extract": "#1f6feb", "deepface": "#b35900"}
POINTS = 400  # of a line at most: of more the highest of each stretch
COURSES = ("#8a8f98", "#b35900", "#1a7f37", "#1f6feb")


def bars(found: pd.DataFrame, path: Path, *, title: str, spread_of: Callable[[np.ndarray], str]) -> None:
    """Images/s as bars: by network, the median of each way and its spread over rounds, each network to its own scale.

    Parameters
    ----------
    found : columns network, contestant, round, speed.
    """
    shapes, y = [_text(8, 20, title, "normal")], 30
    for network in found["network"].unique():
        rows = found[found["network"] == network]
        shapes.append(_text(8, y + 16, f"{network}, images/s", "bold"))
        y += 26
        for name in rows["contestant"].unique():
            speeds = rows["speed"][rows["contestant"] == name].to_numpy()
            shapes += _bar(name, speeds, y, float(rows["speed"].max()), spread_of(speeds))
            y += BAR + GAP
        y += 12
    _write(path, shapes, y)


def lines(courses: Mapping[str, Sequence[tuple[float, float]]], path: Path, *, title: str) -> None:
    """Values over time, (seconds, value) each; the time of every line is stretched to the same width."""
    height, left, right, most = 220, 50, WIDTH - 130, max(value for course in courses.values() for _, value in course)
    shapes = [_text(8, 20, title, "normal")]
    for tick in range(0, int(most) + 1, 50):
        y = height + 30 - tick / most * height
        shapes += [f'<path d="M{left} {y:.1f}H{right}" stroke="#ddd"/>', _text(16, int(y) + 4, str(tick), "normal")]
    for number, (name, course) in enumerate(courses.items()):
        end, colour, each = course[-1][0], COURSES[number % len(COURSES)], -(-len(course) // POINTS)
        highest = [max(course[at : at + each], key=lambda look: look[1]) for at in range(0, len(course), each)]
        points = (f"{left + at / end * (right - left):.1f},{height + 30 - v / most * height:.1f}" for at, v in highest)
        shapes.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        y = 44 + 18 * number
        shapes.append(f'<path d="M{right + 8} {y}h14" stroke="{colour}" stroke-width="3"/>')
        shapes.append(_text(right + 26, y + 4, name, "normal"))
    _write(path, shapes, height + 44)


def _write(path: Path, shapes: Sequence[str], height: int) -> None:
    box = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>'
    write_text(path, "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *shapes, "</svg>\n"]))


def _bar(name: str, speeds: np.ndarray, y: int, most: float, text: str) -> list[str]:
    middle, low, high = float(np.median(speeds)), float(speeds.min()), float(speeds.max())
    unit = (WIDTH - NAMES - NUMBERS) / most
    start, end, at = NAMES + low * unit, NAMES + high * unit, y + BAR / 2
    return [
        _text(8, y + 12, name, "normal"),
        f'<rect x="{NAMES}" y="{y}" width="{middle * unit:.1f}" height="{BAR}" fill="{COLOURS[name.split()[0]]}"/>',
        f'<path d="M{start:.1f} {at}H{end:.1f}" stroke="#000" stroke-width="1.5"/>',
        _text(int(end) + 6, y + 12, text, "normal"),
    ]


def _text(x: int, y: int, text: str, weight: str) -> str:
    return f'<text x="{x}" y="{y}" font-weight="{weight}">{escape(text)}</text>'
