"""Comparisons: false alarms as rare as promised, planted effects found, words that say what was shown."""

import numpy as np
import pytest
from scipy import stats

from heads.net import HeadError
from heads.statistics import measure
from heads.verdict import Difference, compare_pairs, difference, holm, verdict


def cell(people, *, seed, effect=0.0, luck=0.0, noise=2.0, seeds=3):
    """Draw the MAE of a cell of several heads: errors of the people, of each head as a whole, and of both together."""
    y, errors, groups = people
    rng = np.random.default_rng([seed, 7])
    sizes = np.abs(errors) + effect + luck * rng.normal(size=(seeds, 1)) + noise * rng.normal(size=(seeds, len(y)))
    return measure(["mae"], y, y + sizes, groups, resamples=300)["mae"]


def people(n_groups=400, *, seed=0):
    """Draw labels, errors that all heads share (8 to 20 years), and groups of two rows."""
    rng = np.random.default_rng([seed, 3])
    groups = np.repeat(np.arange(n_groups), 2)
    return np.zeros(len(groups)), rng.uniform(8, 20, n_groups)[groups], groups


@pytest.mark.parametrize("luck", [0.0, 0.1, 0.5])
def test_same_heads_with_other_seeds_are_called_different_at_most_5_percent_of_the_time(luck):
    trials, alarms = 300, 0
    for seed in range(trials):
        someone = people(seed=seed)
        alarms += (
            difference(cell(someone, seed=2 * seed, luck=luck), cell(someone, seed=2 * seed + 1, luck=luck)).p < 0.05
        )
    assert alarms <= stats.binom.ppf(0.999, trials, 0.05)


def test_planted_effect_is_found_and_its_interval_covers_it():
    found, covered, trials = 0, 0, 60
    for seed in range(trials):
        someone = people(seed=seed)
        gap = difference(cell(someone, seed=2 * seed, effect=0.5), cell(someone, seed=2 * seed + 1))
        found += gap.p < 0.05
        covered += gap.low <= 0.5 <= gap.high
    assert found >= 0.95 * trials
    assert covered >= 0.9 * trials


def test_interval_leaves_out_0_just_when_p_is_below_5_percent():
    for seed in range(40):
        someone = people(100, seed=seed)
        gap = difference(cell(someone, seed=2 * seed, effect=0.3), cell(someone, seed=2 * seed + 1))
        assert (gap.p < 0.05) == (not gap.low <= 0 <= gap.high)


def test_errors_that_both_cells_share_do_not_blur_their_difference():
    someone = people()
    paired = difference(cell(someone, seed=1, noise=0.5), cell(someone, seed=2, noise=0.5))
    low, high = cell(someone, seed=1, noise=0.5).interval
    assert paired.high - paired.low < (high - low) / 3


def test_one_seed_on_each_side_agrees_with_the_paired_t_test():
    y, errors, _ = people()
    rng = np.random.default_rng(0)
    first, second = errors + rng.normal(size=(2, len(y)))
    figures = [measure(["mae"], y, sizes, np.arange(len(y)), resamples=5000)["mae"] for sizes in (first, second)]
    gap, expected = difference(*figures), stats.ttest_rel(first, second)
    assert gap.p == pytest.approx(expected.pvalue, abs=0.03)
    np.testing.assert_allclose((gap.low, gap.high), expected.confidence_interval(), atol=0.01)


def test_difference_turns_with_the_cells():
    someone = people()
    first, second = cell(someone, seed=1), cell(someone, seed=2)
    there, back = difference(first, second), difference(second, first)
    assert (there.value, there.low, there.high, there.p) == pytest.approx((-back.value, -back.high, -back.low, back.p))


def test_cell_does_not_differ_from_itself():
    figure = cell(people(), seed=1, seeds=1)
    assert difference(figure, figure) == Difference("mae", 0.0, 0.0, 0.0, 1.0, 1)


def test_figures_of_other_rows_are_refused():
    with pytest.raises(HeadError, match="expected figures of one metric on the same rows"):
        difference(cell(people(), seed=1), cell(people(399), seed=2))


# ---- several comparisons


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]


def test_holm_keeps_any_false_alarm_rare():
    p = np.random.default_rng(0).uniform(size=(2000, 10))
    alarms = sum((holm(each) < 0.05).any() for each in p)
    assert alarms <= stats.binom.ppf(0.999, 2000, 0.05)


def test_all_pairs_are_compared_and_corrected():
    someone = people()
    figures = {"a": cell(someone, seed=1), "b": cell(someone, seed=2), "c": cell(someone, seed=3, effect=2)}
    table = compare_pairs(figures, unit="years")
    assert table[["first", "second"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    np.testing.assert_allclose(table["p_holm"], holm(table["p"]))
    assert table["verdict"][0].startswith("a and b: no difference can be shown")
    assert table["verdict"][1].startswith("a is better than c by ")
    assert len(compare_pairs(figures, [("c", "a")])) == 1


# ---- words


@pytest.mark.parametrize(
    ("metric", "figures", "words"),
    [
        ("mae", (-0.41, -0.52, -0.29, 0.001), "A is better than B by 0.41 years, 95% interval 0.29 to 0.52"),
        ("mae", (0.41, 0.29, 0.52, 0.001), "B is better than A by 0.41 years, 95% interval 0.29 to 0.52"),
        (
            "mae",
            (0.03, -0.05, 0.11, 0.5),
            "A and B: no difference can be shown (difference 0.03 years, 95% interval -0.05 to 0.11)",
        ),
    ],
)
def test_verdict_in_years(metric, figures, words):
    assert verdict("A", "B", Difference(metric, *figures, seeds=3), unit="years") == words


def test_verdict_on_shares_is_in_percentage_points():
    gap = Difference("accuracy", 0.012, 0.006, 0.018, 0.001, seeds=3)
    assert verdict("A", "B", gap) == "A is better than B by 1.2 percentage points, 95% interval 0.6 to 1.8"


def test_verdict_says_that_the_luck_of_seeds_is_missing():
    gap = Difference("mae", -0.41, -0.52, -0.29, 0.001, seeds=1)
    assert verdict("A", "B", gap).endswith("; the luck of seeds is not included, as there is one seed")


def test_verdict_after_correction_may_take_back_what_one_comparison_showed():
    gap = Difference("mae", -0.1, -0.19, -0.01, 0.03, seeds=3)
    assert verdict("A", "B", gap, p=0.03).startswith("A is better")
    assert "no difference can be shown after correction for the number of comparisons" in verdict("A", "B", gap, p=0.12)


@pytest.mark.parametrize("metric", ["bias", "coverage"])
def test_metric_without_better_and_worse_has_no_verdict(metric):
    with pytest.raises(HeadError, match="tells better from worse"):
        verdict("A", "B", Difference(metric, 1, 0.5, 1.5, 0.01, seeds=3))


def test_nothing_is_said_of_test_rows_that_are_all_of_one_group():
    y = np.linspace(20, 60, 50)
    one = np.zeros(50, int)
    worse, better = (measure(["mae"], y, y + off, one)["mae"] for off in (5.0, 1.0))
    found = difference(worse, better)
    assert found.p == 1
    assert verdict("A", "B", found) == "A and B: nothing can be said, as all test rows are of one group"
