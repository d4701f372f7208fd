"""The losses against what their formulas say, in NumPy."""

import numpy as np
import pytest

from heads.losses import age_error, age_loss, class_hit, class_loss, loss_of, metric_of, number_error, number_loss
from heads.net import softmax
from tests.heads.faces import AGE, GENDER, HEIGHT

AGES = tuple(range(20, 61))


def logits(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_age_loss_is_cross_entropy_to_a_gaussian_plus_the_error_of_the_expectation():
    y, output = np.array([[30.0, 45.5]], dtype=np.float32), logits(1, 2, len(AGES))
    years = np.array(AGES)
    gaussian = np.exp(-((years - y[..., None]) ** 2) / (2 * 1.5**2))
    gaussian /= gaussian.sum(axis=-1, keepdims=True)
    proba = softmax(output)
    expected = -(gaussian * np.log(proba)).sum(-1) + 0.3 * np.abs((proba * years).sum(-1) - y)
    np.testing.assert_allclose(age_loss(y, output, ages=AGES, sigma=1.5, expectation=0.3), expected, rtol=1e-4)


def test_age_loss_is_least_at_the_right_age():
    y = np.full((1, len(AGES)), 40, dtype=np.float32)
    certain = 10 * np.eye(len(AGES), dtype=np.float32)[None]  # row i is sure of age 20 + i
    losses = np.asarray(age_loss(y, certain, ages=AGES, sigma=2.0, expectation=0.3))
    assert losses.argmin() == 40 - 20
    np.testing.assert_allclose(losses[0, 40 - 20 - 5], losses[0, 40 - 20 + 5], rtol=1e-2)


def test_age_error_is_in_years():
    certain = 50 * np.eye(len(AGES), dtype=np.float32)[None, [5]]
    assert float(age_error(np.array([[30.0]], dtype=np.float32), certain, ages=AGES)[0, 0]) == pytest.approx(5)


def test_class_loss_is_the_log_of_the_right_class_probability():
    y, output = np.array([[0.0, 2.0]], dtype=np.float32), logits(1, 2, 3)
    expected = -np.log(softmax(output)[0, [0, 1], [0, 2]])
    np.testing.assert_allclose(class_loss(y, output)[0], expected, rtol=1e-5)


def test_class_hit_is_one_for_the_likeliest_class():
    output = np.array([[[0.0, 1.0], [1.0, 0.0]]], dtype=np.float32)
    np.testing.assert_array_equal(class_hit(np.ones((1, 2), dtype=np.float32), output), [[1, 0]])


def test_number_loss_is_squared_and_its_metric_absolute():
    y, output = np.array([[1.0, 2.0]], dtype=np.float32), np.array([[[4.0], [2.0]]], dtype=np.float32)
    np.testing.assert_array_equal(number_loss(y, output), [[9, 0]])
    np.testing.assert_array_equal(number_error(y, output), [[3, 0]])


@pytest.mark.parametrize(("task", "width"), [(AGE, 101), (GENDER, 2), (HEIGHT, 1)])
def test_every_kind_of_task_has_a_loss_and_a_metric_per_row(task, width):
    y, output = np.ones((3, 4), dtype=np.float32), logits(3, 4, width)
    assert loss_of(task, sigma=1.0, expectation=0.3)(y, output).shape == (3, 4)
    assert metric_of(task)(y, output).shape == (3, 4)
