"""Copies of photographs with their faces boxed and described; the photographs themselves are never touched."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from embedder.preprocess import ImageRejected, Picture
from heads.folder.captions import Lines, captions, wordings
from heads.folder.photographs import Box, Found, Photograph, opened, photographs
from heads.folder.places import FAILED, FolderError, failure, outcomes, place_within, put, require_apart

QUALITY = 92  # of the JPEG
JPEG = (".jpg", ".jpeg")
_LEAST_LETTERS, _LETTERS = 12, 64  # height of letters in pixels: this at least, else this part of the longer side
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)


def annotate(
    rows: pd.DataFrame,
    sources: Sequence[str] | pd.Series,
    folder: Path,
    *,
    scanned: Iterable[Path] = (),
    on_progress: Callable[[int], object] = lambda n: None,
) -> pd.DataFrame:
    """Write a JPEG of each photograph, upright, with boxes, ages, intervals and genders; one at a time.

    Names and sub-folders are those of the photographs, with .jpg after names that end otherwise. The copies hold
    nothing but pixels: no place, no camera. A file that is there with other content is never written over.

    Parameters
    ----------
    rows : of `heads.score`, a row per face or per photograph without one, whose status is then in the corner.
    sources : where each row's photograph is.
    folder : for the copies, apart from the photographs.
    scanned : folders that were searched for photographs.
    on_progress : called with 1 after each photograph.

    Returns
    -------
    DataFrame with columns `places.COLUMNS`: each photograph's path, the place of its copy within the folder, outcome
        (WRITTEN, THERE, FAILED) and, where it failed, the reason.

    Raises
    ------
    FolderError : the folder is not apart from the photographs, or cannot be created.
    """
    top = require_apart(Path(folder), map(str, sources), scanned=scanned)
    found = []
    for photograph in photographs(rows, sources):
        found.append((photograph.path, *_copy(photograph, top)))
        on_progress(1)
    return outcomes(found)


def _copy(photograph: Photograph, top: Path) -> tuple[str, str, str]:
    """Draw one copy: its place, outcome and reason."""
    name = photograph.path if photograph.path.lower().endswith(JPEG) else f"{photograph.path}.jpg"
    try:
        target = place_within(top, name)
        with opened(photograph.source) as picture:
            content = _drawn(picture, photograph.rows)
        return os.fspath(target.relative_to(top)), put(target, content), ""
    except (ImageRejected, FolderError, OSError) as error:
        return "", FAILED, failure(error)


def _drawn(picture: Picture, rows: Sequence[Found]) -> bytes:
    """A picture (height, width, 3) with what is said of its faces, as the bytes of a JPEG."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    letters = max(_LEAST_LETTERS, round(max(image.size) / _LETTERS))
    font = ImageFont.load_default(letters)
    edge = max(1, letters // 10)

    def measure(lines: Lines) -> tuple[float, float]:
        return max(map(font.getlength, lines)) + 2 * edge, letters * 1.25 * len(lines) + edge

    boxed = [row for row in rows if row.box]
    boxes = [row.box for row in boxed if row.box]
    options = [wordings(row, numbered=len(boxed) > 1) for row in boxed]
    for box in boxes:
        _outline(draw, box, edge)
    for caption in captions(boxes, options, image.size, measure):
        _write(draw, caption.lines, caption.place, font=font, step=letters * 1.25, edge=edge)
    if not boxed:
        lines = _whole(rows[0])
        place = Box(edge, edge, edge + measure(lines)[0], edge + measure(lines)[1])
        _write(draw, lines, place, font=font, step=letters * 1.25, edge=edge)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _whole(row: Found) -> Lines:
    """What to say of a picture without boxes: of a whole one its age and gender, else why there is none."""
    return wordings(row, numbered=False)[0] if row.status == "ok" else (row.status.replace("_", " "),)


def _outline(draw: Any, box: Box, edge: int) -> None:
    """A light line on a dark one, to be seen on any picture."""
    for colour, grown, width in ((_DARK, edge, 3 * edge), (_LIGHT, 0, edge)):
        outer = (box.left - grown, box.top - grown, box.right + grown, box.bottom + grown)
        draw.rectangle(outer, outline=colour, width=width)


def _write(draw: Any, lines: Lines, place: Box, *, font: Any, step: float, edge: int) -> None:
    middle = (place.left + place.right) / 2
    for number, line in enumerate(lines):  # Pillow's own font has no dash
        at = (middle, place.top + edge + step * number)
        draw.text(at, line.replace("–", "-"), font=font, anchor="ma", fill=_LIGHT, stroke_width=edge, stroke_fill=_DARK)
