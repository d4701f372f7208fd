"""What heads of one task share as scikit-learn estimators: prediction by what `fit` made."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from heads.net import Predictor
from heads.tasks import Floats, Task


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


class OneTaskHead(BaseEstimator):
    """Prediction of a fitted head that has `task` and `net_`."""

    task: Task
    net_: Predictor

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
