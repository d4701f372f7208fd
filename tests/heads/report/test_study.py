"""How a task's models are ordered, named and shown."""

from dataclasses import replace

import numpy as np
import pytest

from heads.report.study import studies_of
from tests.heads.report.small import (
    AGE,
    DUMMY,
    GENDER,
    HEIGHT,
    comparison_of,
    dataset_of,
    facts_of,
    people,
    predicted,
    run_of,
)

A, A_LINEAR, B = ("a seeded:0", "dense"), ("a seeded:0", "linear"), ("b", "dense")


@pytest.fixture
def study():
    said = {DUMMY: [50, 50], A_LINEAR: [12, 22], A: [11, 21], B: [15, 25]}
    comparison = comparison_of(*(predicted(AGE, model, [10, 20], of) for model, of in said.items()), tasks=[AGE])
    backbones = {"b": facts_of("b"), "a seeded:0": facts_of("a seeded:0", seeded=True)}
    (found,) = studies_of(comparison, dataset_of(people()), run_of([AGE], backbones=backbones))
    return found


def test_best_head_of_each_backbone_is_shown_random_weights_last_and_the_others_are_folded_away(study):
    assert study.ranked == [A, A_LINEAR, B, DUMMY]
    assert (study.shown, study.others) == ([B, A], [A_LINEAR])


def test_head_of_a_backbone_is_chosen_by_validation_rows_whatever_it_is_worth_on_test_rows():
    said = {A: [11, 21], A_LINEAR: [12, 22]}
    comparison = comparison_of(*(predicted(AGE, model, [10, 20], of) for model, of in said.items()), tasks=[AGE])
    turned = comparison.cells.assign(validation=[2.0, 1.0])
    (found,) = studies_of(replace(comparison, cells=turned), dataset_of(people()), run_of([AGE], [A[0]]))
    assert (found.shown, found.others) == ([A_LINEAR], [A])


def test_name_of_a_seeded_backbone_is_marked(study):
    assert [study.name(model) for model in study.ranked] == [
        "a seeded:0 †, dense",
        "a seeded:0 †, linear",
        "b, dense",
        "dummy",
    ]


def test_backbone_has_one_look_whatever_the_head_and_the_task(study):
    assert study.style(A) == study.style(A_LINEAR) == 1
    assert study.style(B) == 0


@pytest.mark.parametrize(
    ("task", "label", "error"),
    [(AGE, ("30", "30.2"), "0.25"), (HEIGHT, ("30", "30.2"), "0.25"), (GENDER, ("female", "female"), "25.0%")],
)
def test_labels_and_errors_are_written_as_their_kind_wants(task, label, error):
    comparison = comparison_of(predicted(task, B, [0, 1], [0, 1]), tasks=[task])
    (study,) = studies_of(comparison, dataset_of(people()), run_of([task], ["b"]))
    values = (1.0, 1.0) if task is GENDER else (30.0, 30.17)
    assert tuple(map(study.label, values)) == label
    assert (study.error(0.25), study.error(np.nan)) == (error, "-")
