"""Calibration, nearness and maps against rows counted by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.labels import AGE_GROUPS
from heads.report.evidence import CURVE_BINS, MOST_POINTS, coverage, drawn_rows, flat_map, histograms, reliability, risk
from heads.report.facts import rows_of
from tests.heads.report.small import AGE, GENDER, NET, predicted, rows_with_ids


def ages(y, said, half, **columns) -> pd.DataFrame:
    """Rows of one model whose intervals are so wide to both sides."""
    said, half = np.asarray(said, float), np.asarray(half, float)
    frame = predicted(AGE, NET, y, said).assign(low=said - half, high=said + half)
    return rows_of(frame, AGE, rows_with_ids(pd.DataFrame(columns, index=range(len(y)))))


def test_reliability_is_the_share_right_among_equally_sure_rows():
    sure = np.repeat(np.linspace(0.55, 1.0, CURVE_BINS), 4)
    wrong = np.tile([1, 0, 0, 0], CURVE_BINS)
    frame = predicted(GENDER, NET, np.zeros(40), wrong).assign(confidence=sure)
    said, right = reliability(rows_of(frame, GENDER, rows_with_ids(pd.DataFrame(index=range(40)))))
    assert said == pytest.approx(np.linspace(0.55, 1.0, CURVE_BINS))
    assert right == pytest.approx([0.75] * CURVE_BINS)


def test_coverage_counts_ages_inside_their_intervals_by_people():
    rows = ages([10, 20, 30, 40], [12, 20, 39, 40], [1, 1, 8, 1], gender=["male", "male", "female", None])
    table = coverage(rows, AGE_GROUPS["ten"])
    found = table.set_index(["trait", "group"])["coverage"]
    assert found["all", "all"] == 0.5
    assert (found["gender", "male"], found["gender", "female"]) == (0.5, 0)
    assert table.set_index("group")["width"]["all"] == pytest.approx((2 + 2 + 16 + 2) / 4)


def test_age_groups_of_predicted_and_true_ages_are_told_apart_and_in_their_order():
    rows = ages([1, 5, 70], [5, 5, 30], [9, 9, 9])
    table = coverage(rows, AGE_GROUPS["ten"])
    by_trait = {trait: own["group"].tolist() for trait, own in table.groupby("trait")}
    assert by_trait["predicted age group"] == ["Child", "Adult"]
    assert by_trait["true age group"] == ["Baby", "Child", "Senior"]


def test_rows_without_an_interval_are_not_counted():
    rows = ages([10, 20], [10, 20], [1, np.nan])
    assert coverage(rows, AGE_GROUPS["ten"])["n"].tolist()[0] == 1
    assert len(risk(rows)[0]) == 1


def test_risk_leaves_out_the_widest_interval_first():
    kept, mae = risk(ages([10, 20, 30], [11, 22, 39], [1, 2, 8]))
    assert kept.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert mae.tolist() == [1, 1.5, 4]


def test_histograms_share_their_bins_and_each_adds_up():
    found = histograms({"grouped": np.array([0.1, 0.2, 0.3]), "random": np.array([0.2, 1.0])})
    assert [own.shares.sum() for own in found.values()] == pytest.approx([1, 1])
    assert (found["grouped"].edges == found["random"].edges).all()
    assert found["random"].shares[-1] == 0.5


def test_equal_similarities_have_a_histogram_too():
    assert histograms({"grouped": np.ones(3)})["grouped"].shares.sum() == 1


@given(st.integers(1, 20_000))
def test_drawn_rows_are_some_of_all_each_once(n):
    rows = drawn_rows(n)
    assert len(rows) == len(set(rows.tolist())) == min(n, MOST_POINTS)
    assert 0 <= rows.min() <= rows.max() < n


def test_map_keeps_the_two_widest_directions_on_one_scale():
    turn = np.linspace(-1, 1, 200)
    rng = np.random.default_rng(0)
    vectors = np.stack([np.ones(200), turn, 0.3 * rng.permutation(turn), 0.001 * rng.normal(size=200)], axis=1)
    places = flat_map(vectors)
    assert places.shape == (200, 2)
    assert places.min() >= 0
    assert places.max() <= 1
    assert abs(np.corrcoef(places[:, 0], turn)[0, 1]) > 0.95
    assert np.ptp(places[:, 1]) < 0.6 * np.ptp(places[:, 0])


def test_map_of_the_same_rows_is_the_same():
    vectors = np.random.default_rng(1).normal(size=(60, 8))
    assert (flat_map(vectors) == flat_map(vectors)).all()
