"""What heads share that scikit-learn fits: candidates for each fold, the best of them on its validation rows."""

import contextlib
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from heads.base import (
    Fold,
    check_rows,
    fold_seeds,
    fold_weights,
    pad_weight,
    stack_validation,
    validation_loss,
)
from heads.estimator import OneTaskHead
from heads.net import Predictor
from heads.tasks import Floats, Task

AnyHead = TypeVar("AnyHead", bound="FoldwiseHead")


class Examples(NamedTuple):
    """Rows X (n, ...) as they are stored, labels y (n,) without NaN, and weights (n,)."""

    X: NDArray[Any]
    y: Floats
    weight: Floats


class FoldwiseHead(OneTaskHead, ABC):
    """A head for one task; subclasses say in `_candidates` what there is to choose from."""

    net_: Predictor
    seconds_: float

    def __init__(self, task: Task, *, seed: int = 0) -> None:
        """Store. The seed is of all that is random, such as the principal components that wide rows are reduced to."""
        self.task = task
        self.seed = seed

    def fit(
        self: AnyHead,
        X: NDArray[Any],
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        X_valid: NDArray[Any] | None = None,
        y_valid: ArrayLike | None = None,
    ) -> AnyHead:
        """Learn from rows (n, ...) and labels (n,), NaN where one is missing; choose by the validation rows.

        Raises
        ------
        HeadError : without validation rows, or without labels.
        """
        name = self.task.name
        rows, labels, fold = stack_validation(X, {name: y}, X_valid, None if y_valid is None else {name: y_valid})
        weight = fold_weights(pad_weight(sample_weight, len(rows)), 1, len(rows))[0]
        with _small_fits():
            return self._fit(rows, labels[name], fold, weight)

    def fit_folds(
        self: AnyHead,
        X: NDArray[Any],
        y: ArrayLike,
        folds: Sequence[Fold],
        *,
        seeds: Sequence[int] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> list[AnyHead]:
        """Fit one clone per fold; see `Head.fit_folds`."""
        labels, weights = np.asarray(y, dtype=np.float64), fold_weights(sample_weight, len(folds), len(X))
        heads = [clone(self).set_params(seed=seed) for seed in fold_seeds(seeds, self.seed, len(folds))]
        with _small_fits():
            return Parallel(n_jobs=-1, prefer="threads")(
                delayed(head._fit)(X, labels, fold, weight)
                for head, fold, weight in zip(heads, folds, weights, strict=True)
            )

    def _fit(self: AnyHead, X: NDArray[Any], y: Floats, fold: Fold, weight: Floats) -> AnyHead:
        """Fit on the training rows of a fold."""
        started = time.perf_counter()
        train, valid = check_rows(X, {self.task.name: y}, fold[:2], weight)
        examples = Examples(X[train], y[train], weight[train])
        candidates = self._candidates(examples, Examples(X[valid], y[valid], weight[valid]))
        self.net_ = min(candidates, key=lambda net: validation_loss(self.task, net, X[valid], y[valid]))
        self.seconds_ = time.perf_counter() - started
        return self

    @abstractmethod
    def _candidates(self, train: Examples, valid: Examples) -> Sequence[Predictor]:
        """Fit what there is to choose from on the training rows; the validation rows may calibrate it."""


@contextlib.contextmanager
def _small_fits() -> Iterator[None]:
    """Fit with one BLAS thread each, as more would mostly wait for each other, and stop early without a warning.

    Entered around the threads, not in them: both settings are the whole process's.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes")  # ages are classes here, on purpose
        yield
