"""Strokes land where they are meant to, and change what they are meant to."""

import numpy as np
import pytest

from data.synthetic.canvas import EXTENT, SCALE, SIDE, Canvas, between, curve, ellipse, mirrored, stroke

SQUARE = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)], np.float32)


def pixel(x: float, y: float) -> tuple[int, int]:
    return round((y + EXTENT) * SCALE - 0.5), round((x + EXTENT) * SCALE - 0.5)


@pytest.mark.parametrize("closed", [False, True])
def test_a_curve_goes_through_its_points(closed: bool) -> None:
    points = np.array([(0, 0), (1, 0), (1, 1), (0, 2)], np.float32)
    np.testing.assert_allclose(curve(points, closed=closed)[::8], points, atol=1e-6)


def test_a_curve_through_points_in_a_row_is_straight() -> None:
    np.testing.assert_allclose(curve([(0, 0), (1, 2), (2, 4)]) @ (2, -1), 0, atol=1e-6)


def test_a_mirrored_line_runs_from_left_to_right_with_its_middle_once() -> None:
    np.testing.assert_array_equal(mirrored([(0, 1), (2, 3)]), [(-2, 3), (0, 1), (2, 3)])
    np.testing.assert_array_equal(mirrored([(1, 1), (2, 3)]), [(-2, 3), (-1, 1), (1, 1), (2, 3)])


def test_a_stroke_is_as_wide_as_asked_in_its_middle_and_pointed() -> None:
    x, y = stroke([(-1, 0), (0, 0), (1, 0)], 0.2).T
    assert np.ptp(y[np.abs(x) < 0.1]) == pytest.approx(0.2, abs=0.01)
    assert np.ptp(y[np.abs(x) > 0.99]) < 0.05


def test_a_cover_measures_the_area_it_covers() -> None:
    canvas = Canvas()
    assert canvas.inside(ellipse((0.2, -0.1), (0.5, 0.3))).sum() / SCALE**2 == pytest.approx(np.pi * 0.15, rel=0.02)
    lens = between([(-0.5, 0), (0, -0.2), (0.5, 0)], [(-0.5, 0), (0, 0.2), (0.5, 0)])
    assert canvas.inside(lens).max() == 1
    assert canvas.inside([SQUARE, SQUARE + 0.1]).sum() / SCALE**2 == pytest.approx(2 - 0.81, rel=0.02)


def test_paint_colours_the_inside_alone() -> None:
    canvas = Canvas()
    canvas.paint(SQUARE, (1, 0.5, 0), 0.5)
    np.testing.assert_allclose(canvas.colour[pixel(0, 0)], (0.5, 0.25, 0), atol=1e-6)
    assert canvas.colour[pixel(0.6, 0)].max() == 0
    assert canvas.height.max() == canvas.gloss.max() == 0


def test_a_clip_limits_paint() -> None:
    canvas = Canvas()
    canvas.paint(SQUARE, (1, 1, 1), clip=canvas.inside(np.add(SQUARE, (0.5, 0))))
    assert canvas.colour[pixel(0.25, 0)].min() == 1
    assert canvas.colour[pixel(-0.25, 0)].max() == 0


def test_shapes_partly_or_wholly_off_the_canvas_are_cut() -> None:
    canvas = Canvas()
    canvas.paint(np.add(SQUARE, (1, 0)), (1, 1, 1), blur=0.05)
    canvas.paint(np.add(SQUARE, (5, 5)), (1, 1, 1), blur=0.05)
    canvas.bump((3, 3), (0.1, 0.1), 1)
    canvas.glow((-3, 0), (0.1, 0.1), (1, 1, 1), 1)
    assert canvas.colour[pixel(1, 0)].min() > 0.9
    assert canvas.colour[:, : SIDE // 2].max() == canvas.height.max() == 0


def test_a_bump_is_as_high_as_asked_in_its_middle_and_adds_to_what_is_there() -> None:
    canvas = Canvas()
    canvas.bump((0.1, 0.2), (0.1, 0.2), 0.5)
    canvas.bump((0.1, 0.2), (0.1, 0.2), -0.2)
    assert canvas.height.max() == pytest.approx(0.3, abs=1e-3)
    assert canvas.height[pixel(0.1, 0.2)] == pytest.approx(canvas.height.max(), abs=1e-3)
    assert canvas.height[pixel(0.2, 0.2)] == pytest.approx(0.3 * np.exp(-0.5), abs=0.01)


def test_a_mass_hides_what_is_behind_it_and_is_highest_in_its_middle() -> None:
    canvas = Canvas()
    canvas.bump((0, 0), (0.1, 0.1), 9)
    canvas.gloss[:] = 1
    canvas.mass(SQUARE, (0.2, 0.3, 0.4), level=0.1, depth=0.5, bevel=0.5)
    assert canvas.height[pixel(0, 0)] == pytest.approx(0.6, abs=0.02)
    assert canvas.height[pixel(0, 0)] > canvas.height[pixel(0.4, 0)] > 0.1
    assert (canvas.gloss[pixel(0, 0)], canvas.gloss[pixel(0.7, 0)]) == (0, 1)
