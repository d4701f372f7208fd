"""Rows of scores to photographs with the faces in them, and what to say of each."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from embedder.preprocess import Picture, decoded, read_file

NOT_TRAINED = "not trained"  # stands in the column `bundle` where the weights are drawn at random


class Box(NamedTuple):
    """Edges in pixels of the upright picture."""

    left: float
    top: float
    right: float
    bottom: float

    def scaled(self, factor: float) -> "Box":
        """The box in a picture that is `factor` times as large."""
        return Box(*(edge * factor for edge in self))


@dataclass(frozen=True)
class Found:
    """One row of scores.

    Attributes
    ----------
    number : of the face; 0 for a picture as a whole, None where there is no face.
    status, reason : as in the row.
    box : where the face is; None of a picture as a whole.
    age, age_low, age_high, quality : NaN where there is none.
    classes : by task, the likeliest class and its probability.
    """

    number: int | None
    status: str
    reason: str
    box: Box | None
    age: float
    age_low: float
    age_high: float
    quality: float
    classes: Mapping[str, tuple[str, float]]

    @property
    def width(self) -> float:
        """Years from the lowest to the highest age."""
        return self.age_high - self.age_low

    @property
    def age_words(self) -> str:
        """Such as "24 (20–28)"; "" without an age."""
        if math.isnan(self.age):
            return ""
        return f"{self.age:.0f}" + ("" if math.isnan(self.width) else f" ({self.age_low:.0f}–{self.age_high:.0f})")


@dataclass(frozen=True)
class Photograph:
    """A picture by its name in the scores, where it is, and its rows in their order."""

    path: str
    source: str
    rows: tuple[Found, ...]


def photographs(rows: pd.DataFrame, sources: Sequence[str] | pd.Series) -> Iterator[Photograph]:
    """Yield each photograph once, in the order of the rows; a face that stands there twice is one face.

    Parameters
    ----------
    rows : of `heads.score`, a row per face or per photograph without one.
    sources : where each row's photograph is, what `read_file` reads.
    """
    places = pd.Series(np.asarray(sources, dtype=object), index=rows.index, name="source")
    once = ~pd.concat([places, rows["face"]], axis=1).duplicated()
    classes = class_columns(rows)
    for source, own in rows[once].groupby(places[once], sort=False):
        found = tuple(_found(row, classes) for row in own.to_dict("records"))
        yield Photograph(str(own["path"].iloc[0]), str(source), found)


def class_columns(rows: pd.DataFrame) -> list[str]:
    """Names of the tasks that tell classes apart: those with a column of probabilities."""
    return [str(name) for name in rows if f"{name}_proba" in rows]


def cautions(rows: pd.DataFrame) -> tuple[str, ...]:
    """What must be said before anybody looks at these scores."""
    said = []
    if rows["bundle"].astype(str).str.contains(NOT_TRAINED, regex=False).any():
        said.append("The backbone's weights were drawn at random and not trained: these predictions mean nothing.")
    accepted = [*rows["mismatch"].dropna().unique()] if "mismatch" in rows else []
    said += [
        f"Not as the heads were trained: {each}. The figures may be worse than the bundle promises."
        for each in accepted
        if each
    ]
    return tuple(said)


@contextlib.contextmanager
def opened(source: str) -> Iterator[Picture]:
    """A photograph as the faces in it were found: uint8 RGB (height, width, 3), upright; raises ImageRejected."""
    _, content = read_file(source)
    with decoded(content) as picture:
        yield picture


def _found(row: Mapping[Any, Any], classes: Sequence[str]) -> Found:
    box = Box(*(_number(row, edge) for edge in Box._fields))
    known = {task: row[task] for task in classes if isinstance(row[task], str) and row[task]}
    return Found(
        number=None if pd.isna(row["face"]) else int(row["face"]),
        status=str(row["status"]),
        reason="" if pd.isna(row["reason"]) else str(row["reason"]),
        box=box if all(map(math.isfinite, box)) else None,
        age=_number(row, "age"),
        age_low=_number(row, "age_low"),
        age_high=_number(row, "age_high"),
        quality=_number(row, "quality"),
        classes={task: (value, _number(row, f"{task}_proba")) for task, value in known.items()},
    )


def _number(row: Mapping[Any, Any], name: str) -> float:
    value = row.get(name)
    return math.nan if value is None or pd.isna(value) else float(value)
