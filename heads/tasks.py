"""Task: how a column of the manifest becomes numbers to train on, and a net's output the columns of a prediction."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from data.errors import FaceprobeError
from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS, DEFAULT_AGE_RANGE, ETHNICITIES, GENDERS, AgeGroups
from heads import metrics
from heads.net import expected_value

Kind = Literal["age", "class", "number"]
Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

BUILT_IN = ("age", "gender", "ethnicity", "age_group")
RESERVED = (  # columns of manifests and of scores
    *("image_id", "path", "sha256", "face", "status", "reason", "mismatch", "bundle", "fingerprint"),
    *("left", "top", "right", "bottom", "confidence", "quality", "turned"),
    *("age_low", "age_high"),
)
MOST_WHOLE_NUMBERS = 10  # a numeric column with at most this many distinct values, all whole, holds classes


class TaskError(FaceprobeError):
    """A task that the manifest's columns do not allow."""


def _balanced_mae(y: Floats, predicted: Floats) -> float:
    """MAE averaged over the ten age groups."""
    return metrics.balanced_mae(y, predicted, AGE_GROUPS[DEFAULT_AGE_GROUPS].assign(y))


METRICS: dict[str, dict[str, Metric]] = {
    "age": {"mae": metrics.mae, "cs5": metrics.cs_at, "bias": metrics.bias, "balanced_mae": _balanced_mae},
    "class": {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "macro_f1": metrics.macro_f1,
    },
    "number": {"mae": metrics.mae, "rmse": metrics.rmse, "r2": metrics.r2},
}


@dataclass(frozen=True)
class Task:
    """What a head learns from one column.

    Attributes
    ----------
    name : of the task, and of the column it predicts.
    column : of the manifest, where the labels are.
    kind : "age" (softmax over whole years, decoded as the expected value), "class" or "number".
    classes : names of the classes; for an age the whole years, lowest to highest; none for a number.
    edges : for classes made from ages, the lowest age of each.
    """

    name: str
    column: str
    kind: Kind
    classes: tuple[str, ...] | tuple[int, ...] = ()
    edges: tuple[int, ...] = ()

    @property
    def n_outputs(self) -> int:
        """Width of the net's last layer."""
        return len(self.classes) or 1

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the one to compare by first."""
        return tuple(METRICS[self.kind])

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that `decode` gives."""
        return (self.name, f"{self.name}_proba") if self.kind == "class" else (self.name,)

    def encode(self, frame: pd.DataFrame) -> tuple[Floats, dict[str, int]]:
        """Turn the labels of a manifest's frame into numbers.

        Returns
        -------
        y : ndarray of shape (n,), float64: years, positions in `classes`, or numbers; NaN where a row is left out.
        left_out : how many rows are left out, by reason.

        Raises
        ------
        TaskError : if the frame lacks the column.
        """
        labels = _column(frame, self.column)
        known = labels.notna().to_numpy()
        y = self._encode(labels)
        missing, refused = int((~known).sum()), int((known & np.isnan(y)).sum())
        counts = {f"no {self.column} label": missing, self._refusal(): refused}
        return y, {reason: count for reason, count in counts.items() if count}

    def _encode(self, labels: pd.Series) -> Floats:
        """Encode labels, NaN for those that are missing or refused."""
        if self.kind == "class" and not self.edges:
            codes = pd.Index(self.classes).get_indexer(pd.Index(_words(labels)))
            return np.where(codes >= 0, codes, np.nan)
        values = _numbers(labels)
        if self.kind == "class":
            groups = AgeGroups(self.classes, self.edges).assign(values)  # type: ignore[arg-type]
            return np.where(groups >= 0, groups, np.nan)
        if self.kind == "age":
            completed = np.floor(values)  # 100.5 years are within 0..100 completed years
            return np.where((completed >= self.classes[0]) & (completed <= self.classes[-1]), values, np.nan)
        return np.where(np.isfinite(values), values, np.nan)

    def _refusal(self) -> str:
        """Say why a label that is there may be left out."""
        if self.kind == "age":
            return f"age outside {self.classes[0]}..{self.classes[-1]}"
        if self.edges:
            return f"age below {self.edges[0]}"
        return f"{self.column} not one of the classes" if self.kind == "class" else f"{self.column} not finite"

    def point(self, output: NDArray[np.floating]) -> Floats:
        """Decode a net's output, (n, classes) or (n,), to values as in `y`: expected age, likeliest class, number."""
        if self.kind == "age" and output.ndim == 2:  # of a regression it is the age itself
            return expected_value(output, np.array(self.classes, dtype=np.float64))
        if self.kind == "class":
            return output.argmax(axis=1).astype(np.float64)
        values = output.astype(np.float64)  # nobody is younger or older than the ages that are learned
        return np.clip(values, self.classes[0], self.classes[-1]) if self.kind == "age" else values

    def decode(self, output: NDArray[np.floating]) -> pd.DataFrame:
        """Turn a net's output, (n, classes) or (n,), into n rows of `columns`: class names with their probability."""
        values = self.point(output)
        if self.kind != "class":
            return pd.DataFrame({self.name: values})
        names = np.array(self.classes, dtype=object)[values.astype(np.int64)]
        return pd.DataFrame(dict(zip(self.columns, (names, output.max(axis=1)), strict=True)))

    def evaluate(self, y: Floats, output: NDArray[np.floating]) -> dict[str, float]:
        """Compute every metric on the rows with a label; NaN where there is none.

        Parameters
        ----------
        y : ndarray of shape (n,), as `encode` gives it.
        output : of a net, (n, classes) or (n,).
        """
        rows = np.isfinite(y)
        if not rows.any():
            return dict.fromkeys(self.metrics, float("nan"))
        predicted = self.point(output[rows])
        return {name: metric(y[rows], predicted) for name, metric in METRICS[self.kind].items()}

    def to_dict(self) -> dict[str, Any]:
        """Say everything in what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Task":
        """Read what `to_dict` wrote, also after a round trip through JSON.

        Raises
        ------
        TaskError : if a field is missing or unknown, or the kind is.
        """
        try:
            task = cls(**{**fields, "classes": tuple(fields["classes"]), "edges": tuple(fields["edges"])})
        except (KeyError, TypeError) as error:
            raise TaskError(f"expected the fields of a task; found {fields} ({error}).") from None
        _check_kind(task.kind)
        return task


def make_task(
    name: str,
    frame: pd.DataFrame,
    *,
    kind: Kind | None = None,
    age_range: tuple[int, int] = DEFAULT_AGE_RANGE,
    age_groups: AgeGroups = AGE_GROUPS[DEFAULT_AGE_GROUPS],
) -> Task:
    """Make the task of this name for a manifest's frame.

    "age", "gender", "ethnicity" and "age_group" are built in. Any other name is a column, which holds a class if it is
    text or true/false, or has at most `MOST_WHOLE_NUMBERS` distinct values, all whole; else a number.

    Parameters
    ----------
    kind : "class" or "number", to overrule that.
    age_range : of task "age", whole years, both ends included; rows outside it are left out.
    age_groups : the classes of task "age_group".

    Raises
    ------
    TaskError : unknown column, no label that can be used, or only one value to tell apart.
    """
    if name in RESERVED:
        raise TaskError(f'expected a column of labels; found "{name}", a name that tables of scores use themselves.')
    if kind is not None and name in BUILT_IN:
        raise TaskError(f'expected no kind for "{name}", whose kind is built in; found "{kind}".\nLeave it out.')
    task = _built_in(name, age_range, age_groups) if name in BUILT_IN else _further(name, _column(frame, name), kind)
    y, left_out = task.encode(frame)
    values = np.unique(y[np.isfinite(y)])
    if len(values) < 2:
        only = [task.classes[int(value)] if task.kind == "class" else value for value in values]
        found = f"only {only[0]}" if only else "none"
        reasons = "".join(f"; {count} rows: {reason}" for reason, count in left_out.items())
        raise TaskError(
            f'expected two or more different values to learn task "{name}" from column "{task.column}"; '
            f"found {found}{reasons}.\nGive a manifest with such labels, or leave the task out."
        )
    return task


def make_tasks(names: Sequence[str], frame: pd.DataFrame, *, kinds: Mapping[str, Kind], **options: Any) -> list[Task]:
    """Make tasks by name, or those of age and gender that the frame has where none is named; see `make_task`.

    Parameters
    ----------
    kinds : by the name of a task, to overrule how its column is understood.
    options : `age_range` and `age_groups`.
    """
    chosen = names or [name for name in ("age", "gender") if name in frame]
    if not chosen:
        found = ", ".join(map(str, frame.columns))
        raise TaskError(f"expected columns age or gender; found {found}.\nName columns to learn as tasks.")
    unused = set(kinds) - set(chosen)
    if unused:
        raise TaskError(f"expected a kind only for a task; found one for {', '.join(sorted(unused))}.")
    tasks = [make_task(name, frame, kind=kinds.get(name), **options) for name in dict.fromkeys(chosen)]
    columns = Counter(column for task in tasks for column in task.columns)
    twice = [column for column, count in columns.items() if count > 1]
    if twice:
        raise TaskError(f"expected tasks that predict different columns; found {', '.join(twice)} twice. Rename one.")
    return tasks


def _built_in(name: str, age_range: tuple[int, int], age_groups: AgeGroups) -> Task:
    """Make one of the tasks that every manifest may have."""
    if name == "age":
        low, high = age_range
        if not 0 <= low < high:
            raise TaskError(f"expected an age range such as 0 to 100; found {low} to {high}.")
        return Task("age", "age", "age", tuple(range(low, high + 1)))
    if name == "age_group":
        return Task("age_group", "age", "class", age_groups.names, age_groups.edges)
    return Task(name, name, "class", GENDERS if name == "gender" else ETHNICITIES)


def _further(name: str, labels: pd.Series, kind: Kind | None) -> Task:
    """Make a task of any column."""
    kind = kind or ("class" if _holds_classes(labels) else "number")
    _check_kind(kind)
    if kind == "age":
        raise TaskError(
            f'expected "class" or "number" as the kind of "{name}"; found "age", which task "age" alone has.'
        )
    if kind == "number":
        return Task(name, name, "number")
    distinct = labels.dropna().drop_duplicates()
    ordered = distinct.sort_values() if is_numeric_dtype(distinct) else distinct
    words = [str(word) for word in _words(ordered)]
    return Task(name, name, "class", tuple(words if is_numeric_dtype(distinct) else sorted(set(words))))


def _holds_classes(labels: pd.Series) -> bool:
    """Tell classes from numbers, by the rule that `make_task` states."""
    if not is_numeric_dtype(labels) or is_bool_dtype(labels):
        return True
    distinct = _numbers(labels.dropna().drop_duplicates())
    return len(distinct) <= MOST_WHOLE_NUMBERS and bool((distinct == np.floor(distinct)).all())


def _words(labels: pd.Series) -> NDArray[np.object_]:
    """Name each label, None where it is missing; 1 and 1.0 (1 beside a missing value) are one class, "1"."""
    words = [
        None if pd.isna(label) else str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
        for label in labels
    ]
    return np.array(words, dtype=object)


def _numbers(labels: pd.Series) -> Floats:
    """Read labels as float64, NaN where one is missing or not a number."""
    return pd.to_numeric(labels, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _column(frame: pd.DataFrame, column: str) -> pd.Series:
    """Find a column."""
    if column not in frame:
        raise TaskError(
            f'expected a column "{column}"; found {", ".join(map(str, frame.columns))}.\n'
            f"Name one of these, or add the column to the manifest. Built-in tasks: {', '.join(BUILT_IN)}."
        )
    return frame[column]


def _check_kind(kind: str) -> None:
    """Refuse a kind that there is not."""
    if kind not in get_args(Kind):
        raise TaskError(f'expected one of {", ".join(get_args(Kind))} as the kind of a task; found "{kind}".')
