"""What the stacked dense heads are trained on: losses, and the metrics of their history, in Keras operations.

Shapes: y is (stack, batch), a net's output (stack, batch, numbers); each function gives one value per row,
(stack, batch). Of ages, y is the years above the lowest class, and K classes stand for whole years.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from heads.backend import keras
from heads.recipe import Recipe
from heads.tasks import Floats, Task

ops = keras.ops
Tensor = Any
RowWise = Callable[[Tensor, Tensor], Tensor]

MEAN_WEIGHT, VARIANCE_WEIGHT = 0.2, 0.05  # as in the paper on mean-variance loss


@dataclass(frozen=True)
class Objective:
    """A task as a net learns it.

    Attributes
    ----------
    activation : of the exported layer, a key of `heads.net.ACTIVATIONS`; says how outputs are decoded.
    units, biases : numbers that the last layer gives; with one unit, all biases are added to the same number.
    loss, metric : what is trained on, and what the history shows: the first of `Task.metrics`.
    regression : whether y is standardised by the training rows while training, and the output is a number.
    by_metric : whether a net keeps the round of its best metric instead of its best loss: where the loss rises, as nets
        grow sure of themselves, long before the predictions get worse (0.3 years for cross-entropy, 0.4 for CORN).
    start : first biases, (biases,), from the labels of the training rows, (n,).
    """

    activation: str
    units: int
    biases: int
    loss: RowWise
    metric: RowWise
    regression: bool = False
    by_metric: bool = False
    start: Callable[[Floats], Floats] | None = None


def objective_of(task: Task, recipe: Recipe) -> Objective:
    """Choose what a task is trained on."""
    if task.kind == "age":
        return AGE_LOSSES[recipe.loss](task, recipe)
    if task.kind == "class":
        return Objective("softmax", task.n_outputs, task.n_outputs, class_loss, class_hit)
    return _regression(squared_error)


# ---- ages as a softmax over whole years


def cross_entropy(y: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy to the age, which is shared out between two years if it lies between them (DEX, IJCV 2018)."""
    return -ops.sum(_hat(y, logits) * ops.log_softmax(logits), axis=-1)


def label_distribution(y: Tensor, logits: Tensor, *, sigma: float, expectation: float) -> Tensor:
    """Cross-entropy to a Gaussian around the age, plus the error of the expected age (DLDL-v2, Gao et al., IJCAI 2018).

    Parameters
    ----------
    sigma : standard deviation of the Gaussian, years.
    expectation : weight of |expected age - y|.
    """
    target = ops.softmax(-ops.square((_years(logits) - y[..., None]) / sigma) / 2)
    return -ops.sum(target * ops.log_softmax(logits), axis=-1) + expectation * softmax_error(y, logits)


def mean_variance(y: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy + 0.2 (mean - y)^2 / 2 + 0.05 variance of the predicted distribution (Pan et al., CVPR 2018)."""
    proba, years = ops.softmax(logits), _years(logits)
    mean = ops.sum(proba * years, axis=-1)
    variance = ops.sum(proba * ops.square(years - mean[..., None]), axis=-1)
    return cross_entropy(y, logits) + MEAN_WEIGHT * ops.square(mean - y) / 2 + VARIANCE_WEIGHT * variance


def softmax_error(y: Tensor, logits: Tensor) -> Tensor:
    """Absolute error of the expected age, years."""
    return ops.abs(ops.sum(ops.softmax(logits) * _years(logits), axis=-1) - y)


def _years(logits: Tensor) -> Tensor:
    """Years above the lowest class that each logit stands for, (K,)."""
    return ops.arange(logits.shape[-1], dtype=logits.dtype)


def _hat(y: Tensor, logits: Tensor) -> Tensor:
    """Probabilities (..., K), on two neighbouring years at most, whose expected value is y."""
    inside = ops.clip(y, 0, logits.shape[-1] - 1)
    return ops.maximum(1 - ops.abs(_years(logits) - inside[..., None]), 0)


# ---- ages as K - 1 questions "older than this year?"


def coral(y: Tensor, logits: Tensor) -> Tensor:
    """Sum of K - 1 binary cross-entropies; the logits share one kernel (CORAL, Cao et al., Patt. Rec. Letters 2020)."""
    return ops.sum(_binary(_older(y, logits), logits), axis=-1)


def corn(y: Tensor, logits: Tensor) -> Tensor:
    """As `coral`, each question asked only of those older than the year before (CORN, Shi et al., 2021)."""
    older = _older(y, logits)
    asked = ops.concatenate([ops.ones_like(older[..., :1]), older[..., :-1]], axis=-1)
    share = ops.where(asked > 0, older / ops.maximum(asked, 1e-6), 0)
    return ops.sum(asked * _binary(share, logits), axis=-1)


def coral_error(y: Tensor, logits: Tensor) -> Tensor:
    """Absolute error of the expected age, the sum of P(older than a year) over years."""
    return ops.abs(ops.sum(ops.sigmoid(logits), axis=-1) - y)


def corn_error(y: Tensor, logits: Tensor) -> Tensor:
    """As `coral_error`; P(older than a year) is the product of all answers up to it."""
    return ops.abs(ops.sum(ops.exp(ops.cumsum(ops.log_sigmoid(logits), axis=-1)), axis=-1) - y)


def _older(y: Tensor, logits: Tensor) -> Tensor:
    """1 for each year that the age lies above, else 0; a part for the year it lies in: (..., K - 1), with sum y."""
    return ops.clip(y[..., None] - _years(logits), 0, 1)


def _binary(target: Tensor, logits: Tensor) -> Tensor:
    """Binary cross-entropy."""
    return -target * ops.log_sigmoid(logits) - (1 - target) * ops.log_sigmoid(-logits)


def _first_coral(y: Floats, k: int) -> Floats:
    """Log-odds of being older than each year; from 0, Adam would take hundreds of steps to spread so many biases."""
    older = np.clip(y[:, None] - np.arange(k - 1), 0, 1).sum(axis=0) + 0.5
    return np.log(older / (len(y) + 1 - older))


def _first_corn(y: Floats, k: int) -> Floats:
    """Log-odds of being older than each year among those older than the year before."""
    older = np.clip(y[:, None] - np.arange(k - 1), 0, 1).sum(axis=0)
    asked = np.append(len(y), older[:-1])
    return np.log((older + 0.5) / (asked - older + 0.5))


# ---- classes and numbers


def class_loss(y: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy; y holds positions of classes."""
    return ops.sparse_categorical_crossentropy(ops.cast(y, "int32"), logits, from_logits=True)


def class_hit(y: Tensor, logits: Tensor) -> Tensor:
    """1 where the likeliest class is the right one, else 0."""
    return ops.cast(ops.equal(ops.cast(y, "int64"), ops.cast(ops.argmax(logits, axis=-1), "int64")), logits.dtype)


def squared_error(y: Tensor, output: Tensor) -> Tensor:
    """(output - y)^2."""
    return ops.square(output[..., 0] - y)


def absolute_error(y: Tensor, output: Tensor) -> Tensor:
    """|output - y|."""
    return ops.abs(output[..., 0] - y)


def _regression(loss: RowWise) -> Objective:
    return Objective("linear", 1, 1, loss, absolute_error, regression=True)


def _softmax(task: Task, loss: RowWise, *, by_metric: bool = False) -> Objective:
    return Objective("softmax", task.n_outputs, task.n_outputs, loss, softmax_error, by_metric=by_metric)


AGE_LOSSES: Mapping[str, Callable[[Task, Recipe], Objective]] = {
    "crossentropy": lambda task, recipe: _softmax(task, cross_entropy, by_metric=True),
    "dldl": lambda task, recipe: _softmax(
        task,
        lambda y, logits: label_distribution(y, logits, sigma=recipe.sigma, expectation=recipe.expectation),
    ),
    "meanvariance": lambda task, recipe: _softmax(task, mean_variance),
    "coral": lambda task, recipe: Objective(
        "coral", 1, task.n_outputs - 1, coral, coral_error, start=lambda y: _first_coral(y, task.n_outputs)
    ),
    "corn": lambda task, recipe: Objective(
        *("corn", task.n_outputs - 1, task.n_outputs - 1, corn, corn_error),
        by_metric=True,
        start=lambda y: _first_corn(y, task.n_outputs),
    ),
    "l1": lambda task, recipe: _regression(absolute_error),
    "l2": lambda task, recipe: _regression(squared_error),
}
