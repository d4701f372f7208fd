"""Where values stand in a plot, and what of them is drawn."""

import re

import numpy as np
import pandas as pd

from heads.report.canvas import SQUARE
from heads.report.facts import Errors, curves
from heads.report.plots import DEPTHS, EDGE, FEW, HANDFUL, Point, by_age, cost, curve, density, dots, least_rows
from tests.heads.report.small import HISTORY, NET

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def points_of(plot, look: str) -> list[tuple[float, float]]:
    """The points of the lines that look so."""
    (path,) = [shape.path for shape in plot.shapes if shape.look == look]
    numbers = [float(n) for n in NUMBER.findall(path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def squares(plot, depth: int) -> int:
    (path,) = [shape.path for shape in plot.shapes if shape.look == f"cell d{depth}"]
    return path.count("M")


def test_density_counts_rows_and_is_darkest_where_most_are():
    y = pd.Series([10.5] * 100 + [50.5, 99.9])
    plot = density(y, y, title="net", what="age", ends=(0, 100))
    assert [squares(plot, depth) for depth in range(DEPTHS)] == [2, 0, 0, 0, 0, 1]
    assert "102 rows" in plot.about


def test_few_rows_are_as_dark_as_the_most():
    plot = density(pd.Series([10.5, 50.5]), pd.Series([10.5, 50.5]), title="net", what="age", ends=(0, 100))
    assert squares(plot, DEPTHS - 1) == 2


def test_values_beyond_the_axes_are_drawn_at_their_edge():
    plot = density(pd.Series([0.0, 100]), pd.Series([-20.0, 130]), title="", what="age", ends=(0, 100))
    assert sum(squares(plot, depth) for depth in range(DEPTHS)) == 2


LOOK = {"step": 5, "y_label": "MAE", "percent": False}


def errors_of(values, n) -> Errors:
    ages = [5.0 * i for i in range(len(n))]
    columns = pd.MultiIndex.from_tuples([NET])
    return Errors(pd.DataFrame(np.array(values)[:, None], index=ages, columns=columns), pd.Series(n, index=ages))


def test_bins_of_few_rows_are_not_drawn_but_counted():
    plot = by_age(errors_of([1.0, 90.0, 2.0], [FEW, FEW - 1, FEW]), {NET: 0}, **LOOK)
    assert len(points_of(plot, "line s0")) == 2
    (bars,) = [shape.path for shape in plot.shapes if shape.look == "bar"]
    assert bars.count("M") == 3
    assert max(float(label.text) for label in plot.labels if label.look == "tick" and label.anchor == "end") < 90


def test_where_most_bins_are_small_a_handful_of_rows_is_enough():
    assert least_rows(errors_of([1.0, 2.0, 3.0], [30, 20, 2])) == FEW
    assert least_rows(errors_of([1.0, 2.0, 3.0], [30, 10, 2])) == HANDFUL
    assert least_rows(errors_of([1.0, 2.0], [3, 2])) == 3


def test_line_ends_where_a_bin_is_not_drawn():
    plot = by_age(errors_of([1.0, 2.0, 9.0, 4.0, 5.0], [FEW, FEW, 1, FEW, FEW]), {NET: 0}, **LOOK)
    (path,) = [shape.path for shape in plot.shapes if shape.look == "line s0"]
    assert path.count("M") == 2


def test_larger_errors_stand_higher():
    plot = by_age(errors_of([1.0, 3.0], [FEW, FEW]), {NET: 0}, **LOOK)
    (_, low), (_, high) = points_of(plot, "line s0")
    assert high < low  # units count from the top


def test_curve_draws_training_and_validation_and_names_both():
    course = curves(HISTORY)
    plot = curve(course[course["name"] != "age mae"], title="net", ends=(0, 5))
    assert [label.text for label in plot.labels if label.look == "name"] == ["training", "validation"] or [
        label.text for label in plot.labels if label.look == "name"
    ] == ["validation", "training"]
    (first_x, first_y), (last_x, last_y) = points_of(plot, "line s1 dashed")
    assert first_x < last_x
    assert first_y < last_y  # the loss falls from 3 to 2
    assert {shape.look for shape in plot.shapes} >= {"band s0", "band s1 dashed"}


def test_one_round_of_training_can_be_drawn():
    curve(curves([{"valid_loss": [[1.0, 2.0]]}]), title="net", ends=(0, 3))


def test_names_of_equal_points_do_not_stand_on_each_other():
    points = [Point(5, 4.0, "a", 0), Point(5, 4.0, "b", 1), Point(5, 4.0, "c", 2)]
    places = [label.y for label in cost(points, title="age", metric="mae").labels if label.look == "name"]
    assert min(np.diff(places)) >= 13


def test_name_too_long_for_the_plot_is_cut():
    (label,) = [
        label for label in cost([Point(5, 4.0, "x" * 99, 0)], title="", metric="mae").labels if label.look == "name"
    ]
    assert 10 < len(label.text) < 40
    assert label.text.endswith("x…")


def test_cheaper_stands_further_left_and_shares_are_per_cent():
    plot = cost([Point(1, 0.8, "cheap", 0), Point(100, 0.9, "dear", 1)], title="gender", metric="accuracy")
    at = {label.text: label.x for label in plot.labels if label.look == "name"}
    assert at["cheap"] < at["dear"]
    assert any(label.text == "80%" for label in plot.labels)


def test_bias_below_nothing_stands_below_its_line():
    plot = by_age(errors_of([1.0, -3.0], [FEW, FEW]), {NET: 0}, step=5, y_label="bias", signed=True)
    (guide,) = [shape.path for shape in plot.shapes if shape.look == "guide"]
    zero = float(NUMBER.findall(guide)[1])
    (_, above), (_, below) = points_of(plot, "line s0")
    assert above < zero < below


def test_map_puts_rows_where_they_are_and_leaves_out_those_without_a_colour():
    places = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    plot = dots(places, np.array([0, 1, -1]), ["a0", "a1"], title="net", what="age")
    assert {shape.look: shape.path for shape in plot.shapes} == {
        "speck a0": f"M{EDGE} {SQUARE - EDGE}h0",
        "speck a1": f"M{SQUARE - EDGE} {EDGE}h0",
    }
    assert plot.about == "net: a map of 2 embeddings by age"
