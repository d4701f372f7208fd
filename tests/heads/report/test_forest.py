"""Where figures and their intervals stand in a forest plot."""

import math

from heads.report.canvas import RIGHT, WIDTH
from heads.report.forest import EDGE, FOOT, GAP, HEAD, STEP, Line, Spot, forest
from heads.report.lines import Axis
from tests.heads.report.test_plots import points_of

AXIS = Axis("MAE", 4, 6)
MIDDLE = (EDGE + WIDTH - RIGHT) / 2


def test_interval_runs_from_low_to_high_with_the_mark_between():
    plot = forest([Line("net", "5.00", [Spot(5, 4, 6, 0)])], AXIS, title="age")
    y = HEAD + STEP / 2
    assert points_of(plot, "line thick s0") == [(EDGE, y), (WIDTH - RIGHT, y)]
    marks = points_of(plot, "dot s0")
    assert abs(sum(x for x, _ in marks) / len(marks) - MIDDLE) < 1


def test_interval_beyond_the_axis_ends_at_its_edge():
    plot = forest([Line("net", "", [Spot(5, -90, 90, 0)])], AXIS, title="age")
    assert [x for x, _ in points_of(plot, "line thick s0")] == [EDGE, WIDTH - RIGHT]


def test_figures_of_a_row_stand_beneath_each_other_and_rows_do_not_overlap():
    spots = [Spot(5, 4.5, 5.5, style) for style in range(3)]
    plot = forest([Line("ethnicity"), Line("asian", "n 20", spots), Line("white", "n 30", spots[:1])], AXIS, title="a")
    heights = [points_of(plot, f"line thick s{style}")[0][1] for style in (1, 2)]
    assert heights[1] - heights[0] == STEP
    names = {label.text: label.y for label in plot.labels}
    assert names["white"] - names["asian"] == HEAD + 3 * STEP + GAP
    assert names["asian"] - names["ethnicity"] == HEAD
    assert plot.height == 3 * HEAD + 4 * STEP + 2 * GAP + FOOT


def test_unknown_figure_leaves_its_place_empty_and_unknown_interval_the_mark_alone():
    nan = math.nan
    plot = forest([Line("a", "", [Spot(nan, nan, nan, 0)]), Line("b", "", [Spot(5, nan, nan, 1)])], AXIS, title="a")
    assert [shape.look for shape in plot.shapes] == ["grid", "dot s1"]


def test_guide_is_drawn_within_the_axis_alone():
    row = [Line("a", "", [Spot(5, 5, 5, 0)])]
    (guide,) = [shape.path for shape in forest(row, AXIS, title="a", guide=5).shapes if shape.look == "guide"]
    assert guide.startswith(f"M{MIDDLE} 0V")
    assert "guide" not in [shape.look for shape in forest(row, AXIS, title="a", guide=20.2).shapes]


def test_long_name_is_cut_before_the_note():
    plot = forest([Line("x" * 99, "n 1,000", [Spot(5, 5, 5, 0)])], AXIS, title="a")
    (name,) = [label.text for label in plot.labels if label.text.startswith("x")]
    assert name.endswith("x…")
    assert len(name) < 45
