"""Bars of images/s as an SVG that a README can show: by network, the median of each way and its spread over rounds."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from data.files import write_text

WIDTH, NAMES, NUMBERS, BAR, GAP = 720, 170, 150, 15, 5  # in units; NAMES and NUMBERS are margins
COLOURS = {"bare": "#8a8f98", "extract": "#1f6feb", "deepface": "#b35900"}


def write_plot(found: pd.DataFrame, path: Path, *, title: str, spread_of: Callable[[np.ndarray], str]) -> None:
    """Draw columns network, contestant, round, speed; each network has a scale of its own."""
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
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">'
    write_text(path, "\n".join([head, f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>', *shapes, "</svg>\n"]))


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
