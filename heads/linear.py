"""Linear probes in scikit-learn, and dummies: the floor that every other head must beat."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from heads.foldwise import Examples, FoldwiseHead
from heads.inputs import learn_projection
from heads.net import HeadError, Layer, Net
from heads.tasks import Floats

Floats32 = NDArray[np.float32]
Affine = tuple[Floats32, Floats32]  # a kernel (1, d, out) and a bias (1, out)

RIDGE_ALPHAS = (1.0, 10.0, 100.0, 1000.0)
CLASS_CS = (0.003, 0.03, 0.3)
AGE_CS = (0.3,)  # the slowest of all by far; on validation rows of UTKFace 0.1 and 1 give 0.1 to 0.2 years more
AGE_ITERATIONS = 100  # as early stopping: validation MAE on UTKFace is 5.00 after 30, 4.92 after 120, then rises
CLASS_ITERATIONS = 100
_NEVER = -1e4  # the logit of a class without training rows; its probability underflows to 0


class _Probe(FoldwiseHead):
    """A head that is one linear layer. Subclasses say in `_learn` how it is found."""

    def _candidates(self, train: Examples, valid: Examples) -> Sequence[Net]:
        """Make nets of one layer."""
        layers = self._learn(train.X, train.y, train.weight)
        return [Net((), {self.task.name: Layer(*each, self._activation)}) for each in layers]

    @abstractmethod
    def _learn(self, X: NDArray[Any], y: Floats, weight: Floats) -> list[Affine]:
        """Fit layers to choose from on rows as they are stored, (n, ...), with their kernels (1, features, out)."""

    @property
    def _activation(self) -> str:
        """Activation of the one layer."""
        return "linear" if self.task.kind == "number" else "softmax"


class LinearHead(_Probe):
    """Multinomial logistic regression; for ages a softmax over whole years, decoded as the expected value.

    Numbers get ridge regression. The strength of the penalty is chosen on the validation rows.
    """

    def _learn(self, X: NDArray[Any], y: Floats, weight: Floats) -> list[Affine]:
        """Fit one layer per strength."""
        if self.task.kind == "number":
            return _ridges(X, y, weight, seed=self.seed)
        by_age = self.task.kind == "age"
        positions = (self._nearest_years(y) if by_age else y).astype(np.int64)
        iterations = AGE_ITERATIONS if by_age else CLASS_ITERATIONS
        projection = learn_projection(X, seed=self.seed)
        Z = projection(X)
        return [
            projection.fold(*_logistic(Z, positions, weight, C=C, iterations=iterations, n_classes=self.task.n_outputs))
            for C in (AGE_CS if by_age else CLASS_CS)
        ]

    def _nearest_years(self, y: Floats) -> Floats:
        """Positions of the whole years nearest to ages: rounding down would teach half a year too little."""
        lowest, highest = int(self.task.classes[0]), int(self.task.classes[-1])
        return np.clip(np.rint(y), lowest, highest) - lowest


class RidgeHead(_Probe):
    """Ridge regression of an age or another number; its strength is chosen on the validation rows."""

    _activation = "linear"

    def _learn(self, X: NDArray[Any], y: Floats, weight: Floats) -> list[Affine]:
        """Fit one layer per strength."""
        return _ridges(X, y, weight, seed=self.seed)


class DummyHead(_Probe):
    """The median of an age or number, or the frequencies of the classes, whatever the row."""

    def _learn(self, X: NDArray[Any], y: Floats, weight: Floats) -> list[Affine]:
        """Fit a bias alone; the rows are not looked at."""
        kernel = np.zeros((1, int(np.prod(X.shape[1:])), self.task.n_outputs), dtype=np.float32)
        if self.task.kind == "number":
            return [(kernel, np.full((1, 1), np.median(y), dtype=np.float32))]
        if self.task.kind == "age":  # a median between two years is shared out, so that its expected value is right
            ages = np.array(self.task.classes)
            shares = np.maximum(1 - np.abs(ages - np.clip(np.median(y), ages[0], ages[-1])), 0)
        else:
            shares = np.bincount(y.astype(np.int64), weights=weight, minlength=self.task.n_outputs) / weight.sum()
        bias = np.where(shares > 0, np.log(np.maximum(shares, 1e-30)), _NEVER)
        return [(kernel, bias[None].astype(np.float32))]


def _ridges(X: NDArray[Any], y: Floats, weight: Floats, *, seed: int) -> list[Affine]:
    """Fit ridge regression at each strength."""
    projection = learn_projection(X, seed=seed)
    Z = projection(X)
    models = [Ridge(alpha=alpha).fit(Z, y, sample_weight=weight) for alpha in RIDGE_ALPHAS]
    return [
        projection.fold(model.coef_[None, :, None].astype(np.float32), np.full((1, 1), model.intercept_, np.float32))
        for model in models
    ]


def _logistic(
    Z: Floats32, positions: NDArray[np.int64], weight: Floats, *, C: float, iterations: int, n_classes: int
) -> Affine:
    """Fit multinomial logistic regression, stopped early; a class that has no rows is never predicted."""
    if len(np.unique(positions)) < 2:
        raise HeadError(
            "expected two or more classes among the training rows; found one.\nGive more rows, or fewer folds."
        )
    model = LogisticRegression(C=C, max_iter=iterations)
    model.fit(Z, positions, sample_weight=weight)
    kernel = np.zeros((1, Z.shape[1], n_classes), dtype=np.float32)
    bias = np.full((1, n_classes), _NEVER, dtype=np.float32)
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes: the logit of the second
        kernel[0, :, model.classes_[1]], bias[0, model.classes_] = model.coef_[0], [0, model.intercept_[0]]
    else:
        kernel[0][:, model.classes_], bias[0, model.classes_] = model.coef_.T, model.intercept_
    return kernel, bias
