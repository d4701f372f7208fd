"""Labels to numbers and back, and the columns that cannot be learned."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.labels import ETHNICITIES, GENDERS, parse_age_groups
from heads.tasks import Task, TaskError, make_task, make_tasks


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "image_id": list("abcde"),
            "age": [0.0, 30.5, 101.0, np.nan, 100.0],
            "gender": ["male", "female", None, "female", "male"],
            "ethnicity": ["white", "asian", "white", None, "others"],
            "smiling": [True, False, True, None, False],
            "glasses": [1.0, 0.0, np.nan, 1.0, 2.0],
            "height": [1.5, 1.61, 1.72, 1.8, np.inf],
            "constant": ["x"] * 5,
            "empty": [None] * 5,
        }
    )


def test_age_outside_the_range_is_left_out_and_counted(frame):
    y, left_out = make_task("age", frame).encode(frame)
    np.testing.assert_array_equal(y, [0, 30.5, np.nan, np.nan, 100])
    assert left_out == {"no age label": 1, "age outside 0..100": 1}


def test_age_range_is_an_option(frame):
    task = make_task("age", frame, age_range=(20, 110))
    assert task.classes == tuple(range(20, 111))
    np.testing.assert_array_equal(task.encode(frame)[0], [np.nan, 30.5, 101, np.nan, 100])


def test_gender_and_ethnicity_are_positions_in_the_vocabulary(frame):
    gender, ethnicity = make_task("gender", frame), make_task("ethnicity", frame)
    assert (gender.classes, ethnicity.classes) == (GENDERS, ETHNICITIES)
    np.testing.assert_array_equal(gender.encode(frame)[0], [0, 1, np.nan, 1, 0])
    np.testing.assert_array_equal(ethnicity.encode(frame)[0], [0, 2, 0, np.nan, 4])


def test_age_group_is_made_from_ages(frame):
    task = make_task("age_group", frame, age_groups=parse_age_groups("18,65"))
    y, left_out = task.encode(frame)
    np.testing.assert_array_equal(y, [np.nan, 0, 1, np.nan, 1])
    assert left_out == {"no age label": 1, "age below 18": 1}


@pytest.mark.parametrize(
    ("column", "kind", "classes"),
    [("smiling", "class", ("False", "True")), ("glasses", "class", ("0", "1", "2")), ("height", "number", ())],
)
def test_kind_of_any_further_column_is_told_by_its_values(frame, column, kind, classes):
    task = make_task(column, frame)
    assert (task.kind, task.classes) == (kind, classes)


def test_kind_can_be_given(frame):
    assert make_task("glasses", frame, kind="number").encode(frame)[1] == {"no glasses label": 1}
    assert make_task("height", frame, kind="class").classes == ("1.5", "1.61", "1.72", "1.8", "inf")


def test_kind_of_a_built_in_task_is_not_an_option(frame):
    with pytest.raises(TaskError, match="built in"):
        make_task("gender", frame, kind="number")
    with pytest.raises(TaskError, match='"age" alone'):
        make_task("height", frame, kind="age")


def test_whole_numbers_in_order_when_classes_go_beyond_nine():
    frame = pd.DataFrame({"grade": [2, 10, 1]})
    assert make_task("grade", frame).classes == ("1", "2", "10")


def test_number_that_is_not_finite_is_left_out(frame):
    y, left_out = make_task("height", frame).encode(frame)
    assert np.isnan(y[-1])
    assert left_out == {"height not finite": 1}


def test_class_unseen_when_the_task_was_made_is_left_out(frame):
    y, left_out = make_task("glasses", frame).encode(pd.DataFrame({"glasses": [2, 3]}))
    np.testing.assert_array_equal(y, [2, np.nan])
    assert left_out == {"glasses not one of the classes": 1}


def test_unknown_column_is_refused_with_the_columns_there_are(frame):
    with pytest.raises(TaskError, match=r"(?s)smilling.*found image_id, age, gender"):
        make_task("smilling", frame)


def test_single_value_is_refused(frame):
    with pytest.raises(TaskError, match="found only x"):
        make_task("constant", frame)
    with pytest.raises(TaskError, match="found only female"):
        make_task("gender", frame[frame["gender"] == "female"])
    with pytest.raises(TaskError, match=r"found only 30\.5"):
        make_task("age", frame[1:2])


def test_no_labelled_row_is_refused_with_the_reason(frame):
    with pytest.raises(TaskError, match="found none; 5 rows: no empty label"):
        make_task("empty", frame)
    with pytest.raises(TaskError, match=r"found none; 1 rows: age outside 0\.\.100"):
        make_task("age", frame[2:3])


@pytest.mark.parametrize("name", ["age", "gender", "age_group", "smiling", "height"])
def test_task_survives_json(frame, name):
    task = make_task(name, frame)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


def test_fields_that_are_no_task_are_refused(frame):
    with pytest.raises(TaskError, match="expected the fields of a task"):
        Task.from_dict({"name": "age"})
    with pytest.raises(TaskError, match='found "colour"'):
        Task.from_dict({**make_task("age", frame).to_dict(), "kind": "colour"})


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20))
def test_certain_age_decodes_to_itself(ages):
    task = Task("age", "age", "age", tuple(range(101)))
    proba = np.eye(101, dtype=np.float32)[ages]
    np.testing.assert_allclose(task.decode(proba)["age"], ages)
    assert task.evaluate(np.array(ages, float), proba)["mae"] == 0


def test_class_decodes_to_its_name_and_probability(frame):
    decoded = make_task("gender", frame).decode(np.array([[0.9, 0.1], [0.3, 0.7]]))
    assert list(decoded.columns) == ["gender", "gender_proba"]
    assert decoded["gender"].tolist() == ["male", "female"]
    np.testing.assert_allclose(decoded["gender_proba"], [0.9, 0.7])


def test_rows_without_a_label_are_not_evaluated(frame):
    task = make_task("gender", frame)
    output = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    assert task.evaluate(np.array([0, 1, np.nan]), output)["accuracy"] == 0.5
    assert np.isnan(task.evaluate(np.full(3, np.nan), output)["accuracy"])


def test_balanced_mae_of_ages_is_over_the_ten_age_groups():
    task = Task("age", "age", "age", (0, 1, 30))
    output = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=np.float64)
    metrics = task.evaluate(np.array([0.0, 1.0, 30.0]), output)
    assert metrics["balanced_mae"] == pytest.approx((0.5 + 30) / 2)
    assert tuple(metrics) == task.metrics


@pytest.mark.parametrize("name", ["status", "bundle", "path"])
def test_name_that_scores_use_themselves_is_no_task(frame, name):
    with pytest.raises(TaskError, match=f'"{name}", a name that tables of scores use'):
        make_task(name, frame.assign(**{name: ["a", "b"] * (len(frame) // 2) + ["a"] * (len(frame) % 2)}))


def test_tasks_that_would_predict_one_column_twice_are_refused(frame):
    genders = np.resize(["male", "female"], len(frame))
    frame = frame.assign(gender=genders, gender_proba=range(len(frame)))
    with pytest.raises(TaskError, match="found gender_proba twice"):
        make_tasks(["gender", "gender_proba"], frame, kinds={"gender_proba": "number"})


def test_age_of_a_regression_stays_within_the_ages_learned():
    age = Task("age", "age", "age", tuple(range(10, 61)))
    assert age.point(np.array([-7.0, 30.5, 99.0])).tolist() == [10, 30.5, 60]
