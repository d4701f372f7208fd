"""Heads of scikit-learn's own kind, to compare with: SVM, k-nearest neighbours, and any estimator by import path.

They have no NumPy net and cannot go into bundles: SVMs and neighbours would carry embeddings of the people they were
trained on, and the rest could only be stored as code.
"""

import importlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR
from sklearn.utils.validation import has_fit_parameter

from heads.foldwise import Examples, FoldwiseHead
from heads.inputs import Projection, learn_projection
from heads.net import Floats, HeadError
from heads.tasks import Kind, Task

SVM_CS = (1.0, 3.0)  # with gamma 1 / features; of regressions in deviations of the labels
SVM_EPSILON = 0.05  # errors that cost nothing, deviations of the labels: about a year
NEIGHBOURS = (5, 10, 20, 40)


@dataclass(frozen=True, eq=False)
class Peer:
    """A fitted estimator that predicts as a `Net` does: rows are standardised first, classes get probabilities."""

    task: Task
    projection: Projection
    model: Any
    n_features: int

    n_bytes = 0  # it is never stored

    def has_classes(self, task: str) -> bool:
        """Whether `predict` gives probabilities: regressions of ages give the age itself."""
        return self.task.kind == "class"

    def predict(self, X: NDArray[Any]) -> dict[str, Floats]:
        """Predict rows (n, ...): probabilities (n, classes) or numbers (n,), float32, under the task's name."""
        Z = self.projection(X)
        if self.task.kind != "class":
            return {self.task.name: self.model.predict(Z).astype(np.float32)}
        proba = np.zeros((len(Z), self.task.n_outputs), dtype=np.float32)
        proba[:, self.model.classes_.astype(np.int64)] = self.model.predict_proba(Z)
        return {self.task.name: proba}


class PeerHead(FoldwiseHead):
    """Estimators fitted on standardised rows, wide ones by way of principal components."""

    def _candidates(self, train: Examples, valid: Examples) -> Sequence[Peer]:
        """Fit each estimator; one that gives no probabilities gets them by Platt scaling on the validation rows."""
        projection = learn_projection(train.X, seed=self.seed)
        Z, features = projection(train.X), int(np.prod(train.X.shape[1:]))
        peers = []
        for model in self._estimators(train.y):
            model.fit(Z, train.y, **self._weight(model, train.weight))
            if self.task.kind == "class" and not hasattr(model, "predict_proba"):
                model = self._with_probabilities(model, projection(valid.X), valid.y)
            peers.append(Peer(self.task, projection, model, features))
        return peers

    def _with_probabilities(self, model: Any, Z: Floats, y: NDArray[np.float64]) -> Any:
        """Platt scaling on validation rows."""
        missing = set(model.classes_) - set(y)
        try:
            return CalibratedClassifierCV(FrozenEstimator(model)).fit(Z, y)
        except (ValueError, IndexError):
            of = f"none of {len(missing)} of them" if missing else "too few of some"
            raise HeadError(
                f"expected validation rows of every class, to give {type(model).__name__} probabilities; found {of}.\n"
                "Give more rows or fewer folds, or leave the head out."
            ) from None

    def _weight(self, model: Any, weight: NDArray[np.float64]) -> dict[str, Any]:
        """What `fit` is given beside the rows; nothing where all of them count alike."""
        if (weight == weight[0]).all():
            return {}
        if not has_fit_parameter(model, "sample_weight"):
            raise HeadError(f"expected no weights, of which {type(model).__name__} knows nothing; found some.")
        return {"sample_weight": weight}

    @abstractmethod
    def _estimators(self, y: NDArray[np.float64]) -> Sequence[Any]:
        """Make what there is to choose from for labels y."""


class SVMHead(PeerHead):
    """Support vectors with a Gaussian kernel; C is chosen on the validation rows."""

    def _estimators(self, y: NDArray[np.float64]) -> Sequence[Any]:
        """One per C."""
        if self.task.kind == "class":
            return [SVC(C=C, cache_size=500) for C in SVM_CS]
        unit = float(y.std()) or 1.0
        return [SVR(C=C * unit, epsilon=SVM_EPSILON * unit, cache_size=500) for C in SVM_CS]


class NeighboursHead(PeerHead):
    """k-nearest neighbours, near ones counting more; k is chosen on the validation rows."""

    def _estimators(self, y: NDArray[np.float64]) -> Sequence[Any]:
        """One per k."""
        kind = KNeighborsClassifier if self.task.kind == "class" else KNeighborsRegressor
        return [kind(min(k, len(y)), weights="distance") for k in NEIGHBOURS]


class EstimatorHead(PeerHead):
    """Any scikit-learn classifier or regressor.

    Parameters
    ----------
    task, seed : as of `FoldwiseHead`; the seed is the estimator's random_state, if it has one.
    path : where its class is, such as "sklearn.ensemble.ExtraTreesRegressor".
    settings : its arguments.
    """

    def __init__(self, task: Task, *, path: str, settings: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        """Store."""
        super().__init__(task, seed=seed)
        self.path = path
        self.settings = settings

    def _estimators(self, y: NDArray[np.float64]) -> Sequence[Any]:
        """Make the one."""
        model = make_estimator(self.path, self.settings or {})
        return [model.set_params(random_state=self.seed) if "random_state" in model.get_params() else model]


def make_estimator(path: str, settings: Mapping[str, Any]) -> Any:
    """Make a scikit-learn estimator by its import path.

    Raises
    ------
    HeadError : nothing there, not an estimator, or arguments that it does not take.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise HeadError(f"expected the import path of a scikit-learn estimator; found {path} ({error}).") from None
    if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise HeadError(f"expected a scikit-learn estimator; found {path}, which is none.")
    try:
        return found(**settings)
    except TypeError as error:
        raise HeadError(f"expected settings that {path} takes; found {', '.join(settings)} ({error}).") from None


def kinds_of(path: str, settings: Mapping[str, Any]) -> tuple[Kind, ...]:
    """The kinds of tasks that an estimator can learn. Raises HeadError as `make_estimator`, or if there is none."""
    model = make_estimator(path, settings)
    if is_classifier(model):
        return ("class",)
    if is_regressor(model):
        return ("age", "number")
    raise HeadError(f"expected a classifier or a regressor; found {path}, which is neither.")
