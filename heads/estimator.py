"""What heads of one task share as scikit-learn estimators: `fit` alone or by folds, and prediction by what it made."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from heads.base import Fold, fold_seeds, fold_weights, pad_weight, stack_validation
from heads.net import Predictor
from heads.tasks import Floats, Task

AnyHead = TypeVar("AnyHead", bound="OneTaskHead")
AnyEstimator = TypeVar("AnyEstimator", bound=BaseEstimator)


def fitted_net(head: Any) -> Predictor:
    """What a head predicts with. Raises scikit-learn's NotFittedError before `fit`."""
    check_is_fitted(head, "net_")
    net: Predictor = head.net_
    return net


def _gives_classes(head: "OneTaskHead") -> bool:
    """Refuse to speak of the classes of a regression; an unfitted head of ages may yet have some."""
    if head.net_.has_classes(head.task.name) if hasattr(head, "net_") else head.task.kind != "number":
        return True
    raise AttributeError(f'the output for task "{head.task.name}" is a number and has no classes')


def clones_of(head: AnyEstimator, seeds: Sequence[int] | None, n_folds: int) -> list[AnyEstimator]:
    """An unfitted head per fold, with the seeds given or all with its own."""
    own = fold_seeds(seeds, head.get_params(deep=False)["seed"], n_folds)
    return [clone(head).set_params(seed=seed) for seed in own]


class OneTaskHead(BaseEstimator, ABC):
    """A head with a `task` and a `seed`; subclasses say in `_fit_all` how it learns."""

    task: Task
    seed: int
    net_: Predictor
    seconds_: float

    def fit(
        self: AnyHead,
        X: NDArray[Any],
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        X_valid: NDArray[Any] | None = None,
        y_valid: ArrayLike | None = None,
    ) -> AnyHead:
        """Learn from rows (n, ...) and labels (n,), NaN where one is missing; choose and stop by the validation rows.

        Raises
        ------
        HeadError : without validation rows, or without labels.
        """
        name = self.task.name
        rows, labels, fold = stack_validation(X, {name: y}, X_valid, None if y_valid is None else {name: y_valid})
        self._fit_all(
            [self], rows, labels[name], [fold], fold_weights(pad_weight(sample_weight, len(rows)), 1, len(rows))
        )
        return self

    def fit_folds(
        self: AnyHead,
        X: NDArray[Any],
        y: ArrayLike,
        folds: Sequence[Fold],
        *,
        seeds: Sequence[int] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> list[AnyHead]:
        """Fit one clone per fold and seed; see `Head.fit_folds`."""
        heads = clones_of(self, seeds, len(folds))
        weights = fold_weights(sample_weight, len(folds), len(X))
        self._fit_all(heads, X, np.asarray(y, dtype=np.float64), folds, weights)
        return heads

    @abstractmethod
    def _fit_all(
        self: AnyHead, heads: Sequence[AnyHead], X: NDArray[Any], y: Floats, folds: Sequence[Fold], weights: Floats
    ) -> None:
        """Fit a head for each fold in place, on rows (n, ...), labels (n,) and weights (folds, n)."""

    @property
    def n_features_in_(self) -> int:
        """Numbers per row."""
        return fitted_net(self).n_features

    @property
    def classes_(self) -> Floats:
        """Values of y that the columns of `predict_proba` stand for; their names are `task.classes`."""
        _gives_classes(self)
        return np.array(self.task.classes if self.task.kind == "age" else range(self.task.n_outputs), dtype=np.float64)

    def predict(self, X: NDArray[Any]) -> Floats:
        """Predict years (expected value), class positions, or numbers: rows (n, ...) to (n,), float64."""
        return self.task.point(fitted_net(self).predict(X)[self.task.name])

    @available_if(_gives_classes)
    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float32]:
        """Predict the probability of each class: rows (n, ...) to (n, classes), float32. Not of regressions."""
        return self.net_.predict(X)[self.task.name]
