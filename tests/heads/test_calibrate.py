"""Intervals cover as often as they say, and temperatures make probabilities honest."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from heads.calibrate import (
    Intervals,
    Temperature,
    calibrate,
    coverage_table,
    from_dict,
    risk_coverage,
    rows_needed,
    to_dict,
)
from heads.metrics import ece, nll
from heads.net import HeadError
from heads.tasks import Task
from tests.heads.faces import AGE, GENDER, HEIGHT

COLOUR = Task("colour", "colour", "class", ("red", "green", "blue"))


def ages(n, *, seed=0, sure=1.0):
    """Draw ages and a head's distributions of them, whose true deviations are `sure` times what the head thinks."""
    rng = np.random.default_rng(seed)
    centre, spread = rng.uniform(0, 100, n), rng.uniform(1.5, 8, n)
    y = np.clip(centre + sure * spread * rng.normal(size=n), 0, 100)
    proba = stats.norm.pdf(np.arange(101), centre[:, None], spread[:, None])
    return y, (proba / proba.sum(axis=1, keepdims=True)).astype(np.float32)


def classes(n, *, seed=0, temperature=1.0):
    """Draw classes and the probabilities of a head that is as sure as if its logits were multiplied by temperature."""
    rng = np.random.default_rng(seed)
    honest = rng.dirichlet(np.full(3, 0.8), n)
    y = (rng.random((n, 1)) > honest.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(np.float64)
    sure = honest**temperature
    return y, (sure / sure.sum(axis=1, keepdims=True)).astype(np.float32)


def covered(y, bounds):
    return (bounds[:, 0] <= y) & (y <= bounds[:, 1])


# ---- intervals


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("sure", [0.5, 1.0, 2.0])
def test_intervals_cover_as_often_as_they_say_however_sure_the_head_is(level, sure):
    hits = np.array([], dtype=bool)
    for seed in range(60):  # each with an n of its own for the quantile: coverage is exact only on average
        valid, test = ages(400, seed=seed, sure=sure), ages(100, seed=1000 + seed, sure=sure)
        hits = np.append(hits, covered(test[0], calibrate(AGE, *valid, level=level)(AGE, test[1])))
    assert abs(hits.mean() - level) < 0.017  # 3.3 standard errors, and 1 in 50 + 1 by which coverage may exceed it


def test_intervals_cover_in_every_group_of_predicted_ages_though_the_head_errs_more_for_some():
    def skewed(n, seed):
        y, proba = ages(n, seed=seed)
        centre = AGE.point(proba)
        return np.clip(np.where(centre > 45, centre + 3 * (y - centre), y), 0, 100), proba

    y, proba = skewed(8000, 1)
    intervals = calibrate(AGE, *skewed(8000, 0))
    old = AGE.point(proba) > 45
    hits = covered(y, intervals(AGE, proba))
    assert hits[old].mean() == pytest.approx(0.9, abs=0.02)
    assert hits[~old].mean() == pytest.approx(0.9, abs=0.02)


def test_interval_holds_the_age_and_stays_within_the_range_of_the_task():
    y, proba = ages(500, sure=3)
    bounds = calibrate(AGE, y, proba)(AGE, proba)
    assert ((bounds[:, 0] <= AGE.point(proba)) & (AGE.point(proba) <= bounds[:, 1])).all()
    assert bounds.min() == 0
    assert bounds.max() == 100


def test_quantile_by_hand():
    y, proba = ages(60)
    intervals = calibrate(AGE, y, proba)
    (quantile,) = intervals.quantiles
    middle = AGE.point(proba)
    spread = np.sqrt(proba.astype(float) @ np.arange(101.0) ** 2 - middle**2)
    scores = np.sort(np.abs(y - middle) / spread)
    assert quantile == pytest.approx(scores[54], rel=1e-6)  # the 55th of 60: 0.9 * 61 = 54.9
    assert (intervals.edges, intervals.n) == ((0.0,), (60,))


def test_higher_level_gives_wider_intervals():
    y, proba = ages(600)
    widths = [np.ptp(calibrate(AGE, y, proba, level=level)(AGE, proba), axis=1) for level in (0.5, 0.8, 0.9, 0.95)]
    assert (np.diff(widths, axis=0) >= 0).all()


def test_regression_that_says_nothing_of_its_spread_gets_intervals_of_one_width_per_group():
    rng = np.random.default_rng(0)
    y = rng.uniform(20, 80, 3000)
    predicted = y + 4 * rng.normal(size=3000)
    intervals = calibrate(AGE, y[:1500], predicted[:1500])
    bounds = intervals(AGE, predicted[1500:])
    assert covered(y[1500:], bounds).mean() == pytest.approx(0.9, abs=0.025)
    free = (bounds > 0).all(axis=1) & (bounds < 100).all(axis=1)
    assert len(np.unique(np.ptp(bounds[free], axis=1).round(6))) == len(intervals.edges)


@given(st.lists(st.floats(-5, 110), min_size=60, max_size=300))
def test_every_group_has_the_rows_it_needs(predicted):
    y = np.full(len(predicted), 30.0)
    intervals = calibrate(AGE, y, np.array(predicted))
    assert sum(intervals.n) == len(predicted)
    assert min(intervals.n) >= rows_needed()
    assert intervals.edges[0] == 0


def test_rows_without_a_label_teach_nothing():
    y, proba = ages(200)
    holes = np.insert(y, 50, np.nan), np.insert(proba, 50, proba[0], axis=0)
    assert calibrate(AGE, *holes) == calibrate(AGE, y, proba)


# ---- temperatures


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_planted_temperature_is_recovered_and_makes_probabilities_honest(planted):
    y, proba = classes(20_000, temperature=planted)
    temperature = calibrate(COLOUR, y, proba)
    assert temperature.value == pytest.approx(planted, rel=0.05)
    fresh_y, fresh = classes(20_000, seed=1, temperature=planted)
    assert ece(fresh_y, temperature(COLOUR, fresh)) < 0.02
    assert nll(fresh_y, temperature(COLOUR, fresh)) <= nll(fresh_y, fresh) + 1e-4


@given(st.floats(0.05, 20), st.integers(0, 100))
def test_temperature_keeps_the_order_of_classes_and_probabilities_that_add_up(value, seed):
    _, proba = classes(20, seed=seed)
    scaled = Temperature(value, 100)(COLOUR, proba)
    np.testing.assert_allclose(scaled.sum(axis=1), 1, rtol=1e-5)
    assert scaled.dtype == np.float32
    assert (scaled.argmax(axis=1) == proba.argmax(axis=1)).all()
    sharper = scaled.max(axis=1) >= proba.max(axis=1) - 1e-6
    assert sharper.all() if value <= 1 else (scaled.max(axis=1) <= proba.max(axis=1) + 1e-6).all()


def test_temperature_of_certain_probabilities_is_finite():
    y = np.tile([0.0, 1], 50)
    proba = np.eye(2, dtype=np.float32)[np.where(np.arange(100) < 90, y, 1 - y).astype(int)]
    temperature = calibrate(GENDER, y, proba)
    assert np.isfinite(temperature(GENDER, proba)).all()


# ---- what cannot be calibrated


@pytest.mark.parametrize("task", [AGE, GENDER], ids=str)
def test_too_few_validation_rows_are_refused_with_both_numbers(task):
    y = np.append(np.zeros(49), [np.nan] * 10)
    with pytest.raises(HeadError, match=f"expected 50 or more validation rows to calibrate {task.name} on; found 49"):
        calibrate(task, y, np.full((59, task.n_outputs), 1 / task.n_outputs))


def test_high_level_needs_more_rows():
    assert [rows_needed(level) for level in (0.5, 0.9, 0.99)] == [50, 50, 99]
    with pytest.raises(HeadError, match="expected 99 or more validation rows"):
        calibrate(AGE, *ages(98), level=0.99)
    assert np.isfinite(calibrate(AGE, *ages(99), level=0.99).quantiles).all()


def test_number_is_refused():
    with pytest.raises(HeadError, match="expected a task of ages or classes to calibrate; found the number height"):
        calibrate(HEIGHT, np.zeros(60), np.zeros(60))


# ---- kept as JSON


@pytest.mark.parametrize(
    "calibration", [Temperature(1.3, 900), Intervals(0.9, (0.0, 14.0), (1.5, 1.75), (80, 100))], ids=str
)
def test_calibration_comes_back_from_json(calibration):
    assert from_dict(json.loads(json.dumps(to_dict(calibration)))) == calibration


@pytest.mark.parametrize(
    "fields",
    [
        {"value": 0.0, "n": 5},
        {"level": 0.9, "edges": [], "quantiles": [], "n": []},
        {"level": 0.9, "edges": [5, 0], "quantiles": [1, 1], "n": [60, 60]},
        {"level": 0.9, "edges": [0, 5], "quantiles": [1], "n": [60, 60]},
    ],
    ids=str,
)
def test_calibration_that_makes_no_sense_is_refused(fields):
    with pytest.raises(HeadError, match="Calibrate again"):
        from_dict(fields)


# ---- measured on test rows


def test_coverage_is_counted_in_all_and_by_group_with_its_binomial_interval():
    y = np.arange(100.0)
    bounds = np.stack([y - 1, y + np.where(y < 50, 1, -0.5)], axis=1)  # the second half is never covered
    traits = pd.DataFrame({"gender": np.where(y < 50, "male", "female"), "known": [None, *["yes"] * 99]})
    table = coverage_table(y, bounds, traits).set_index(["trait", "group"])
    assert table.index.tolist()[0] == ("all", "all")
    assert table["n"].tolist() == [100, 50, 50, 99]
    assert table.loc[("gender", "male"), ["coverage", "width"]].tolist() == [1, 2]
    assert table.loc[("gender", "female"), ["coverage", "width"]].tolist() == [0, 0.5]
    low, high = stats.binom.ppf([0.005, 0.995], 50, 0.9) / 50
    assert table.loc[("gender", "male"), ["low", "high"]].tolist() == [low, high]
    assert table["inside"].tolist() == [False, False, True, False]


def test_leaving_out_wide_intervals_lowers_the_error_when_widths_tell_of_it():
    y, width = np.zeros(4), np.array([4.0, 1, 3, 2])
    curve = risk_coverage(y, width, np.stack([-width, width], axis=1))
    assert curve.kept.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.mae.tolist() == [1, 1.5, 2, 2.5]
    assert curve.aurc == 1.75
