"""Balance counts training rows by their labels, leaves out what it says, and never touches other rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.split import TRAIN, Split, make_holdout
from heads.balance import WEIGHTINGS, Balance, BalanceError

AGES = np.repeat([0.0, 1.0, 25.0, 60.0], [400, 300, 90, 10])
LABELS = st.lists(st.integers(0, 100) | st.just(float("nan")), min_size=1, max_size=80)


def test_without_a_rule_all_rows_count_alike() -> None:
    assert Balance().weigh(AGES).tolist() == [1.0] * len(AGES)


def test_a_window_drops_what_is_outside_and_keeps_its_ends() -> None:
    assert Balance(window=(1, 25)).weigh([0, 1, 20, 25, 26, 25.5]).tolist() == [0, 1, 1, 1, 0, 0]


def test_a_cap_leaves_so_many_of_each_label_drawn_by_the_seed() -> None:
    weights = Balance(cap=50).weigh(AGES)
    assert [int(weights[age == AGES].sum()) for age in (0, 1, 25, 60)] == [50, 50, 50, 10]
    assert not np.array_equal(weights, Balance(cap=50).weigh(AGES, seed=1))


def test_a_cap_of_some_labels_leaves_the_others() -> None:
    weights = Balance(cap=50, capped=(0, 25)).weigh(AGES)
    assert [int(weights[age == AGES].sum()) for age in (0, 1, 25, 60)] == [50, 300, 50, 10]


@pytest.mark.parametrize(("weighting", "power"), [("inverse", 1.0), ("sqrt-inverse", 0.5)])
def test_rare_labels_count_more_by_their_number(weighting: str, power: float) -> None:
    weights = Balance(weighting=weighting).weigh(AGES)
    np.testing.assert_allclose(weights[-1] / weights[0], (400 / 10) ** power)


def test_lds_smooths_counts_over_neighbouring_years() -> None:
    ages = np.repeat([30.0, 31.0, 32.0, 50.0], [100, 1, 100, 100])
    weights = dict(zip(ages, Balance(weighting="lds").weigh(ages), strict=True))
    window = np.exp(-(np.arange(-2, 3) ** 2) / 8)
    window /= window.sum()
    smoothed = {30.0: window @ [0, 0, 100, 1, 100], 31.0: window @ [0, 100, 1, 100, 0], 50.0: 100 * window[2]}
    for age, count in smoothed.items():
        np.testing.assert_allclose(weights[age] / weights[50.0], (smoothed[50.0] / count) ** 0.5)


@given(LABELS, st.sampled_from(WEIGHTINGS), st.integers(1, 5))
def test_weights_are_finite_and_rows_that_stay_count_1_on_average(labels: list, weighting: str, cap: int) -> None:
    weights = Balance(cap=cap, weighting=weighting).weigh(labels)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights[weights > 0].mean(), 1)


def test_rows_without_a_label_stay() -> None:
    assert Balance(window=(20, 30), weighting="inverse").weigh([np.nan, 25, 50]).tolist() == [1, 1, 0]


def test_only_training_rows_are_weighed_and_only_by_each_other() -> None:
    ids = np.array([f"{number}.jpg" for number in range(len(AGES))], dtype=object)
    split = make_holdout(ids, np.arange(len(AGES)), AGES, repeats=2)
    weights = Balance(cap=50, weighting="inverse").weigh_folds(AGES, split)
    assert weights.shape == (2, len(AGES))
    changed = AGES.copy()
    changed[split.roles[:, 0] != TRAIN] = 99
    np.testing.assert_array_equal(weights[0], Balance(cap=50, weighting="inverse").weigh_folds(changed, split)[0])
    for fold in range(2):
        assert not weights[fold, split.roles[:, fold] != TRAIN].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (75, 21)}, "from low to high; found 75 to 21"),
        ({"cap": 0}, "a cap of 1 row or more; found 0"),
        ({"weighting": "smote"}, 'found "smote"'),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(BalanceError, match=message):
        Balance(**options)


def test_a_window_that_leaves_nobody_is_refused() -> None:
    with pytest.raises(BalanceError, match="found none in 2 for only 21 to 75"):
        Balance(window=(21, 75)).weigh([3, 4, np.nan])


def test_a_report_can_say_what_was_done() -> None:
    balance = Balance(window=(21, 75), cap=200, capped=(25,), weighting="lds")
    assert str(balance) == "only 21 to 75, at most 200 rows of 25, lds weights"
    assert str(Balance()) == "training rows as they are"


def test_completed_years_are_what_is_capped_and_windowed() -> None:
    ages = np.array([25.1, 25.2, 25.9, 40.0, 75.5, 76.0])
    ids = np.array(list("abcdef"), dtype=object)
    split = Split(ids, ids, np.full((6, 1), TRAIN, dtype=np.int8), "all train")
    capped = Balance(cap=1, capped=(25,)).weigh_training(ages, np.zeros(6), split)
    assert (capped[0, :3] > 0).sum() == 1
    windowed = Balance(window=(21, 75)).weigh_training(ages, np.zeros(6), split)
    assert (windowed[0] > 0).tolist() == [True, True, True, True, True, False]
