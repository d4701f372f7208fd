"""The report as a whole: what it comes to, what it warns of, and that nothing asked for is missing."""

from dataclasses import replace

import pytest

from heads.report.sections import WORST, report_of
from tests.heads.report.small import (
    AGE,
    DUMMY,
    GENDER,
    NET,
    comparison_of,
    dataset_of,
    facts_of,
    people,
    predicted,
    run_of,
    whole,
)


def section(report, anchor):
    (found,) = (each for each in report.sections if each.anchor == anchor)
    return found


def small(*parts, task=AGE, **changes):
    comparison = comparison_of(*(predicted(task, *part) for part in parts), tasks=[task])
    return report_of(comparison, dataset_of(people()), run_of([task], **changes), picture=lambda path: path)


def test_table_comes_first_and_how_to_repeat_it_last():
    comparison, data, run = whole(test=True)
    anchors = [section.anchor for section in report_of(comparison, data, run, picture=str).sections]
    assert anchors == [
        *("results", "task-1", "task-2", "task-3", "task-4", "calibration", "leakage", "robustness", "embeddings"),
        *("cost", "mistakes", "repeat"),
    ]


def test_headline_names_the_best_model_beside_the_dummy():
    (headline,) = small((DUMMY, [10, 20], [15, 15]), (NET, [10, 20], [11, 23])).summary
    assert (headline.lead, headline.figure, headline.model, headline.contrast) == (
        *("Best on age by MAE", "2.00", "net, dense", "dummy 5.00, on 2 rows"),
    )


@pytest.mark.parametrize("said", [[99, 99], [15, 15]])
def test_head_that_does_not_beat_the_dummy_is_not_called_the_best(said):
    (headline,) = small((DUMMY, [10, 20], [15, 15]), (NET, [10, 20], said)).summary
    assert headline.lead == "Nothing beats the dummy on age by MAE"


def test_bundle_without_a_dummy_has_a_headline_too():
    (headline,) = small((NET, [0, 1], [0, 1]), task=GENDER).summary
    assert (headline.lead, headline.contrast) == ("Best on gender by accuracy", "on 2 rows")


def test_seeded_backbones_are_warned_of_and_trained_ones_are_not():
    seeded = {"net": facts_of("net", seeded=True)}
    said = (NET, [10, 20], [11, 21])
    (warning,) = small(said, backbones=seeded).warnings
    assert warning == "† net: weights drawn at random, not trained; figures say nothing about net"
    assert small(said).warnings == ()


def test_other_manifest_has_its_own_tables():
    comparison, data, run = whole(test=True)
    folds, _, tested = section(report_of(comparison, data, run), "results").blocks
    assert tested.title == "Tested on another manifest"
    assert [table.title for table in tested.tables] == ["age", "gender", "height", "age_group"]
    assert tested.tables[0].rows[1].cells[2].note == ""  # one outcome has no interval
    assert " to " in folds.tables[0].rows[1].cells[2].note


def test_nothing_is_said_of_the_best_and_the_dummy_where_one_head_stands_alone():
    alone = section(small((NET, [10, 20], [11, 23])), "results").blocks[0].caption
    beside = section(small((DUMMY, [10, 20], [15, 15]), (NET, [10, 20], [11, 23])), "results").blocks[0].caption
    assert ("dummy" in alone, "dummy" in beside) == (False, True)


def test_cost_shows_every_backbone_whose_cost_is_known():
    backbones = {"net": facts_of("net"), "b": facts_of("b", embed_ms=float("nan")), "c": facts_of("c", embed_ms=50.0)}
    said = [((name, "dense"), [10, 20], [11, 21]) for name in backbones]
    (block,) = section(small(*said, backbones=backbones), "cost").blocks
    (plot,) = block.plots
    assert {label.text for label in plot.labels if label.look == "name"} == {"net, dense", "c, dense"}


def test_cost_is_left_out_where_none_is_known():
    report = small((NET, [1], [2]), backbones={"net": facts_of("net", embed_ms=0.0)})
    assert "cost" not in [section.anchor for section in report.sections]


def test_random_weights_alone_are_not_called_the_best():
    (headline,) = small((NET, [10, 20], [11, 23]), backbones={"net": facts_of("net", seeded=True)}).summary
    assert headline.lead == "Random weights on age by MAE"


def test_mistakes_are_those_of_the_best_head_with_true_and_predicted():
    said = [(NET, [10, 20, 30], [10, 27, 34]), (("net", "linear"), [10, 20, 30], [99, 99, 99])]
    (block,) = section(small(*said), "mistakes").blocks
    assert "net, dense" in block.caption
    assert [(f.image_id, f.true, f.predicted, f.picture) for f in block.faces] == [
        ("1", "20", "27", "/nowhere/1.png"),
        ("2", "30", "34", "/nowhere/2.png"),
    ]


def test_mistakes_are_few():
    (block,) = section(small((NET, [10.0] * 24, [20.0] * 24)), "mistakes").blocks
    assert len(block.faces) == WORST


def test_no_mistakes_are_said_to_be_none():
    (block,) = section(small((NET, [10, 20], [10, 20])), "mistakes").blocks
    assert (block.faces, block.caption) == ((), "No mistakes.")


def test_repeat_has_all_that_another_run_needs():
    comparison, data, run = whole()
    counts = {
        "dropped": {"not ok in the store for net": 3},
        "left_out": {"age": {"age outside 0..100": 2}, "gender": {}},
    }
    data = replace(data, rows=replace(data.rows, **counts))
    run = replace(run, paths={"command": "faceprobe compare m.csv", "manifest": "m.csv", "store": "st"})
    (block,) = section(report_of(comparison, data, run), "repeat").blocks
    assert block.code == "faceprobe compare m.csv"
    facts, backbones, left_out = block.tables
    assert {row.cells[0].text: row.cells[1].text for row in facts.rows} == {
        "date": "2001-02-03",
        "manifest": "m.csv",
        "store": "st",
        "python": "3.99",
        "rows": "24",
        "split": data.split.rule,
        "split's SHA-256": data.split.hash,
        "seed": "7, of the split and the heads",
    }
    assert [cell.text for cell in backbones.rows[0].cells][2] == "ab" * 32
    assert [[cell.text for cell in row.cells] for row in left_out.rows] == [
        ["all", "not ok in the store for net", "3"],
        ["age", "age outside 0..100", "2"],
    ]


def test_without_pictures_no_image_is_named():
    comparison, data, run = whole()
    report = report_of(comparison, data, run)
    assert "mistakes" not in [section.anchor for section in report.sections]
    assert not [block for section in report.sections for block in section.blocks if block.faces]
