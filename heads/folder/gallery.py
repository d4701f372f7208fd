"""A page of photographs with their faces boxed and described, to sort and to filter; it holds all it needs.

The script in it works on what is there and fetches nothing; its SHA-256 stands in the page's policy, so that no other
script runs, whatever the files are called. Without scripts the page is a plain list.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import cv2
import pandas as pd

from embedder.preprocess import ImageRejected, Picture
from heads.folder.captions import Caption, Lines, captions, wordings
from heads.folder.photographs import Box, Found, Photograph, cautions, class_columns, opened, photographs

MOST = 1000  # photographs on a page,
MOST_FACES = 100  # rows of each,
MOST_ROWS = 10_000  # and rows in all, beyond which no photograph follows: together they bound the page
SIDE = 320  # pixels of a thumbnail's longer side
THUMBNAIL_BYTES = 24_000  # 32 kB as text
_QUALITIES = (76, 60, 40, 20, 5)  # of JPEG, until one is small enough
LETTER, LINE = 7.4, 13.0  # units of a caption's letter and line; see gallery.css

_TITLES = {"age_group": "age group"}


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG as a data URI, its size, and by how much it is smaller."""

    uri: str
    width: int
    height: int
    factor: float


@dataclass(frozen=True)
class Card:
    """What the page shows of a photograph: without a picture where it cannot be read."""

    path: str
    picture: Thumbnail | None
    rows: tuple[Found, ...]
    marks: tuple[tuple[Box, Caption] | None, ...]
    left_out: int


def gallery(rows: pd.DataFrame, sources: Sequence[str] | pd.Series, *, title: str = "Gallery", most: int = MOST) -> str:
    """Make the page.

    Parameters
    ----------
    rows : of `heads.score`, a row per face or per photograph without one.
    sources : where each row's photograph is.
    most : photographs shown at most, the first ones; the page says of how many. 1,000 take 8 to 40 MB.

    Returns
    -------
    str : HTML. It holds pictures of people: keep it as private as those.
    """
    import jinja2

    total = int(pd.Series(sources, dtype=object).nunique())
    cards = _cards(rows, sources, most)
    script = resources.files("heads.folder").joinpath("gallery.js").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(f"heads.{name}", ".") for name in ("folder", "report")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"digits": _digits, "percent": _percent}
    tasks = class_columns(rows)
    return environment.get_template("gallery.html.j2").render(
        title=title,
        subtitle=_subtitle(rows, total),
        cut=f"The first {len(cards):,} of {total:,} photographs are shown." if len(cards) < total else "",
        warnings=cautions(rows),
        cards=cards,
        statuses=rows["status"].drop_duplicates().tolist(),
        tasks={task: _TITLES.get(task, task) for task in tasks},
        classes={task: sorted({*rows[task].dropna()} - {""}) for task in tasks},
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _cards(rows: pd.DataFrame, sources: Sequence[str] | pd.Series, most: int) -> list[Card]:
    cards: list[Card] = []
    shown = 0
    for photograph in photographs(rows, sources):
        if len(cards) == most or shown >= MOST_ROWS:
            break
        cards.append(_card(photograph))
        shown += len(cards[-1].rows)
    return cards


def _subtitle(rows: pd.DataFrame, photographs: int) -> str:
    faces = int((rows["status"] == "ok").sum())
    counted = [f"{faces:,} {'face' if faces == 1 else 'faces'}"]
    counted.append(f"{photographs:,} {'photograph' if photographs == 1 else 'photographs'}")
    return " in ".join(counted)


def _card(photograph: Photograph) -> Card:
    rows = photograph.rows[:MOST_FACES]
    try:
        with opened(photograph.source) as picture:
            small = _thumbnail(picture)
    except ImageRejected:  # its rows say why; or it is gone since
        return Card(photograph.path, None, rows, (None,) * len(rows), len(photograph.rows) - len(rows))
    boxed = [row for row in rows if row.box]
    boxes = [row.box.scaled(small.factor) for row in boxed if row.box]
    options = [wordings(row, numbered=len(boxed) > 1) for row in boxed]
    placed = iter(zip(boxes, captions(boxes, options, (small.width, small.height), _measure), strict=True))
    marks = tuple(next(placed) if row.box else None for row in rows)
    return Card(photograph.path, small, rows, marks, len(photograph.rows) - len(rows))


def _thumbnail(picture: Picture) -> Thumbnail:
    height, width = picture.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    for quality in _QUALITIES:
        content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(content) <= THUMBNAIL_BYTES:
            break
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(content).decode("ascii"), *size, factor)


def _measure(lines: Lines) -> tuple[float, float]:
    return LETTER * max(map(len, lines)), LINE * len(lines)


def _digits(value: float, places: int = 1) -> str:
    return "" if math.isnan(value) else f"{value:.{places}f}"


def _percent(share: float) -> str:
    if math.isnan(share):
        return ""
    return ">99%" if share > 0.995 else f"{share:.0%}"
