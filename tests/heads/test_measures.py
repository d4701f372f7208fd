"""Metrics as functions of sums are the metrics themselves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.measures import MEASURES
from heads.metrics import ece
from heads.tasks import METRICS

CLASSES = METRICS["class"]
NUMBERS = METRICS["age"] | METRICS["number"]
CALIBRATION = {"ece", "coverage", "width"}

age = st.floats(0, 100, allow_subnormal=False)
pairs_of_ages = st.lists(st.tuples(age, age), min_size=3, max_size=30)
pairs_of_classes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


def by_sums(name, y, predicted):
    measure = MEASURES[name]
    return float(measure.value(measure.terms(y, predicted).sum(axis=0)))


def test_every_metric_of_every_task_is_there():
    assert set(MEASURES) == {*CLASSES, *NUMBERS, *CALIBRATION}


@given(pairs_of_ages)
def test_metrics_of_numbers_are_those_of_the_rows(pairs):
    y, predicted = np.array(pairs).T
    y = y + np.arange(len(y))  # not all equal
    for name, metric in NUMBERS.items():
        assert by_sums(name, y, predicted) == pytest.approx(metric(y, predicted), rel=1e-6, abs=1e-9)


@given(pairs_of_classes)
def test_metrics_of_classes_are_those_of_the_rows(pairs):
    y, predicted = np.array(pairs, dtype=np.float64).T
    for name, metric in CLASSES.items():
        assert by_sums(name, y, predicted) == pytest.approx(metric(y, predicted))


def test_r2_of_equal_labels_is_nan():
    assert math.isnan(by_sums("r2", np.full(3, 7.0), np.arange(3.0)))


@pytest.mark.parametrize("name", MEASURES)
def test_many_sums_at_once_give_what_each_gives_alone(name):
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(0, 3, (2, 20)).astype(float)
    sums = rng.integers(1, 4, (5, 20)) @ MEASURES[name].terms(y, predicted)
    together = MEASURES[name].value(sums)
    assert together.shape == (5,)
    np.testing.assert_allclose(together, [MEASURES[name].value(each) for each in sums])


@pytest.mark.parametrize(("name", "worse"), [("mae", 5.0), ("rmse", 5.0), ("balanced_mae", 5.0), ("cs5", 9.0)])
def test_better_points_to_where_the_errors_are_smaller(name, worse):
    y = np.array([10.0, 20, 30])
    good, bad = by_sums(name, y, y + 1), by_sums(name, y, y + 1 + worse)
    assert (good - bad) * MEASURES[name].better > 0


@given(st.lists(st.tuples(st.booleans(), st.floats(0.2, 1)), min_size=1, max_size=60, unique_by=lambda pair: pair[1]))
def test_calibration_error_is_that_of_the_rows(pairs):
    right, confidence = np.array(pairs).T
    signed = np.where(right > 0, confidence, -confidence)
    wanted = ece(1 - right, confidence[:, None])  # of one class, which is right unless the label is another
    assert by_sums("ece", np.zeros(len(right)), signed) == pytest.approx(wanted, abs=1e-9)
