"""What the section of a task shows, and what it says to see in it."""

import numpy as np
import pandas as pd
import pytest

from data.labels import AGE_GROUPS
from heads.report.study import studies_of
from heads.report.task_section import ANCESTOR, MATRIX_CLASSES, blocks_of
from heads.tasks import Task
from tests.heads.report.small import (
    AGE,
    DUMMY,
    GENDER,
    GROUP,
    HISTORY,
    NET,
    comparison_of,
    dataset_of,
    people,
    predicted,
    run_of,
    whole,
)


def blocks(task, *parts, frame=None, history=None, **changes):
    """The blocks of a task, by title."""
    comparison = comparison_of(*(predicted(task, *part) for part in parts), tasks=[task], history=history or {})
    data = dataset_of(people() if frame is None else frame)
    (study,) = studies_of(comparison, data, run_of([task], **changes))
    return {block.title: block for block in blocks_of(study, comparison.cells)}


TRAINING = ""  # a block without a title of its own, folded away
AGES = ["Predicted against true age", "How many are near enough?", "Age groups off"]
CLASSES = ["Confusion", "Precision, recall and F1"]


@pytest.mark.parametrize(
    ("task", "titles"),
    [
        ("age", [*AGES, "Error by age", "Too old or too young?", "MAE by group", TRAINING]),
        ("gender", [*CLASSES, "Error by age", "accuracy by group", TRAINING]),
        ("height", ["Predicted against true height", "Error by age", "MAE by group", TRAINING]),
        ("age_group", [*CLASSES, "Age groups off", "Error by age", "accuracy by group", TRAINING]),
    ],
)
def test_each_kind_of_task_has_its_blocks(task, titles):
    comparison, data, run = whole()
    (study,) = (study for study in studies_of(comparison, data, run) if study.task.name == task)
    assert [block.title for block in blocks_of(study, comparison.cells)] == titles


def test_without_labels_of_people_there_is_no_error_by_them():
    found = blocks(AGE, (NET, [10, 20], [11, 21]), frame=people()[["height"]])
    assert [*found] == AGES
    nobody = people().assign(gender=None, ethnicity=None, age=np.nan)
    assert [*blocks(AGE, (NET, [10, 20], [11, 21]), frame=nobody)] == [*found]


def test_dummy_alone_has_no_section():
    assert blocks(AGE, (DUMMY, [10, 20], [15, 15])) == {}


def test_plots_show_the_best_head_of_each_backbone_and_fold_the_others_away():
    said = [(NET, [10, 20], [11, 21]), (("net", "linear"), [10, 20], [15, 25]), (("b", "dense"), [10, 20], [12, 22])]
    block = blocks(AGE, *said, names=["net", "b"])["Predicted against true age"]
    assert [plot.title for plot in block.plots] == ["net, dense", "b, dense"]
    assert block.more.title == "Other heads (1)"
    assert [plot.title for plot in block.more.plots] == ["net, linear"]


def test_most_frequent_mistake_is_said_in_words():
    block = blocks(GENDER, (NET, [0, 0, 1, 1], [1, 1, 0, 1]))["Confusion"]
    assert 'The most frequent mistake of net, dense: "male" taken for "female", 2 times.' in block.caption


def test_images_are_counted_once_whatever_the_number_of_seeds():
    said = [predicted(GENDER, NET, [0, 0, 1], [0, 1, 1], seed=seed) for seed in (3, 4)]
    comparison = comparison_of(*said, tasks=[GENDER])
    (study,) = studies_of(comparison, dataset_of(people()), run_of([GENDER]))
    found = {block.title: block for block in blocks_of(study, comparison.cells)}
    assert [row.cells[-1].text for row in found["Confusion"].tables[0].rows] == ["2", "1"]
    assert [row.cells[1].text for row in found["Precision, recall and F1"].tables[0].rows] == ["2", "1"]


def test_no_mistake_is_not_spoken_of():
    assert "mistake" not in blocks(GENDER, (NET, [0, 1], [0, 1]))["Confusion"].caption


def test_many_classes_have_a_list_of_mistakes_instead_of_a_matrix():
    many = Task("city", "city", "class", tuple(f"c{i}" for i in range(MATRIX_CLASSES + 1)))
    block = blocks(many, (NET, [0, 1, 2, 3], [1, 1, 3, 3]))["Confusion"]
    (table,) = block.tables
    assert not table.matrix
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["c0", "c1", "1"], ["c2", "c3", "1"]]


def test_ancestor_is_named_beside_the_same_ten_groups_alone():
    said = (NET, [10, 20], [11, 21])
    assert ANCESTOR in blocks(AGE, said)["Age groups off"].caption
    assert "55.1% exact and 93.8% within one" in ANCESTOR
    assert ANCESTOR not in blocks(AGE, said, age_groups=AGE_GROUPS["five"])["Age groups off"].caption
    five = AGE_GROUPS["five"]
    group = Task("age_group", "age", "class", five.names, five.edges)
    assert ANCESTOR not in blocks(group, (NET, [0, 1], [0, 1]))["Age groups off"].caption
    assert ANCESTOR in blocks(GROUP, (NET, [0, 1], [0, 1]))["Age groups off"].caption


def test_age_at_which_the_best_head_errs_most_is_named():
    frame = pd.DataFrame({"age": [3.0] * 20 + [33.0] * 20 + [90.0]})
    said = (NET, frame["age"], [4] * 20 + [38] * 20 + [10])
    block = blocks(AGE, said, frame=frame)["Error by age"]
    assert "net, dense errs most at ages 30–34: MAE 5.00 of 20 rows." in block.caption
    numbers = [[cell.text for cell in row.cells] for row in block.more.tables[0].rows]
    assert numbers == [["0–4", "20", "1.00"], ["30–34", "20", "5.00"], ["90–94", "1", "80.00"]]


def test_curves_have_one_height_so_that_heads_can_be_compared():
    slow = [{name: (10 * np.array(values)).tolist() for name, values in fold.items()} for fold in HISTORY]
    history = {NET: HISTORY, ("b", "dense"): slow}
    said = [(NET, [10, 20], [11, 21]), (("b", "dense"), [10, 20], [12, 22])]
    found = blocks(AGE, *said, names=["net", "b"], history=history)
    folded = found[TRAINING].more
    assert [plot.title for plot in folded.plots] == [
        *("net, dense: loss", "net, dense: MAE", "b, dense: loss", "b, dense: MAE"),
    ]
    for first, second in (folded.plots[::2], folded.plots[1::2]):
        assert [label for label in first.labels if label.look == "tick"] == [
            label for label in second.labels if label.look == "tick"
        ]
