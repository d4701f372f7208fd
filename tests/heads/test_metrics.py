"""Every metric against scikit-learn or a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from heads import metrics

number = st.floats(-100, 100, allow_subnormal=False)
pairs_of_numbers = st.lists(st.tuples(number, number), min_size=2, max_size=30)
pairs_of_classes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


def columns(pairs):
    return np.array(pairs, dtype=np.float64).T


@given(pairs_of_numbers)
def test_errors_agree_with_sklearn(pairs):
    y, predicted = columns(pairs)
    assert metrics.mae(y, predicted) == pytest.approx(oracle.mean_absolute_error(y, predicted))
    assert metrics.rmse(y, predicted) == pytest.approx(oracle.root_mean_squared_error(y, predicted))


@given(pairs_of_numbers)
def test_r2_agrees_with_sklearn_where_y_varies(pairs):
    y, predicted = columns(pairs)
    if np.var(y) < 1e-6:
        y = y + np.arange(len(y))
    assert metrics.r2(y, predicted) == pytest.approx(oracle.r2_score(y, predicted))


def test_r2_of_equal_labels_is_nan():
    assert math.isnan(metrics.r2(np.ones(3), np.arange(3.0)))


@given(pairs_of_classes)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_class_metrics_agree_with_sklearn(pairs):
    y, predicted = columns(pairs)
    assert metrics.accuracy(y, predicted) == pytest.approx(oracle.accuracy_score(y, predicted))
    assert metrics.balanced_accuracy(y, predicted) == pytest.approx(oracle.balanced_accuracy_score(y, predicted))
    assert metrics.macro_f1(y, predicted) == pytest.approx(oracle.f1_score(y, predicted, average="macro"))


@given(pairs_of_numbers, st.integers(0, 10))
def test_cumulative_score_counts_rows_within_k(pairs, k):
    y, predicted = columns(pairs)
    within = [abs(a - b) <= k for a, b in pairs]
    assert metrics.cs_at(y, predicted, k=k) == pytest.approx(sum(within) / len(within))


def test_cumulative_score_includes_an_error_of_exactly_k():
    assert metrics.cs_at(np.array([20.0, 20.0]), np.array([25.0, 25.1]), k=5) == 0.5


def test_bias_is_positive_when_people_are_made_older():
    assert metrics.bias(np.array([20.0, 30.0]), np.array([26.0, 28.0])) == 2.0


def test_balanced_mae_counts_a_rare_group_as_much_as_a_common_one():
    y, predicted = np.zeros(10), np.array([1.0] * 9 + [11.0])
    assert metrics.balanced_mae(y, predicted, np.array([0] * 9 + [7])) == 6.0
    assert metrics.mae(y, predicted) == 2.0
