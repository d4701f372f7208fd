"""What heads share that scikit-learn fits: candidates for each fold, the best of them on its validation rows."""

import contextlib
import time
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from heads.base import Fold, check_rows, validation_loss
from heads.estimator import OneTaskHead
from heads.net import Predictor
from heads.tasks import Floats, Task

AnyHead = TypeVar("AnyHead", bound="FoldwiseHead")


class Examples(NamedTuple):
    """Rows X (n, ...) as they are stored, labels y (n,) without NaN, and weights (n,)."""

    X: NDArray[Any]
    y: Floats
    weight: Floats


class FoldwiseHead(OneTaskHead):
    """A head for one task; subclasses say in `_candidates` what there is to choose from."""

    def __init__(self, task: Task, *, seed: int = 0) -> None:
        """Store. The seed is of all that is random, such as the principal components that wide rows are reduced to."""
        self.task = task
        self.seed = seed

    def _fit_all(
        self: AnyHead, heads: Sequence[AnyHead], X: NDArray[Any], y: Floats, folds: Sequence[Fold], weights: Floats
    ) -> None:
        with _small_fits():
            Parallel(n_jobs=-1, prefer="threads")(
                delayed(head._fit)(X, y, fold, weight) for head, fold, weight in zip(heads, folds, weights, strict=True)
            )

    def _fit(self, X: NDArray[Any], y: Floats, fold: Fold, weight: Floats) -> None:
        """Fit on the training rows of a fold."""
        started = time.perf_counter()
        train, valid = check_rows(X, {self.task.name: y}, fold[:2], weight)
        examples = Examples(X[train], y[train], weight[train])
        candidates = self._candidates(examples, Examples(X[valid], y[valid], weight[valid]))
        self.net_ = min(candidates, key=lambda net: validation_loss(self.task, net, X[valid], y[valid]))
        self.seconds_ = time.perf_counter() - started

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
