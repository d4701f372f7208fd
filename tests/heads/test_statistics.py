"""Intervals against known answers: scipy's bootstrap, formulas, and coverage on simulated people."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from heads import metrics
from heads.statistics import FEWEST, by_group, measure, measure_rows


def simulate(n_groups=300, *, seed=0, size=1, shared=0.0, seeds=1):
    """Draw labels, predictions (seeds, n) and groups; a share of each error's variance is its group's."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    y = rng.uniform(0, 100, len(groups))
    own, common = rng.normal(size=(seeds, len(groups))), rng.normal(size=n_groups)[groups]
    return y, y + 5 * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own), groups


def test_value_is_the_metric_and_of_several_seeds_the_mean():
    y, predicted, groups = simulate(seeds=3)
    figure = measure(["mae"], y, predicted, groups)["mae"]
    assert figure.by_seed == pytest.approx([metrics.mae(y, own) for own in predicted])
    assert figure.value == pytest.approx(figure.by_seed.mean())
    assert figure.resampled.shape == (2000, 3)
    assert (figure.n, figure.groups) == (300, 300)


def test_interval_agrees_with_scipy_where_every_row_is_a_group():
    y, predicted, groups = simulate(400)
    found = measure(["mae"], y, predicted, groups, resamples=5000)["mae"].interval
    errors = np.abs(predicted[0] - y)
    expected = stats.bootstrap(
        (errors,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose(found, expected, atol=0.03)  # the ends of 5,000 resamples waver by about 0.01


def test_interval_of_a_mean_agrees_with_its_formula_on_group_sums():
    y, predicted, groups = simulate(500, size=4, shared=0.8)
    low, high = measure(["bias"], y, predicted[0], groups, resamples=5000)["bias"].interval
    means = (predicted[0] - y).reshape(500, 4).mean(axis=1)
    assert high - low == pytest.approx(2 * 1.96 * means.std() / math.sqrt(500), rel=0.05)


def test_groups_that_err_alike_widen_the_interval_and_copies_of_every_row_do_not_narrow_it():
    y, predicted, groups = simulate(500)
    low, high = measure(["mae"], y, predicted, groups)["mae"].interval
    copied = measure(["mae"], *(np.repeat(each, 4, axis=-1) for each in (y, predicted, groups)))["mae"].interval
    np.testing.assert_allclose(copied, (low, high))
    naive = measure(["mae"], np.repeat(y, 4), np.repeat(predicted, 4, axis=1), np.arange(2000))["mae"].interval
    assert naive[1] - naive[0] == pytest.approx((high - low) / 2, rel=0.1)


def test_names_and_order_of_rows_do_not_matter():
    y, predicted, groups = simulate(100, size=2)
    turned = np.random.default_rng(1).permutation(len(y))
    names = np.array([f"person {group:03}" for group in groups], dtype=object)
    figures = [
        measure(["mae", "cs5"], y, predicted, groups),
        measure(["mae", "cs5"], y[turned], predicted[:, turned], names[turned]),
        measure(["cs5", "mae"], y, predicted, groups),
    ]
    for metric in ("mae", "cs5"):
        ends = [figure[metric].interval for figure in figures]
        np.testing.assert_allclose(ends, ends[:1] * 3)


def test_seed_of_the_resampling_changes_the_ends_a_little_and_the_same_seed_not_at_all():
    y, predicted, groups = simulate()
    first, again, other = (measure(["mae"], y, predicted, groups, seed=seed)["mae"].interval for seed in (0, 0, 1))
    assert first == again != other
    np.testing.assert_allclose(first, other, atol=0.1)


def test_single_group_says_nothing():
    y, predicted, _ = simulate()
    figure = measure(["mae"], y, predicted, np.zeros(len(y)))["mae"]
    assert np.isnan(figure.interval).all()
    assert math.isfinite(figure.value)


def test_seeds_that_differ_widen_the_interval_by_student_t():
    y, _, groups = simulate(5000)
    predicted = y + np.array([4.0, 5.0, 6.0])[:, None]  # every row errs alike: all that varies are the seeds
    low, high = measure(["mae"], y, predicted, groups)["mae"].interval
    assert (low, high) == pytest.approx((5, 5), abs=1e-9)  # no spread over groups to stretch
    noise = np.random.default_rng(0).normal(size=5000)
    low, high = measure(["mae"], y, predicted + noise, groups)["mae"].interval
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 2) / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize(
    ("metric", "size", "shared"), [("mae", 1, 0), ("mae", 3, 0.7), ("cs5", 3, 0.7), ("rmse", 2, 0.5)]
)
def test_interval_covers_the_truth_as_often_as_it_says(metric, size, shared):
    truth = {"mae": 5 * math.sqrt(2 / math.pi), "cs5": 2 * stats.norm.cdf(1) - 1, "rmse": 5}[metric]
    hits, trials = 0, 400
    for seed in range(trials):
        y, predicted, groups = simulate(200, seed=seed, size=size, shared=shared)
        low, high = measure([metric], y, predicted, groups, resamples=500)[metric].interval
        hits += low <= truth <= high
    assert stats.binom.ppf(0.001, trials, 0.95) <= hits <= stats.binom.ppf(0.999, trials, 0.95)


# ---- metrics that are no sums


def test_slow_way_gives_what_the_fast_way_gives():
    y, predicted, groups = simulate(60, size=3)
    fast = measure(["rmse"], y, predicted, groups, resamples=200)["rmse"]
    slow = measure_rows("rmse", lambda rows: metrics.rmse(y[rows], predicted[0][rows]), groups, resamples=200)
    np.testing.assert_allclose(slow.resampled, fast.resampled)
    assert slow.interval == pytest.approx(fast.interval)


# ---- groups of people


@pytest.fixture
def people():
    """Return labels, predictions, groups and traits of 200 people, of whom 10 are asian and one's gender is unknown."""
    y, predicted, groups = simulate(200)
    genders, ethnicities = np.tile(["male", "female"], 100).astype(object), np.repeat("white", 200).astype(object)
    genders[0], ethnicities[:10] = None, "asian"
    return y, predicted[0], groups, pd.DataFrame({"gender": genders, "ethnicity": ethnicities})


def test_groups_and_crossings_have_the_figures_of_their_rows(people):
    y, predicted, groups, traits = people
    table = by_group("mae", y, predicted, groups, traits).set_index(["trait", "group"])
    female = (traits["gender"] == "female").to_numpy()
    row = table.loc["gender", "female"]
    assert row["n"] == female.sum()
    assert row["value"] == pytest.approx(metrics.mae(y[female], predicted[female]))
    assert row["low"] < row["value"] < row["high"]
    white_men = ((traits["gender"] == "male") & (traits["ethnicity"] == "white")).to_numpy()
    crossed = table.loc["gender, ethnicity", "male, white"]
    assert crossed["value"] == pytest.approx(metrics.mae(y[white_men], predicted[white_men]))
    assert table.loc["gender"]["n"].sum() == 199  # one gender is unknown


def test_figure_of_few_is_withheld_and_their_number_shown(people):
    table = by_group("mae", *people).set_index(["trait", "group"])
    asian = table.loc["ethnicity", "asian"]
    assert asian["n"] == 10 < FEWEST
    assert asian[["value", "low", "high"]].isna().all()
    assert table.loc["ethnicity", "white"][["value", "low", "high"]].notna().all()


def test_groups_come_in_the_order_of_their_categories(people):
    y, predicted, groups, traits = people
    ages = pd.Categorical(np.where(y < 50, "young", "old"), categories=["young", "old"])
    table = by_group("mae", y, predicted, groups, pd.DataFrame({"age": ages, "gender": traits["gender"]}))
    assert table["group"].tolist()[:4] == ["young", "old", "female", "male"]
    assert table["group"].tolist()[4:] == ["young, female", "young, male", "old, female", "old, male"]
