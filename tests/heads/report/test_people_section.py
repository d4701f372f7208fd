"""For whom predictions err, as the page says it."""

import numpy as np
import pandas as pd

from heads.dataset import QUALITY
from heads.report.people_section import bias_by_age, by_age, by_group
from heads.report.study import studies_of
from tests.heads.report.small import AGE, GENDER, NET, comparison_of, dataset_of, people, predicted, run_of

N = 90


def study_of(task, y, said, frame):
    comparison = comparison_of(predicted(task, NET, y, said), tasks=[task])
    (study,) = studies_of(comparison, dataset_of(frame), run_of([task]))
    return study


def crowd(**columns) -> pd.DataFrame:
    return people(N).assign(age=30.0, gender=np.repeat(["female", "male"], [60, 30]), **columns)


def test_groups_have_their_figure_interval_and_number():
    frame = crowd(ethnicity="white")
    off = np.where(frame["gender"] == "female", 1.0, 4.0)
    block = by_group(study_of(AGE, frame["age"], frame["age"] + off, frame))
    numbers = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in block.more.tables[0].rows}
    assert numbers == {"female": ["60", "1.00"], "male": ["30", "4.00"]}
    assert block.more.tables[0].rows[0].cells[2].note == "1.00 to 1.00"
    first, _ = block.plots
    notes = [label.text for label in first.labels if label.look == "name note"]
    assert notes == ["n 60", "n 30", "n 90"]


def test_plot_is_called_by_the_traits_in_it():
    quality = pd.Categorical.from_codes(np.arange(N) % 2, ["poor", "good"], ordered=True)
    titles = []
    for frame in (crowd().drop(columns="ethnicity"), crowd(), crowd(**{QUALITY: quality})):
        block = by_group(study_of(AGE, frame["age"], frame["age"] + np.arange(N) % 2, frame))
        titles.append(block.plots[0].title)
    assert titles == ["gender", "gender and ethnicity", f"gender, ethnicity and {QUALITY}"]
    assert [row.cells[0].text for row in block.more.tables[2].rows] == ["poor", "good"]


def test_tiny_groups_are_withheld_and_their_size_is_not_told():
    frame = crowd(ethnicity=["asian"] * 7 + ["white"] * (N - 7))
    block = by_group(study_of(AGE, frame["age"], frame["age"] + 2, frame))
    (tiny,) = [row for table in block.more.tables for row in table.rows if row.cells[0].text == "asian"]
    assert [cell.text for cell in tiny.cells] == ["asian", "under 20", "withheld"]
    assert "asian" not in [label.text for plot in block.plots for label in plot.labels]


def test_crossings_of_traits_are_folded_away():
    frame = crowd(ethnicity="white")
    block = by_group(study_of(GENDER, np.zeros(N), np.zeros(N), frame))
    assert block.title == "accuracy by group"
    headings = [table.header[0] for table in block.more.tables]
    assert headings == [
        *("gender", "ethnicity", "age group"),
        *("gender, ethnicity", "gender, age group", "ethnicity, age group"),
    ]


def test_bias_is_drawn_of_ages_alone_with_a_line_where_there_is_none():
    frame = people(N).assign(age=np.repeat([10.0, 60.0], [45, 45]))
    block = bias_by_age(study_of(AGE, frame["age"], frame["age"] + np.repeat([3.0, -3.0], [45, 45]), frame))
    (plot,) = block.plots
    assert [shape.look for shape in plot.shapes].count("guide") == 1
    assert bias_by_age(study_of(GENDER, np.zeros(N), np.zeros(N), frame)) is None


def test_nothing_is_said_of_people_of_whom_nothing_is_known():
    nobody = people(N)[["height"]]
    study = study_of(AGE, np.full(N, 30.0), np.full(N, 31.0), nobody)
    assert (by_age(study), bias_by_age(study), by_group(study)) == (None, None, None)
