"""Where to write beside faces so that no text covers another text or another face."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from heads.folder.photographs import Box, Found

Lines = tuple[str, ...]
Measure = Callable[[Lines], tuple[float, float]]  # width and height that lines take

GAP = 2.0  # between a box and what is said of it
IN_BOX = 0.3  # of a box's height that a text in it may cover: the chin


class Caption(NamedTuple):
    """Lines of text, and the place that they take."""

    lines: Lines
    place: Box


def wordings(found: Found, *, numbered: bool) -> list[Lines]:
    """What may be written at a face, the longest first: age with interval and gender, less, its number alone."""
    prefix = f"{found.number}: " if numbered else ""
    gender = found.classes.get("gender", ("", 0.0))[0]
    age = [f"{prefix}{found.age_words}"] if found.age_words else []
    full = (*age, gender) if age else (f"{prefix}{gender}",)
    short = [(f"{prefix}{found.age:.0f}",)] if age else []
    options = [tuple(filter(None, full)), *[(line,) for line in age], *short, (str(found.number),)]
    return [lines for lines in dict.fromkeys(options) if lines and lines != (prefix,)]


def captions(
    boxes: Sequence[Box], options: Sequence[Sequence[Lines]], size: tuple[float, float], measure: Measure
) -> list[Caption]:
    """Place a caption at each box: below it, else above, beside or in it; the longest wording that finds room.

    Parameters
    ----------
    boxes : in the order in which they choose their places.
    options : wordings of each, the longest first. One for which there is no room has its last in a corner of its box.
    size : width and height of the picture.
    """
    faces = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    taken = np.empty((0, 4))
    placed = []
    for number, (box, wording) in enumerate(zip(boxes, options, strict=True)):
        others = np.concatenate([np.delete(faces, number, axis=0), taken])
        free = (
            Caption(lines, place)
            for lines in wording
            for place in _around(box, measure(lines), size)
            if not _meets(place, others)
        )
        caption = next(free, None) or Caption(wording[-1], _corner(box, measure(wording[-1]), size))
        placed.append(caption)
        taken = np.concatenate([taken, [caption.place]])
    return placed


def _around(box: Box, extent: tuple[float, float], size: tuple[float, float]) -> Iterator[Box]:
    """Yield the places for a text at a box that lie within the picture."""
    width, height = extent
    middle = min(max((box.left + box.right - width) / 2, 0.0), max(size[0] - width, 0.0))
    corners = [
        (middle, box.bottom + GAP),
        (middle, box.top - GAP - height),
        (box.right + GAP, box.top),
        (box.left - GAP - width, box.top),
    ]
    if width <= box.right - box.left and height <= IN_BOX * (box.bottom - box.top):
        corners.append((middle, box.bottom - GAP - height))
    for left, top in corners:
        if left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]:
            yield Box(left, top, left + width, top + height)


def _corner(box: Box, extent: tuple[float, float], size: tuple[float, float]) -> Box:
    left, top = (
        min(max(edge, 0.0), max(side - length, 0.0))
        for edge, side, length in zip((box.left, box.top), size, extent, strict=True)
    )
    return Box(left, top, left + extent[0], top + extent[1])


def _meets(place: Box, others: np.ndarray) -> bool:
    """Whether a place overlaps any of (n, 4) others."""
    across = (others[:, 0] < place.right) & (place.left < others[:, 2])
    return bool((across & (others[:, 1] < place.bottom) & (place.top < others[:, 3])).any())
