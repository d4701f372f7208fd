"""Dense heads in Keras 3: one net per task, or one trunk for all tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from heads.base import Fold, fold_weights, pad_weight, stack_validation
from heads.estimator import OneTaskHead, clones_of, fitted_net
from heads.net import Net
from heads.recipe import Recipe
from heads.stack import Labelled, train_stack
from heads.tasks import Floats, Task

DEFAULT = Recipe()


class DenseHead(OneTaskHead):
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

    def _fit_all(
        self, heads: Sequence["DenseHead"], X: NDArray[Any], y: Floats, folds: Sequence[Fold], weights: Floats
    ) -> None:
        _train(heads, Labelled(X, (self.task,), {self.task.name: y}), folds, weights)


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
        return fitted_net(self).n_features

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
        weights = fold_weights(pad_weight(sample_weight, len(rows)), 1, len(rows))
        _train([self], Labelled(rows, self.tasks, labels), [fold], weights)
        return self

    def fit_folds(
        self,
        X: NDArray[Any],
        y: Mapping[str, ArrayLike],
        folds: Sequence[Fold],
        *,
        seeds: Sequence[int] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> list["SharedDenseHead"]:
        """Fit one clone per fold and seed, all at once; y is a dict of task name to labels of all rows, (n,)."""
        data = Labelled(X, self.tasks, {task.name: np.asarray(y[task.name], dtype=np.float64) for task in self.tasks})
        heads = clones_of(self, seeds, len(folds))
        _train(heads, data, folds, fold_weights(sample_weight, len(folds), len(X)))
        return heads

    def predict(self, X: NDArray[Any]) -> dict[str, Floats]:
        """Predict all tasks: rows (n, ...) to a dict of task name to values as in y, (n,), float64."""
        outputs = fitted_net(self).predict(X)
        return {task.name: task.point(outputs[task.name]) for task in self.tasks}

    def predict_proba(self, X: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Predict the classes of all tasks that have some: a dict of task name to (n, classes), float32."""
        outputs = fitted_net(self).predict(X)
        return {name: output for name, output in outputs.items() if output.ndim == 2}


def _train(
    heads: Sequence[DenseHead | SharedDenseHead], data: Labelled, folds: Sequence[Fold], weights: Floats
) -> None:
    """Train the head of each fold in place."""
    trained = train_stack(data, folds, weights, recipe=heads[0].recipe, seeds=[head.seed for head in heads])
    for head, (net, history, seconds) in zip(heads, trained, strict=True):
        head.net_, head.history_, head.seconds_ = net, history, seconds
