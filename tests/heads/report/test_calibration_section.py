"""What the page says of certainty."""

import numpy as np

from heads.report.calibration_section import calibration_section
from heads.report.study import studies_of
from tests.heads.report.small import (
    AGE,
    GENDER,
    HEIGHT,
    NET,
    comparison_of,
    dataset_of,
    people,
    predicted,
    run_of,
    whole,
)

N = 200


def blocks_of(task, y, said, *, frame=None, **columns):
    comparison = comparison_of(predicted(task, NET, y, said).assign(**columns), tasks=[task])
    studies = studies_of(comparison, dataset_of(people(N) if frame is None else frame), run_of([task]))
    return {block.title: block for block in calibration_section(studies).blocks}


def test_group_whose_coverage_chance_does_not_explain_is_marked():
    y = np.full(N, 30.0)
    women = np.arange(N) % 2 == 0
    said = np.where(women & (np.arange(N) < 100), 90.0, 30.0)  # half of the women are far outside
    frame = people(N).assign(gender=np.where(women, "female", "male"))[["gender"]]
    block = blocks_of(AGE, y, said, frame=frame)["Do intervals hold the true age?"]
    (plot,) = block.plots
    notes = {label.text for label in plot.labels if "of" in label.text}
    assert "outside:  50.0% of 100" in notes
    assert "outside:  100.0% of 100" in notes
    assert "0 of 5 are inside" in block.caption


def test_true_ages_are_reported_and_not_judged():
    y = np.full(N, 30.0)
    block = blocks_of(AGE, y, y)["Do intervals hold the true age?"]
    true, other = block.more.tables
    assert [row.cells[0].text for row in true.rows] == ["true age group: Adult"]
    assert "true" not in {label.text.split()[0] for label in block.plots[0].labels}
    assert other.rows[0].cells[0].text == "all"


def test_coverage_width_and_area_stand_in_a_table_with_intervals():
    y = np.linspace(10, 80, N)
    (table,) = blocks_of(AGE, y, y + 1)["What if only the surest count?"].tables
    assert table.header == ("model", "in interval", "interval width", "AURC")
    assert [cell.text for cell in table.rows[0].cells] == ["net, dense", "100.0%", "10.0", "1.00"]


def test_classes_have_a_curve_and_their_calibration_error():
    wrong = (np.arange(N) % 5 == 0).astype(float)  # right 4 times of 5, as sure as it says
    block = blocks_of(GENDER, np.zeros(N), wrong)["Is it right as often as it says?"]
    (plot,) = block.plots
    assert plot.title == "gender"
    assert "guide" in [shape.look for shape in plot.shapes]
    assert [cell.text for cell in block.tables[0].rows[0].cells] == ["net, dense", "0.0%"]


def test_numbers_have_no_certainty_and_rows_without_any_leave_the_section_empty():
    y = np.linspace(10, 80, N)
    assert blocks_of(HEIGHT, y, y + 1) == {}
    assert blocks_of(AGE, y, y + 1, low=np.nan, high=np.nan) == {}


def test_every_task_of_classes_has_its_plot():
    comparison, data, run = whole()
    section = calibration_section(studies_of(comparison, data, run))
    (block,) = [block for block in section.blocks if block.title.startswith("Is it right")]
    assert [plot.title for plot in block.plots] == ["gender", "age_group"]
