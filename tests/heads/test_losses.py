"""The losses against what their papers say, in NumPy."""

import numpy as np
import pytest

from heads import losses
from heads.backend import tf
from heads.losses import AGE_LOSSES, absolute_error, class_hit, class_loss, objective_of, squared_error
from heads.net import ACTIVATIONS, softmax
from heads.recipe import LOSSES, Recipe
from heads.tasks import Task
from tests.heads.faces import AGE, GENDER, HEIGHT

K = 41
AGED_20_TO_60 = Task("age", "age", "age", tuple(range(20, 61)))
YEARS = np.arange(K)

each_age_loss = pytest.mark.parametrize("name", AGE_LOSSES)


def logits(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ages(*years):
    """Labels of one net as the losses get them, (1, n): years above the lowest."""
    return np.array([years], dtype=np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def binary(target, x):
    return -(target * np.log(sigmoid(x)) + (1 - target) * np.log(1 - sigmoid(x)))


def objective(name, **settings):
    return objective_of(AGED_20_TO_60, Recipe(loss=name, **settings))


def perfect_logits(name, age):
    """What a net that is sure of an age, in years above the lowest, gives."""
    if name in ("l1", "l2"):
        return np.array([age], dtype=np.float32)
    if name in ("coral", "corn"):
        return np.where(np.arange(K - 1) < age, 30, -30).astype(np.float32)
    return np.where(age == YEARS, 60, 0).astype(np.float32)


# ---- what each computes


def test_cross_entropy_is_the_log_of_the_right_years_probability():
    output = logits(1, 2, K)
    expected = -np.log(softmax(output)[0, [0, 1], [10, 25]])
    np.testing.assert_allclose(losses.cross_entropy(ages(10, 25), output)[0], expected, rtol=1e-5)


def test_age_between_two_years_is_shared_out_between_them():
    output = logits(1, 1, K)
    log = np.log(softmax(output)[0, 0])
    assert float(losses.cross_entropy(ages(10.25), output)[0, 0]) == pytest.approx(-(0.75 * log[10] + 0.25 * log[11]))
    assert float(losses.cross_entropy(ages(40.9), output)[0, 0]) == pytest.approx(-log[40], rel=1e-5)


def test_label_distribution_is_cross_entropy_to_a_gaussian_plus_the_error_of_the_expectation():
    y, output = ages(10, 25.5), logits(1, 2, K)
    gaussian = np.exp(-((YEARS - y[..., None]) ** 2) / (2 * 1.5**2))
    gaussian /= gaussian.sum(axis=-1, keepdims=True)
    proba = softmax(output)
    expected = -(gaussian * np.log(proba)).sum(-1) + 0.3 * np.abs((proba * YEARS).sum(-1) - y)
    found = objective("dldl", sigma=1.5, expectation=0.3).loss(y, output)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_mean_variance_is_the_papers_sum():
    y, output = ages(10, 25), logits(1, 2, K)
    proba = softmax(output).astype(np.float64)
    mean = (proba * YEARS).sum(-1)
    variance = (proba * (YEARS - mean[..., None]) ** 2).sum(-1)
    cross_entropy = -np.log(proba[0, [0, 1], [10, 25]])
    expected = cross_entropy + 0.2 * (mean - y) ** 2 / 2 + 0.05 * variance
    np.testing.assert_allclose(losses.mean_variance(y, output), expected, rtol=1e-4)


def test_coral_is_a_sum_of_binary_cross_entropies_over_the_years():
    y, output = ages(10, 25), logits(1, 2, K - 1)
    expected = binary(y[..., None] > np.arange(K - 1), output).sum(-1)
    np.testing.assert_allclose(losses.coral(y, output), expected, rtol=1e-4)


def test_corn_asks_only_those_older_than_the_year_before():
    y, output = ages(10, 25), logits(1, 2, K - 1)
    expected = [sum(binary(float(age > k), output[0, i, k]) for k in range(age + 1)) for i, age in enumerate((10, 25))]
    np.testing.assert_allclose(losses.corn(y, output)[0], expected, rtol=1e-4)


def test_regressions_are_squared_and_absolute():
    y, output = np.array([[1.0, 2.0]], dtype=np.float32), np.array([[[4.0], [2.0]]], dtype=np.float32)
    np.testing.assert_array_equal(squared_error(y, output), [[9, 0]])
    np.testing.assert_array_equal(absolute_error(y, output), [[3, 0]])


def test_class_loss_is_the_log_of_the_right_class_probability():
    y, output = np.array([[0.0, 2.0]], dtype=np.float32), logits(1, 2, 3)
    expected = -np.log(softmax(output)[0, [0, 1], [0, 2]])
    np.testing.assert_allclose(class_loss(y, output)[0], expected, rtol=1e-5)


def test_class_hit_is_one_for_the_likeliest_class():
    output = np.array([[[0.0, 1.0], [1.0, 0.0]]], dtype=np.float32)
    np.testing.assert_array_equal(class_hit(np.ones((1, 2), dtype=np.float32), output), [[1, 0]])


# ---- what holds for every loss of ages


@each_age_loss
def test_perfect_output_has_no_error_and_decodes_to_the_age(name):
    chosen = objective(name)
    for age in (0, 17, 40):
        output = perfect_logits(name, age)[None, None]
        assert float(chosen.metric(ages(age), output)[0, 0]) == pytest.approx(0, abs=1e-3)
        decoded = ACTIVATIONS[chosen.activation](output[0])
        point = AGED_20_TO_60.point(decoded if decoded.shape[1] > 1 else decoded[:, 0] + 20)
        assert point == pytest.approx([20 + age], abs=1e-3)


@each_age_loss
def test_loss_is_least_at_the_right_age(name):
    outputs = np.stack([perfect_logits(name, age) / 10 for age in range(K)])[None]
    if name in ("l1", "l2"):
        outputs = outputs * 10
    found = np.asarray(objective(name).loss(np.full((1, K), 17, dtype=np.float32), outputs))
    assert found.argmin() == 17
    np.testing.assert_array_less(found[0, 17], np.delete(found[0], 17))


@each_age_loss
@pytest.mark.parametrize(("age", "sign"), [(5.0, 1), (35.0, -1)])
def test_gradient_leads_towards_the_age(name, age, sign):
    """From a net that says 20, a step down the loss moves the expected age to the label."""
    output = tf.Variable(perfect_logits(name, 20)[None, None] / 20 if name not in ("l1", "l2") else [[[20.0]]])
    chosen = objective(name)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(chosen.loss(ages(age), output))
    before = float(chosen.metric(ages(age), output)[0, 0])
    output.assign_sub(0.01 * tape.gradient(loss, output))
    assert float(chosen.metric(ages(age), output)[0, 0]) < before
    if name in ("l1", "l2"):
        assert np.sign(20 - float(output[0, 0, 0])) == sign


@each_age_loss
def test_metric_while_training_is_the_error_of_what_numpy_decodes(name):
    chosen, y = objective(name), ages(3, 20, 39.5)
    output = -np.sort(-logits(1, 3, chosen.biases), axis=-1)  # as CORAL's are once their biases are learned
    decoded = ACTIVATIONS[chosen.activation](output[0])
    expected = AGED_20_TO_60.point(decoded) - 20 if decoded.shape[1] > 1 else decoded[:, 0]
    np.testing.assert_allclose(chosen.metric(y, output)[0], np.abs(expected - y[0]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["coral", "corn"])
def test_first_biases_say_how_ages_are_spread(name):
    y = np.random.default_rng(0).integers(0, K, 5000).astype(np.float64)
    proba = ACTIVATIONS[name](objective(name).start(y)[None].astype(np.float32))
    np.testing.assert_allclose(proba[0], np.bincount(y.astype(int), minlength=K) / len(y), atol=1e-3)


def test_every_loss_that_a_recipe_takes_is_there():
    assert tuple(AGE_LOSSES) == LOSSES


@pytest.mark.parametrize(("task", "width"), [(AGE, 101), (GENDER, 2), (HEIGHT, 1)])
def test_every_kind_of_task_has_a_loss_and_a_metric_per_row(task, width):
    y, output, chosen = np.ones((3, 4), dtype=np.float32), logits(3, 4, width), objective_of(task, Recipe())
    assert chosen.loss(y, output).shape == (3, 4)
    assert chosen.metric(y, output).shape == (3, 4)
    assert chosen.biases == width
