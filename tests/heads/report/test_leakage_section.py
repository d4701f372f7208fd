"""The leakage meter as the page shows it."""

from dataclasses import replace

import pandas as pd
import pytest

from heads.report.leakage_section import leakage_section
from heads.report.study import studies_of
from tests.heads.report.small import whole


@pytest.fixture
def made():
    comparison, data, run = whole()
    return studies_of(comparison, data, run), comparison.leakage, data


def blocks(studies, leakage, data, **options):
    return {block.title: block for block in leakage_section(studies, leakage, data, **options).blocks}


def texts(table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_figures_stand_side_by_side_with_what_the_random_split_seems_to_gain(made):
    ages, genders = blocks(*made)["What a random split would pretend"].tables
    assert texts(ages) == [["net, dense", "4.50", "4.00", "+0.50"]]
    assert (ages.header[-1], genders.header[-1]) == ("gained", "gained, points")
    assert texts(genders) == [["net, dense", "90.0%", "92.0%", "+2.0"]]


def test_near_copies_and_similarities_of_both_splits_are_shown(made):
    block = blocks(*made)["How near training comes to test images"]
    assert texts(block.tables[0]) == [["net", "0.0%", "10.0%"]]
    (plot,) = block.plots
    assert {shape.look for shape in plot.shapes} >= {"line s0", "line plain"}
    assert "by construction" in block.caption


def test_rule_is_said_in_words(made):
    assert blocks(*made)["How near training comes to test images"].caption.endswith("together: by hand.")


def test_conflicts_are_counted_and_shown_only_with_pictures(made):
    block = blocks(*made)["One picture, two labels"]
    assert texts(block.tables[0]) == [["age", "1"]]
    assert block.faces == ()
    faces = blocks(*made, picture=lambda path: f"<{path}>")["One picture, two labels"].faces
    assert [(face.image_id, face.predicted, face.true, face.picture) for face in faces] == [
        ("0", "0, male, white", "4, female, black", "</nowhere/0.png>"),
        ("1", "4, female, black", "0, male, white", "</nowhere/1.png>"),
    ]


def test_no_conflicts_are_said_to_be_none(made):
    studies, leakage, data = made
    block = blocks(studies, replace(leakage, conflicts=pd.DataFrame()), data)["One picture, two labels"]
    assert (block.tables, block.caption[:14]) == ((), "No near copies")


def test_without_a_measurement_there_is_no_section(made):
    assert blocks(made[0], None, made[2]) == {}
