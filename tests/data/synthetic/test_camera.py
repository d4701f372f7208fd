"""Light falls from where it comes, heads turn the way they are turned, and a lens and a sensor do what theirs do."""

import dataclasses
from typing import Any

import numpy as np

from data.synthetic.camera import CHIP, Scene, photograph
from data.synthetic.canvas import Canvas, ellipse

STUDIO = Scene(
    light=(0, 0, 1),
    key=0.8,
    fill=0.2,
    softness=0.3,
    warmth=(1, 1, 1),
    background=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    yaw=0,
    nod=0,
    roll=0,
    zoom=1,
    exposure=1,
    blur=0,
    noise=0,
)


def ball() -> Canvas:
    canvas = Canvas()
    canvas.colour[:] = 0.1
    canvas.mass(ellipse((0, 0), (0.5, 0.5)), (0.7, 0.7, 0.7), level=0, depth=0.5, bevel=0.5)
    return canvas


def picture(canvas: Canvas, **changes: Any) -> np.ndarray:
    return photograph(canvas, dataclasses.replace(STUDIO, **changes), np.random.default_rng(0)).astype(float)


def centre_of_light(image: np.ndarray) -> np.ndarray:
    """Return the mean x and y of what is brighter than the background, in pixels from the middle."""
    y, x = np.nonzero(image[..., 1] > 90)
    return np.array((x.mean(), y.mean())) - (CHIP - 1) / 2


def test_the_side_towards_the_light_is_the_brighter() -> None:
    left = picture(ball(), light=(-1, 0, 1))
    assert left[100, 65:95].mean() > left[100, 105:135].mean() + 20
    above = picture(ball(), light=(0, -1, 1))
    assert above[65:95, 100].mean() > above[105:135, 100].mean() + 20


def test_a_body_throws_a_shadow_away_from_the_light() -> None:
    canvas = Canvas()
    canvas.colour[:] = 0.7
    canvas.mass(ellipse((0, 0), (0.1, 0.5)), (0.7, 0.7, 0.7), level=0.1, depth=0.1, bevel=0.1)
    lit = picture(canvas, light=(-1, 0, 1))
    assert lit[100, 112:116].mean() < 0.9 * lit[100, 84:88].mean()


def test_what_is_wet_gleams() -> None:
    wet = ball()
    wet.wet(ellipse((0, 0), (0.4, 0.4)), 1.0, blur=0.01)
    assert picture(wet).max() > picture(ball()).max() + 20


def test_warm_light_is_warm() -> None:
    red, _, blue = picture(ball(), warmth=(1.2, 1, 0.8))[100, 100]
    assert red > blue + 10


def test_turning_moves_what_is_near_and_leaves_the_wall() -> None:
    canvas = ball()
    canvas.height += 0.25 - canvas.height.min()  # the wall stands where nothing moves
    still = picture(canvas)
    for change, axis in (({"yaw": 0.2}, 0), ({"nod": 0.2}, 1)):
        turned = picture(canvas, **change)
        assert abs(centre_of_light(turned)[axis] - centre_of_light(still)[axis]) > 2
        np.testing.assert_allclose(turned[:20], still[:20], atol=1)


def test_rolling_and_zooming_are_of_the_whole_picture() -> None:
    canvas = Canvas()
    canvas.paint(ellipse((0.5, 0), (0.1, 0.1)), (1, 1, 1))
    np.testing.assert_allclose(centre_of_light(picture(canvas)), (50, 0), atol=1)
    np.testing.assert_allclose(centre_of_light(picture(canvas, zoom=0.8)), (62.5, 0), atol=1)
    x, y = centre_of_light(picture(canvas, roll=0.3))
    np.testing.assert_allclose((np.hypot(x, y), abs(np.arctan2(y, x))), (50, 0.3), atol=1)


def test_blur_softens_and_noise_roughens() -> None:
    def detail(**changes: float) -> float:
        return float(np.abs(np.diff(picture(ball(), **changes), axis=1)).max())

    assert detail(blur=2) < detail() < detail(noise=30)
