"""How right scores are, where labels are known: the figures of `compare` on pictures that it has not seen, by group."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.errors import FaceprobeError
from data.images import RejectedFile, printable
from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS, ETHNICITIES, GENDERS
from data.manifest import TABLE_SUFFIXES, read_manifest
from data.readers.utkface import parse_name
from heads.figures import FIGURES, judge
from heads.table import COLUMNS, with_interval
from heads.tasks import Task

LABELS = {"age", "gender", "ethnicity"}  # that names may tell
FEWEST = 10  # rows of a group of people of which figures are given
GROUPED = ["of", "group", *FIGURES]  # of which kind the group is, "" for all rows together


class EvaluateError(FaceprobeError):
    """Scores that cannot be compared with labels."""


@dataclass(frozen=True)
class Evaluation:
    """What comes of comparing scores with labels.

    Attributes
    ----------
    figures : DataFrame with the columns GROUPED: each metric with its 95% interval over resampled subjects, or
        pictures where none are known; of all rows, then by age group, gender and ethnicity of the labels.
    left_out : how many images of the labels have no score.
    """

    figures: pd.DataFrame
    left_out: int


def read_labels(sources: Sequence[str], images: pd.DataFrame) -> pd.DataFrame:
    """The labels of images that are to be scored: of a manifest, else as UTKFace has them in names.

    Parameters
    ----------
    sources, images : as of `data.sources.list_sources`.

    Returns
    -------
    DataFrame : the columns of a manifest, labelled by what is printed of image_id.

    Raises
    ------
    EvaluateError : no image has a label.
    """
    if len(sources) == 1 and sources[0].endswith(TABLE_SUFFIXES):
        frame = read_manifest(sources[0]).frame
    else:
        frame = pd.DataFrame([{"image_id": name, **_named(name)} for name in images["image_id"]])
        if not LABELS & set(frame):
            raise EvaluateError(
                "--evaluate goes by labels, and no image has any: score a manifest with columns such as age, "
                "or files with UTKFace's names"
            )
    frame.index = pd.Index(frame["image_id"].map(printable))
    return frame[~frame.index.duplicated()]


def _named(image_id: str) -> Mapping[str, object]:
    try:
        return parse_name(image_id)
    except RejectedFile:
        return {}


def evaluate(parts: Iterable[pd.DataFrame], labels: pd.DataFrame, tasks: Sequence[Task]) -> Evaluation:
    """Compare scores with labels.

    Of several faces of an image the first counts, which is the largest.

    Parameters
    ----------
    parts : rows of scores, as `heads.score.outputs.read_table` gives them.
    labels : as `read_labels` gives them.
    tasks : of the bundle; those that were not scored are passed over.

    Raises
    ------
    EvaluateError : no row has both a prediction and a label.
    """
    firsts = [part[part["status"] == "ok"].drop_duplicates("path") for part in parts]
    rows = pd.concat(firsts, ignore_index=True).drop_duplicates("path").set_index("path")
    both = rows.index.intersection(labels.index)
    rows, known = rows.loc[both], labels.loc[both]
    predictions = [_predictions(task, known, rows) for task in tasks if task.name in rows and task.column in known]
    if not sum(map(len, predictions)):
        raise EvaluateError("--evaluate found no image with both a score and a label: look at the status of the rows")
    together = pd.concat(predictions, ignore_index=True)
    subjects = known["subject_id"].fillna(rows["sha256"]) if "subject_id" in known else rows["sha256"]
    figures = []
    for of, group, members in _groups(known):
        own = together[together["image_id"].isin(members)]
        present = [task for task in tasks if (own["task"] == task.name).any()]
        if group == "" or len(members) >= FEWEST:
            found = judge(present, own, subjects, known.get("age")).figures
            figures.append(found.assign(of=of, group=group))
    return Evaluation(pd.concat(figures, ignore_index=True)[GROUPED], len(labels) - len(both))


def _predictions(task: Task, labels: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One task's labels and scores as `heads.figures` takes them; rows without one of them are left out."""
    y, _ = task.encode(labels)
    said = rows[task.name]
    numbers = pd.Index(task.classes).get_indexer(pd.Index(said)) if task.kind == "class" else said.to_numpy()
    low, high = ("age_low", "age_high") if task.kind == "age" else (None, None)
    columns = {
        "task": task.name,
        "backbone": "bundle",
        "head": "scores",
        "seed": 0,
        "fold": "0",
        "image_id": rows.index,
        "y": y,
        "predicted": np.where(said.notna(), numbers, np.nan),
        "low": rows[low].to_numpy() if low else np.nan,
        "high": rows[high].to_numpy() if high else np.nan,
        "confidence": rows[f"{task.name}_proba"].to_numpy() if task.kind == "class" else np.nan,
    }
    return pd.DataFrame(columns).dropna(subset=["y", "predicted"])


def _groups(labels: pd.DataFrame) -> Iterator[tuple[str, str, pd.Index]]:
    """All images, then those of each group of people: what kind of group, which, and who is in it."""
    yield "", "", labels.index
    if "age" in labels:
        groups = AGE_GROUPS[DEFAULT_AGE_GROUPS]
        own = groups.assign(labels["age"])
        yield from (("age_group", name, labels.index[own == number]) for number, name in enumerate(groups.names))
    for column, words in (("gender", GENDERS), ("ethnicity", ETHNICITIES)):
        if column in labels:
            yield from ((column, word, labels.index[labels[column] == word]) for word in words)


def evaluation_lines(evaluation: Evaluation) -> Iterator[str]:
    """An evaluation as people read it: every metric of all rows, the first one of each group."""
    figures = evaluation.figures
    for name, own in figures[figures["of"] == ""].groupby("task", sort=False):
        said = [f"{COLUMNS[row.metric][0]} {_value(row)}" for row in _each(own) if row.metric in COLUMNS]
        yield f"{name}, {own['n'].iloc[0]:,} images: {', '.join(said)}"
        first = figures[(figures["task"] == name) & (figures["metric"] == own["metric"].iloc[0])]
        yield from (f"  {row.group}, {row.n:,}: {_value(row)}" for row in _each(first[first["of"] != ""]))


def _value(row: Any) -> str:
    return with_interval(row.metric, row.value, row.low, row.high)


def _each(figures: pd.DataFrame) -> Iterator[Any]:
    return figures.itertuples(index=False)
