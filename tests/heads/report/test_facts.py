"""The numbers of a report against rows counted by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.labels import AGE_GROUPS, parse_age_groups
from heads import metrics
from heads.cell import TEST
from heads.report.facts import (
    Estimate,
    age_bin,
    age_groups_off,
    age_step,
    by_people,
    confusion,
    curves,
    first_metric,
    goodness,
    groups_off,
    mean_error,
    mix_ups,
    one_of_each,
    per_class,
    ranking,
    rows_of,
    worst,
)
from tests.heads.report.small import AGE, DUMMY, GENDER, GROUP, HISTORY, NET, comparison_of, predicted, rows_with_ids

LINEAR = ("net", "linear")


def rows(task, *parts, **columns) -> pd.DataFrame:
    """Rows of `rows_of` for (model, y, predicted)."""
    predictions = pd.concat([predicted(task, *part) for part in parts])
    return rows_of(predictions, task, rows_with_ids(pd.DataFrame(columns, index=range(len(parts[0][1])))))


# ---- order


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [("mae", 4, 5), ("balanced_mae", 4, 5), ("rmse", 1, 2), ("bias", -0.1, 0.2), ("accuracy", 0.9, 0.8), ("r2", 1, -3)],
)
def test_goodness_knows_which_way_a_metric_is_better(metric, better, worse):
    assert goodness(metric, better) > goodness(metric, worse)


def test_models_are_ranked_by_their_first_metric_and_the_dummy_with_them():
    comparison = comparison_of(
        predicted(AGE, DUMMY, [10, 20], [15, 15]),
        predicted(AGE, LINEAR, [10, 20], [10, 32]),
        predicted(AGE, NET, [10, 20], [11, 23]),
        tasks=[AGE],
    )
    found = first_metric(comparison.figures, AGE)
    assert ranking(found, AGE) == [NET, DUMMY, LINEAR]
    assert (found[NET].value, found[NET].n) == (2, 2)
    assert found[NET].low < 2 < found[NET].high


def test_model_without_a_figure_comes_last():
    found = {NET: Estimate(np.nan, np.nan, np.nan, 0), LINEAR: Estimate(0.5, 0.4, 0.6, 9)}
    assert ranking(found, GENDER) == [LINEAR, NET]


# ---- errors


def test_rows_have_the_labels_of_their_image_whatever_the_order():
    predictions = predicted(AGE, NET, [30, 40, 50], [31, 38, 50])
    frame = rows_with_ids(pd.DataFrame({"gender": ["male", "female", None]}))
    found = rows_of(predictions, AGE, frame.iloc[::-1])
    assert found["error"].tolist() == [1, 2, 0]
    assert found["gender"].fillna("-").tolist() == ["male", "female", "-"]


def test_rows_of_the_test_manifest_and_of_other_tasks_are_left_out():
    one = predicted(AGE, NET, [30], [31])
    found = rows_of(
        pd.concat([one, one.assign(fold=TEST), one.assign(task="gender")]), AGE, rows_with_ids(pd.DataFrame(index=[0]))
    )
    assert len(found) == 1


def test_error_of_a_class_is_whether_it_is_wrong_however_far():
    assert rows(GROUP, (NET, [0, 1, 9], [0, 9, 8]))["error"].tolist() == [0, 1, 1]


def test_mean_error_is_by_group_and_model_with_the_rows_of_the_group():
    found = rows(
        AGE, (NET, [30, 40, 50, 60], [31, 40, 55, 60]), (DUMMY, [30, 40, 50, 60], [45] * 4), g=["a", "a", "b", None]
    )
    gender = pd.Series(["a", "a", "b", None] * 2)
    errors = mean_error(found, gender)
    assert errors.n.to_dict() == {"a": 2, "b": 1}
    assert errors.mean[NET].to_dict() == {"a": 0.5, "b": 5}
    assert errors.mean[DUMMY].to_dict() == {"a": 10, "b": 5}


def test_ages_are_binned_by_completed_years():
    assert age_bin(pd.Series([0, 4.9, 5, 99, 100]), 5).tolist() == [0, 0, 5, 95, 100]


@pytest.mark.parametrize(("rows_per_year", "step"), [(4, 5), (3, 10), (1, 20), (0.1, 20)])
def test_bins_of_ages_are_as_narrow_as_the_rows_allow(rows_per_year, step):
    ages = pd.Series(np.linspace(0, 79.9, round(80 * rows_per_year)))
    assert age_step(ages, enough=20) == step


def test_bias_is_the_mean_of_predicted_less_true():
    found = rows(AGE, (NET, [30, 40, 50], [31, 38, 50]))
    assert mean_error(found, pd.Series(["a", "a", "b"]), of="off").mean[NET].to_dict() == {"a": -0.5, "b": 0}


# ---- several seeds


def seeds(*said) -> pd.DataFrame:
    """Rows of one model trained from several seeds, in the order of what they said of ages 30 and 40."""
    parts = [predicted(AGE, NET, [30, 40], of, seed=seed) for seed, of in enumerate(said, start=5)]
    frame = rows_with_ids(pd.DataFrame({"gender": ["male", "female"], "kept": ["0", "1"]}))
    return rows_of(pd.concat(parts), AGE, frame)


def test_errors_are_averaged_over_seeds_and_images_counted_once():
    errors = mean_error(seeds([31, 40], [33, 40]), pd.Series("all", index=range(4)))
    assert errors.mean[NET]["all"] == 1
    assert errors.n["all"] == 2


def test_where_images_are_counted_the_first_seed_speaks():
    found = one_of_each(seeds([31, 40], [33, 40]))
    assert found["predicted"].tolist() == [31, 40]
    assert worst(seeds([31, 40], [99, 40]), AGE, NET, 9)["predicted"].tolist() == [31]


# ---- people


def crowd() -> pd.DataFrame:
    """Rows of one model from two seeds: 30 men off by 2 and 4 years, 20 women off by 1, 10 unknown off by 9."""
    y = np.full(60, 30.0)
    off = [np.repeat(years, [30, 20, 10]) for years in ([2.0, 1.0, 9.0], [4.0, 1.0, 9.0])]
    said = [predicted(AGE, NET, y, y + of, seed=seed) for seed, of in enumerate(off)]
    gender = np.repeat(np.array(["male", "female", None], dtype=object), [30, 20, 10])
    frame = rows_with_ids(pd.DataFrame({"gender": gender, "kept": [str(i) for i in range(60)]}))
    return rows_of(pd.concat(said), AGE, frame.assign(age=y))


def test_metric_by_people_is_the_mean_over_seeds_of_each_group():
    found = by_people(crowd(), AGE, AGE_GROUPS["ten"]).set_index(["trait", "group"])
    assert found["value"].round(6).to_dict() == {
        ("gender", "female"): 1,
        ("gender", "male"): 3,
        ("age group", "Adult"): pytest.approx((30 * 3 + 20 + 90) / 60),
    }
    assert found["n"].to_dict()["gender", "male"] == 30


def test_crossings_are_named_by_both_traits_and_tiny_ones_have_no_figure():
    rows = crowd()
    rows.loc[rows["image_id"].isin([str(i) for i in range(12)]), "age"] = 70.0
    found = by_people(rows, AGE, AGE_GROUPS["ten"], crossed=True).set_index(["trait", "group"])["value"]
    crossed = found["gender, age group"]
    assert {group: bool(np.isnan(value)) for group, value in crossed.items()} == {
        "female, Adult": False,
        "male, Adult": True,
        "male, Senior": True,
    }


# ---- age groups


def test_groups_off_are_shares_by_distance():
    assert groups_off(pd.Series([0, 1, 2, 9]), pd.Series([0, 2, 1, 6])).tolist() == [0.25, 0.5, 0, 0.25]


def test_groups_of_predicted_ages_are_those_of_the_preset():
    # Baby 0-1, Toddler 2-3, Child 4-8: exact, one off, two off, exact; a regression may say less than 0
    found = rows(AGE, (NET, [1, 1, 1, 0], [1.9, 2.0, 4.0, -3.0]))
    assert age_groups_off(found, AGE, AGE_GROUPS["ten"]).tolist() == [0.5, 0.25, 0.25]


def test_rows_younger_than_the_first_group_are_left_out_and_a_guess_below_it_is_one_off():
    found = rows(AGE, (NET, [3, 12, 30, 30], [3, 5, 30, 12]))
    assert age_groups_off(found, AGE, parse_age_groups("10,20,40")).tolist() == [
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    ]


def test_age_groups_are_known_of_ages_and_groups_alone():
    assert age_groups_off(rows(GROUP, (NET, [0, 4], [0, 5])), GROUP, AGE_GROUPS["five"]).tolist() == [0.5, 0.5]
    assert age_groups_off(rows(GENDER, (NET, [0, 1], [0, 1])), GENDER, AGE_GROUPS["five"]) is None
    assert age_groups_off(rows(AGE, (NET, [3], [3])), AGE, parse_age_groups("10,20")) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_shares_of_groups_off_add_up_and_the_first_is_the_accuracy(pairs):
    y, said = (pd.Series(side) for side in zip(*pairs, strict=True))
    shares = groups_off(y, said)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(metrics.accuracy(y.to_numpy(), said.to_numpy()))


# ---- classes


def test_confusion_counts_the_true_class_along_the_first_axis():
    found = confusion(rows(GROUP, (NET, [0, 0, 0, 2], [0, 1, 1, 2])), 3)
    assert found.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_precision_recall_and_f1_of_each_class():
    found = per_class(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    assert found["precision"].tolist()[:2] == [6 / 7, 3 / 5]
    assert found["recall"].tolist()[:2] == [6 / 8, 3 / 4]
    assert found["f1"].tolist()[:2] == [12 / 15, 6 / 9]
    assert found["n"].tolist() == [8, 4, 0]
    assert found.iloc[2][["precision", "recall", "f1"]].isna().all()


def test_class_never_predicted_has_no_precision_but_recall_0():
    found = per_class(np.array([[0, 4], [0, 6]]))
    assert np.isnan(found["precision"][0])
    assert (found["recall"][0], found["f1"][0]) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_mean_of_f1_is_the_macro_f1_of_the_results(pairs):
    y, said = (np.array(side, float) for side in zip(*pairs, strict=True))
    counts = confusion(pd.DataFrame({"y": y, "predicted": said}), 5)
    assert per_class(counts)["f1"].mean() == pytest.approx(metrics.macro_f1(y, said))


def test_mix_ups_are_the_most_frequent_first_without_what_is_right():
    found = mix_ups(np.array([[9, 1, 0], [0, 9, 4], [2, 0, 9]]))
    assert found.to_numpy().tolist() == [[1, 2, 4], [2, 0, 2], [0, 1, 1]]


# ---- training


def test_curves_are_over_the_nets_of_all_folds():
    found = curves(HISTORY)
    assert found["name"].unique().tolist() == ["train_loss", "valid_loss", "age mae"]
    loss = found[found["name"] == "train_loss"]
    assert loss[["round", "mean", "low", "high"]].to_numpy().tolist() == [[1, 3, 1, 4], [2, 2, 1, 4]]


def test_curves_of_folds_of_unequal_length_average_what_is_there():
    found = curves([{"loss": [[1.0], [2.0]]}, {"loss": [[3.0]]}])
    assert found["mean"].tolist() == [2, 2]


# ---- mistakes


def test_worst_ages_are_those_furthest_off():
    found = worst(rows(AGE, (NET, [10, 20, 30, 40], [11, 5, 30, 49])), AGE, NET, 2)
    assert found["image_id"].tolist() == ["1", "3"]


def test_right_predictions_are_no_mistakes():
    assert worst(rows(AGE, (NET, [10, 20], [10, 21])), AGE, NET, 9)["image_id"].tolist() == ["1"]
    assert worst(rows(GENDER, (NET, [0, 1], [0, 1])), GENDER, NET, 9).empty


def test_among_equal_mistakes_those_of_all_heads_come_first_and_the_dummy_does_not_count():
    found = rows(
        GENDER,
        (NET, [0, 0, 0, 1], [1, 1, 1, 1]),
        (LINEAR, [0, 0, 0, 1], [0, 0, 1, 0]),
        (DUMMY, [0, 0, 0, 1], [0, 1, 0, 0]),
    )
    assert worst(found, GENDER, NET, 9)["image_id"].tolist() == ["2", "0", "1"]


def test_ordered_groups_are_worse_the_further_off():
    assert worst(rows(GROUP, (NET, [0, 0, 5], [1, 9, 3])), GROUP, NET, 9)["image_id"].tolist() == ["1", "2", "0"]
