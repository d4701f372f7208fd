"""Where the points of lines stand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.report.canvas import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from heads.report.lines import PLAIN, Axis, Series, lines, steps, thinned
from tests.heads.report.test_plots import points_of

YEARS, SHARE = Axis("years", 0, 10), Axis("share", 0, 1, percent=True)


def test_line_runs_from_corner_to_corner_of_its_frame():
    plot = lines([Series([0, 10], [0, 1], 2)], YEARS, SHARE)
    assert points_of(plot, "line s2") == [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]


def test_marks_stand_on_marked_lines_alone():
    plot = lines([Series([0, 5], [0, 1], 0, marked=True), Series([0, 5], [0, 1], PLAIN)], YEARS, SHARE)
    assert [shape.path.count("M") for shape in plot.shapes if shape.look.startswith("dot")] == [2]
    assert points_of(plot, "line plain")


def test_diagonal_is_where_both_axes_are_equal():
    plot = lines([], Axis("said", 0.5, 1.0), Axis("right", 0.0, 1.0), diagonal=True)
    middle = (HEIGHT - BOTTOM + TOP) / 2
    assert points_of(plot, "guide") == [(LEFT, middle), (WIDTH - RIGHT, TOP)]


def test_axes_are_named_and_their_ticks_are_in_per_cent_or_whole():
    plot = lines([], Axis("level", 0, 3, whole=True), SHARE, title="blur")
    texts = [label.text for label in plot.labels]
    assert {"level", "share", "0%", "100%", "0", "1", "2", "3"} <= {*texts}
    assert "0.5" not in texts
    assert plot.about == "blur: share by level"


@given(st.integers(1, 3000))
def test_thinned_points_keep_both_ends_and_are_few(n):
    x, y = thinned(np.arange(n), -np.arange(n), most=80)
    assert (x[0], x[-1]) == (0, n - 1)
    assert len(x) == min(n, 80)
    assert y == [-each for each in x]


def test_steps_outline_a_histogram_down_to_nothing_at_both_ends():
    x, y = steps(np.array([0.25, 0.75]), np.array([0.0, 1.0, 2.0]))
    assert list(zip(x, y, strict=True)) == [(0, 0), (0, 0.25), (1, 0.25), (1, 0.75), (2, 0.75), (2, 0)]
    assert np.trapezoid(y, x) == pytest.approx(1)
