"""Dense heads in Keras 3: one net per task, or one trunk for all tasks."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone

from heads.base import Fold, OneTaskHead, stack_validation
from heads.net import Net
from heads.stack import Labelled, Recipe, train_stack
from heads.tasks import Floats, Task

DEFAULT = Recipe()


class DenseHead(OneTaskHead, BaseEstimator):
    """A dense net for one task.

    Rows of any shape are flattened and standardised by the training rows; wider than 1,024 numbers (pixels), they are
    first reduced to 512 principal components of the training rows. Ages: softmax over whole years trained on a label
    distribution, decoded as the expected value. Classes: cross-entropy. Numbers: squared error, standardised.

    Parameters
    ----------
    task : what to learn.
    recipe : how.
    seed : of all that is random; the same seed gives the same weights on the same machine.

    Attributes
    ----------
    net_ : the fitted net.
    history_ : arrays of shape (rounds, members): train_loss, valid_loss, and the task's first metric on the
        validation rows under its name, such as "age mae".
    seconds_ : of training; of heads fitted together, each one's share.
    """

    net_: Net
    history_: dict[str, Floats]
    seconds_: float

    def __init__(self, task: Task, *, recipe: Recipe = DEFAULT, seed: int = 0) -> None:
        """Store."""
        self.task = task
        self.recipe = recipe
        self.seed = seed

    def fit(
        self,
        X: NDArray[Any],
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        X_valid: NDArray[Any] | None = None,
        y_valid: ArrayLike | None = None,
    ) -> "DenseHead":
        """Train on rows (n, ...) and labels (n,), NaN where one is missing; stop early by the validation rows.

        Raises
        ------
        HeadError : without validation rows, or without labels.
        """
        valid = None if y_valid is None else {self.task.name: y_valid}
        rows, labels, fold = stack_validation(X, {self.task.name: y}, X_valid, valid)
        weight = _pad_weight(sample_weight, len(rows))
        return _fit_folds([self], (self.task,), rows, labels, [fold], weight)[0]

    def fit_folds(
        self, X: NDArray[Any], y: ArrayLike, folds: Sequence[Fold], *, sample_weight: ArrayLike | None = None
    ) -> list["DenseHead"]:
        """Fit one clone per fold, all at once; y and weights are of all rows, (n,)."""
        labels = {self.task.name: np.asarray(y, dtype=np.float64)}
        return _fit_folds([clone(self) for _ in folds], (self.task,), X, labels, folds, sample_weight)


class SharedDenseHead(BaseEstimator):
    """One dense net with an output per task; otherwise as `DenseHead`.

    A row is used for the tasks it has a label of. The losses of the tasks are added.

    Parameters
    ----------
    tasks : what to learn.
    recipe, seed : as of `DenseHead`.
    """

    net_: Net
    history_: dict[str, Floats]
    seconds_: float

    def __init__(self, tasks: tuple[Task, ...], *, recipe: Recipe = DEFAULT, seed: int = 0) -> None:
        """Store."""
        self.tasks = tasks
        self.recipe = recipe
        self.seed = seed

    @property
    def n_features_in_(self) -> int:
        """Numbers per row."""
        return self.net_.n_features

    def fit(
        self,
        X: NDArray[Any],
        y: Mapping[str, ArrayLike],
        *,
        sample_weight: ArrayLike | None = None,
        X_valid: NDArray[Any] | None = None,
        y_valid: Mapping[str, ArrayLike] | None = None,
    ) -> "SharedDenseHead":
        """Train on rows (n, ...) and a dict of task name to labels (n,), as `DenseHead.fit`."""
        rows, labels, fold = stack_validation(X, y, X_valid, y_valid)
        return _fit_folds([self], self.tasks, rows, labels, [fold], _pad_weight(sample_weight, len(rows)))[0]

    def fit_folds(
        self,
        X: NDArray[Any],
        y: Mapping[str, ArrayLike],
        folds: Sequence[Fold],
        *,
        sample_weight: ArrayLike | None = None,
    ) -> list["SharedDenseHead"]:
        """Fit one clone per fold, all at once; y is a dict of task name to labels of all rows, (n,)."""
        labels = {name: np.asarray(each, dtype=np.float64) for name, each in y.items()}
        return _fit_folds([clone(self) for _ in folds], self.tasks, X, labels, folds, sample_weight)

    def predict(self, X: NDArray[Any]) -> dict[str, Floats]:
        """Predict all tasks: rows (n, ...) to a dict of task name to values as in y, (n,), float64."""
        outputs = self.net_.predict(X)
        return {task.name: task.point(outputs[task.name]) for task in self.tasks}

    def predict_proba(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Predict the classes of all tasks that have some: a dict of task name to (n, classes), float32."""
        outputs = self.net_.predict(X)
        return {task.name: outputs[task.name] for task in self.tasks if task.kind != "number"}


AnyDense = TypeVar("AnyDense", DenseHead, SharedDenseHead)


def _fit_folds(
    heads: list[AnyDense],
    tasks: tuple[Task, ...],
    X: NDArray[Any],
    labels: Mapping[str, Floats],
    folds: Sequence[Fold],
    sample_weight: ArrayLike | None,
) -> list[AnyDense]:
    """Train the head of each fold in place."""
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    data = Labelled(X, tuple(tasks), {task.name: labels[task.name] for task in tasks}, weight)
    trained = train_stack(data, folds, recipe=heads[0].recipe, seed=heads[0].seed)
    for head, (net, history, seconds) in zip(heads, trained, strict=True):
        head.net_, head.history_, head.seconds_ = net, history, seconds
    return heads


def _pad_weight(sample_weight: ArrayLike | None, n: int) -> Floats | None:
    """Give the validation rows, which follow the training rows, the weight 1."""
    if sample_weight is None:
        return None
    given = np.asarray(sample_weight, dtype=np.float64)
    return np.concatenate([given, np.ones(n - len(given))])
