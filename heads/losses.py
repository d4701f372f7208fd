"""Losses and training metrics of the stacked dense heads, in Keras operations.

Shapes: y is (stack, batch), a net's output (stack, batch, classes), or (stack, batch, 1) for a number; each function
gives one value per row, (stack, batch).
"""

from collections.abc import Callable
from typing import Any

from heads.backend import keras
from heads.tasks import Task

ops = keras.ops
Tensor = Any
RowWise = Callable[[Tensor, Tensor], Tensor]


def age_loss(y: Tensor, logits: Tensor, *, ages: tuple[int, ...], sigma: float, expectation: float) -> Tensor:
    """Cross-entropy to a Gaussian around the age, plus the error of the expected age (DLDL-v2, Gao et al., IJCAI 2018).

    Parameters
    ----------
    ages : the ages in years that the classes stand for.
    sigma : standard deviation of the Gaussian, years.
    expectation : weight of |expected age - y|.
    """
    years = ops.convert_to_tensor(ages, dtype=logits.dtype)
    target = ops.softmax(-ops.square((years - y[..., None]) / sigma) / 2)
    cross_entropy = -ops.sum(target * ops.log_softmax(logits), axis=-1)
    return cross_entropy + expectation * age_error(y, logits, ages=ages)


def age_error(y: Tensor, logits: Tensor, *, ages: tuple[int, ...]) -> Tensor:
    """Absolute error of the expected age, years."""
    years = ops.convert_to_tensor(ages, dtype=logits.dtype)
    return ops.abs(ops.sum(ops.softmax(logits) * years, axis=-1) - y)


def class_loss(y: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy; y holds positions of classes."""
    return ops.sparse_categorical_crossentropy(ops.cast(y, "int32"), logits, from_logits=True)


def class_hit(y: Tensor, logits: Tensor) -> Tensor:
    """1 where the likeliest class is the right one, else 0."""
    return ops.cast(ops.equal(ops.cast(y, "int64"), ops.cast(ops.argmax(logits, axis=-1), "int64")), logits.dtype)


def number_loss(y: Tensor, output: Tensor) -> Tensor:
    """Squared error."""
    return ops.square(output[..., 0] - y)


def number_error(y: Tensor, output: Tensor) -> Tensor:
    """Absolute error."""
    return ops.abs(output[..., 0] - y)


def loss_of(task: Task, *, sigma: float, expectation: float) -> RowWise:
    """Choose the loss that a task is trained with."""
    if task.kind == "age":
        ages = tuple(map(int, task.classes))
        return lambda y, logits: age_loss(y, logits, ages=ages, sigma=sigma, expectation=expectation)
    return class_loss if task.kind == "class" else number_loss


def metric_of(task: Task) -> RowWise:
    """Choose what the history shows of a task, the first of `Task.metrics`: absolute error, or hits."""
    if task.kind == "age":
        ages = tuple(map(int, task.classes))
        return lambda y, logits: age_error(y, logits, ages=ages)
    return class_hit if task.kind == "class" else number_error
