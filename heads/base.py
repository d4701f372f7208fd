"""What all heads share: the registry, names with settings, and the checks of `fit`."""

import ast
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heads.metrics import mae
from heads.net import HeadError, Predictor
from heads.recipe import SETTINGS, Recipe, read_setting
from heads.tasks import Floats, Kind, Task

Rows = NDArray[np.int64]
Fold = tuple[Rows, Rows, Rows]  # positions of the rows that train, validate and test


class Head(Protocol):
    """What trains on rows X (n, ...) and labels y as `Task.encode` gives them: (n,), or a dict of task to (n,)."""

    net_: Predictor
    seconds_: float

    def fit(
        self,
        X: NDArray[Any],
        y: Any,
        *,
        sample_weight: ArrayLike | None = None,
        X_valid: NDArray[Any] | None = None,
        y_valid: Any = None,
    ) -> "Head":
        """Learn from the rows with a label; choose and stop early by the validation rows alone."""

    def fit_folds(
        self,
        X: NDArray[Any],
        y: Any,
        folds: Sequence[Fold],
        *,
        seeds: Sequence[int] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> list[Any]:
        """Fit one clone of this head per fold, on its training rows; its test rows are not looked at.

        Parameters
        ----------
        seeds : one per fold, in place of the head's own; a fold may be there again with another seed.
        sample_weight : of all rows, (n,), or of all rows for each fold, (folds, n); rows of weight 0 do not train.
        """

    def predict(self, X: NDArray[Any]) -> Any:
        """Predict values as in y."""


@dataclass(frozen=True)
class HeadRow:
    """One kind of head.

    Attributes
    ----------
    module, name : where its class is; loaded when a head is made.
    kinds : the kinds of tasks it can learn.
    shared : whether one head learns all tasks; else it learns one.
    about : one line for a table.
    drawn : whether a seed changes it: on rows of at most `heads.inputs.WIDEST` numbers, that is.
    bundled : whether it ends as a `Net` of one shape for all folds, which a bundle can hold.
    settings : what can be set after its name, with the type; of dense heads the fields of `Recipe`.
    """

    module: str
    name: str
    kinds: tuple[Kind, ...]
    shared: bool
    about: str
    drawn: bool = True
    bundled: bool = True
    settings: Mapping[str, type] = field(default_factory=dict)


_ALL: tuple[Kind, ...] = ("age", "class", "number")
HEADS: Mapping[str, HeadRow] = {
    "dense": HeadRow("heads.dense", "DenseHead", _ALL, False, "dense net, one per task", settings=SETTINGS),
    "shared": HeadRow("heads.dense", "SharedDenseHead", _ALL, True, "one trunk for all tasks", settings=SETTINGS),
    "searched": HeadRow(
        *("heads.search", "SearchedHead", _ALL, False, "dense net with the best settings found"),
        bundled=False,  # found settings are typed after "dense:" to train a bundle with them
        settings={"seconds": float, "trials": int},
    ),
    "linear": HeadRow(
        *("heads.linear", "LinearHead", _ALL, False, "softmax or logistic regression; ridge for numbers"), drawn=False
    ),
    "ridge": HeadRow("heads.linear", "RidgeHead", ("age", "number"), False, "ridge regression", drawn=False),
    "svm": HeadRow(
        *("heads.peers", "SVMHead", _ALL, False, "support vectors, Gaussian kernel"), drawn=False, bundled=False
    ),
    "knn": HeadRow(*("heads.peers", "NeighboursHead", _ALL, False, "k-nearest neighbours"), drawn=False, bundled=False),
    "dummy": HeadRow(
        *("heads.linear", "DummyHead", _ALL, False, "median, or class frequencies, of the training rows"), drawn=False
    ),
}


def head_row(name: str) -> HeadRow:
    """Look a head up by its name, with its settings if it has any; see `parse_head`."""
    return parse_head(name)[0]


def parse_head(text: str) -> tuple[HeadRow, dict[str, Any]]:
    """Read a head as it is typed: a name of `HEADS` or a scikit-learn estimator's import path, and settings.

    "dense:loss=coral,hidden=512x256" has settings of `Recipe`; "sklearn.svm.LinearSVR:C=0.1" has arguments of the
    estimator, which are Python literals or else text.

    Returns
    -------
    row : the kind of head.
    arguments : of its class, beside task and seed.

    Raises
    ------
    HeadError : an unknown name or setting, with those known, or a value that a setting cannot have.
    """
    name, _, listed = text.partition(":")
    words = [word.partition("=") for word in listed.split(",")] if listed else []
    if not all(key and equals for key, equals, _ in words):
        raise HeadError(f'expected a head such as dense, or dense:loss=l1,dropout=0.3; found "{text}".')
    settings = {key: value for key, _, value in words}
    if "." in name:
        from heads.peers import kinds_of

        given = {key: _literal(value) for key, value in settings.items()}
        row = HeadRow("heads.peers", "EstimatorHead", kinds_of(name, given), False, name, bundled=False)
        return row, {"path": name, "settings": given}
    if name not in HEADS:
        known = ", ".join(HEADS)
        raise HeadError(f'expected a head out of {known}, or a scikit-learn estimator\'s path; found "{name}".')
    row = HEADS[name]
    unknown = [key for key in settings if key not in row.settings]
    if unknown:
        known = f"settings out of {', '.join(row.settings)}" if row.settings else "no settings"
        raise HeadError(f'expected {known} for head "{name}"; found {", ".join(unknown)}.')
    values = {key: read_setting(key, value, row.settings[key]) for key, value in settings.items()}
    return row, {"recipe": Recipe(**values)} if values and row.settings is SETTINGS else values


def _literal(text: str) -> Any:
    """Read a number, True, None and the like; anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def make_head(name: str, tasks: Sequence[Task], *, seed: int = 0) -> Head:
    """Make an unfitted head for these tasks, exactly one unless the head is shared; the name as of `parse_head`.

    Raises
    ------
    HeadError : unknown head or setting, or a head that cannot learn these tasks.
    """
    row, arguments = parse_head(name)
    unfit = [task.name for task in tasks if task.kind not in row.kinds]
    if unfit:
        raise HeadError(f'head "{name}" learns {" and ".join(row.kinds)}; found task {", ".join(unfit)}.')
    if not row.shared and len(tasks) != 1:
        raise HeadError(f'head "{name}" learns one task; found {len(tasks)}.\nMake one head for each.')
    head_class = getattr(importlib.import_module(row.module), row.name)
    head: Head = head_class(tuple(tasks) if row.shared else tasks[0], seed=seed, **arguments)
    return head


def check_rows(
    X: NDArray[Any], labels: Mapping[str, Floats], fold: tuple[Rows, Rows], weight: Floats
) -> tuple[Rows, Rows]:
    """Return the training and validation rows of a fold that have a label; training rows of weight 0 are left out.

    Raises
    ------
    HeadError : if X and y differ in length, X is not finite, or there is no training or no validation row with a label.
    """
    for name, y in labels.items():
        if len(y) != len(X):
            raise HeadError(f'expected one label of "{name}" per row, {len(X)}; found {len(y)}.')
    labelled = np.any([np.isfinite(y) for y in labels.values()], axis=0)
    train, valid = (rows[labelled[rows]] for rows in fold)
    train = train[weight[train] > 0]
    for role, rows, further in (("training", train, " and a weight above zero"), ("validation", valid, "")):
        if not len(rows):
            raise HeadError(
                f"expected {role} rows with a label of {' or '.join(labels)}{further}; found none.\n"
                "Give more rows, or leave the task out."
            )
    if X.dtype.kind == "f" and not np.isfinite(X[np.concatenate([train, valid])]).all():
        raise HeadError("expected finite embeddings; found NaN or infinity.\nExtract them again.")
    return train, valid


def fold_weights(sample_weight: ArrayLike | None, n_folds: int, n: int) -> Floats:
    """Lay out weights given once for all folds, (n,), for each fold, (n_folds, n), or not at all, as (n_folds, n).

    Raises
    ------
    HeadError : another shape, or a weight below 0 or not finite.
    """
    if sample_weight is None:
        return np.ones((n_folds, n))
    given = np.asarray(sample_weight, dtype=np.float64)
    if given.shape not in ((n,), (n_folds, n)):
        raise HeadError(f"expected weights of shape ({n},) or ({n_folds}, {n}); found {given.shape}.")
    if not (np.isfinite(given) & (given >= 0)).all():
        raise HeadError("expected finite weights of 0 or more; found others.")
    return np.broadcast_to(given, (n_folds, n))


def fold_seeds(seeds: Sequence[int] | None, own: int, n_folds: int) -> list[int]:
    """One seed per fold: those given, or a head's own for all. Raises HeadError for another number of them."""
    if seeds is None:
        return [own] * n_folds
    if len(seeds) != n_folds:
        raise HeadError(f"expected one seed per fold, {n_folds}; found {len(seeds)}.")
    return list(seeds)


def stack_validation(
    X: NDArray[Any], y: Mapping[str, ArrayLike], X_valid: NDArray[Any] | None, y_valid: Mapping[str, ArrayLike] | None
) -> tuple[NDArray[Any], dict[str, Floats], Fold]:
    """Append validation rows to training rows and say which is which.

    Raises
    ------
    HeadError : without validation rows: a head never takes them from the training rows, where copies of them may be.
    """
    if X_valid is None or y_valid is None:
        raise HeadError(
            "expected X_valid and y_valid; found none.\n"
            "Give validation rows that share no group with the training rows."
        )
    labels = {name: np.concatenate([np.asarray(y[name], float), np.asarray(y_valid[name], float)]) for name in y}
    rows = np.arange(len(X) + len(X_valid))
    return np.concatenate([X, X_valid]), labels, (rows[: len(X)], rows[len(X) :], rows[:0])


def validation_loss(task: Task, net: Predictor, X: NDArray[Any], y: Floats) -> float:
    """Judge what a head predicts with, on labelled rows: log-loss over classes, or mean absolute error."""
    output = net.predict(X)[task.name]
    if task.kind == "class":
        return float(-np.log(np.maximum(output[np.arange(len(y)), y.astype(np.int64)], 1e-12)).mean())
    return mae(y, task.point(output))


def pad_weight(sample_weight: ArrayLike | None, n: int) -> Floats | None:
    """Give the validation rows, which `stack_validation` puts after the training rows, the weight 1: (n,) in all."""
    if sample_weight is None:
        return None
    given = np.asarray(sample_weight, dtype=np.float64)
    return np.concatenate([given, np.ones(n - len(given))])
