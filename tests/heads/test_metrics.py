"""Every metric against scikit-learn or a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from heads import metrics
from heads.measures import MEASURES

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


# ---- curves and tables of ages


def test_curve_of_cumulative_scores_has_every_k_from_0_to_15():
    y, predicted = np.zeros(4), np.array([0.0, -1.0, 7.5, 40.0])
    curve = metrics.cs_curve(y, predicted)
    assert curve.tolist() == [0.25] + [0.5] * 7 + [0.75] * 8
    assert curve[5] == metrics.cs_at(y, predicted, k=5)


@given(pairs_of_numbers)
def test_curve_of_cumulative_scores_never_falls(pairs):
    curve = metrics.cs_curve(*columns(pairs))
    assert (np.diff(curve) >= 0).all()


def test_errors_by_age_are_those_of_each_completed_year():
    y, predicted = np.array([30.0, 4.0, 30.9, 30.0]), np.array([33.0, 4.0, 29.9, 31.0])
    found = metrics.by_age(y, predicted)
    assert found.ages.tolist() == [4, 30]
    assert found.n.tolist() == [1, 3]
    np.testing.assert_allclose(found.mae, [0, 5 / 3])
    np.testing.assert_allclose(found.bias, [0, 1])


@given(pairs_of_numbers)
def test_errors_by_age_add_up_to_those_of_all_rows(pairs):
    y, predicted = columns(pairs)
    found = metrics.by_age(y, predicted)
    assert np.average(found.mae, weights=found.n) == pytest.approx(metrics.mae(y, predicted))
    assert np.average(found.bias, weights=found.n) == pytest.approx(metrics.bias(y, predicted), abs=1e-9)


# ---- classes


@given(pairs_of_classes)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_confusion_and_figures_of_classes_agree_with_sklearn(pairs):
    y, predicted = columns(pairs)
    counts = metrics.confusion(y, predicted, n_classes=5)
    assert (counts == oracle.confusion_matrix(y, predicted, labels=range(5))).all()
    expected = oracle.precision_recall_fscore_support(y, predicted, labels=range(5), zero_division=np.nan)
    for found, wanted in zip(metrics.per_class(counts), expected[:3], strict=True):
        np.testing.assert_allclose(found, wanted)


def test_groups_off_are_shares_by_distance():
    y, predicted = np.array([0.0, 1, 2, 3]), np.array([0.0, 2, 1, 0])
    assert metrics.groups_off(y, predicted, n_groups=5).tolist() == [0.25, 0.5, 0, 0.25, 0]


# ---- probabilities


def probabilities(n, *, seed=0, classes=3):
    """Draw probabilities (n, classes), and labels that they tell the truth about."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(classes, 0.6), n)
    y = (rng.random((n, 1)) > proba.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(np.float64)
    return y, proba


def test_log_likelihood_agrees_with_sklearn():
    y, proba = probabilities(200)
    assert metrics.nll(y, proba) == pytest.approx(oracle.log_loss(y, proba, labels=[0, 1, 2]))


def test_log_likelihood_of_what_was_called_impossible_is_finite():
    assert metrics.nll(np.array([1.0]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-12))


def test_calibration_error_by_hand():
    proba = np.array([[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.9, 0.1]])
    y = np.array([0.0, 0, 0, 0])  # bins {0.6 right, 0.7 wrong} and {0.8 right, 0.9 right}
    said, right, n = metrics.calibration_curve(y, proba, bins=2)
    np.testing.assert_allclose(said, [0.65, 0.85])
    assert (right.tolist(), n.tolist()) == ([0.5, 1], [2, 2])
    assert metrics.ece(y, proba, bins=2) == pytest.approx((2 * 0.15 + 2 * 0.15) / 4)


@given(st.integers(1, 40), st.integers(1, 20))
def test_bins_hold_every_row_and_are_equally_full(n, bins):
    _, _, counts = metrics.calibration_curve(*probabilities(n), bins=bins)
    assert counts.sum() == n
    assert len(counts) == min(n, bins)
    assert counts.max() - counts.min() <= 1


def test_calibration_error_is_small_for_honest_probabilities_and_large_for_overconfident_ones():
    y, proba = probabilities(20_000)
    sharp = proba**3 / (proba**3).sum(axis=1, keepdims=True)
    assert metrics.ece(y, proba) < 0.02
    assert metrics.ece(y, sharp) > 0.1


def test_rows_that_are_equally_sure_share_a_bin_whatever_their_order():
    proba = np.tile([0.5, 0.5], (1000, 1))
    sorted_labels = np.repeat([0.0, 1.0], 500)
    assert metrics.ece(sorted_labels, proba) == 0
    signed = np.where(sorted_labels == 0, 0.5, -0.5)
    terms = MEASURES["ece"].terms(sorted_labels, signed)
    assert MEASURES["ece"].value(terms.sum(axis=0)) == 0
