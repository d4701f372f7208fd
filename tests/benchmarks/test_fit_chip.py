import numpy as np
import pytest

from benchmarks.fit_chip import CORNERS, MIDDLE, NOSE_EYES_UPPER_LIP, displacements, find_landmarks, fit
from data.images import scan_images
from embedder.faces.templates import CHIP_SIDE, TEMPLATES

PLACES = np.array(TEMPLATES["chip"].points[68].places) * CHIP_SIDE - CHIP_SIDE / 2 * (1 + 1j)


def chips_cut_to(places: np.ndarray, n: int, *, noise: float) -> np.ndarray:
    """Landmarks of n faces of various shapes, each brought to places by least squares as a chip is."""
    rng = np.random.default_rng(0)
    shapes = places + noise * (rng.normal(size=(n, len(places))) + 1j * rng.normal(size=(n, len(places))))
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    around = places - places.mean()
    a = (np.abs(around) ** 2).sum() / (centred @ around.conj())
    return a[:, None] * centred + places.mean()


@pytest.mark.parametrize("noise", [0.0, 3.0, 8.0])
def test_places_that_chips_were_cut_to_are_found(noise):
    points = chips_cut_to(PLACES, 2000, noise=noise)
    assert np.abs(fit(points) - PLACES).max() < 0.05 + noise / 10
    assert displacements(points, fit(points)).max() < 0.05 + noise / 10


def test_faces_found_wrong_count_little():
    points = chips_cut_to(PLACES, 500, noise=3.0)
    points[::20] = 0.5 * points[::20] + 60
    assert np.median(displacements(points, fit(points))) < 1


def test_displacement_is_how_far_corners_move():
    shifted = PLACES + (3 - 4j)
    np.testing.assert_allclose(displacements(PLACES[None], shifted), 5)
    np.testing.assert_allclose(
        displacements(PLACES[None] - PLACES.mean(), 1.1 * (PLACES - PLACES.mean())), 0.1 * np.abs(CORNERS[0]), rtol=1e-6
    )


def test_template_has_a_place_for_each_landmark_that_is_fitted():
    assert TEMPLATES["chip"].points[68].numbers == NOSE_EYES_UPPER_LIP
    assert len(PLACES) == len(NOSE_EYES_UPPER_LIP) == 33


def test_the_template_leaves_real_chips_where_they_are(utkface_dir):
    names = scan_images(utkface_dir)
    found = find_landmarks([utkface_dir / name for name in names[::150]])
    assert len(found) > 40
    assert np.median(displacements(found[:, NOSE_EYES_UPPER_LIP] @ (1, 1j) - MIDDLE, PLACES)) < 2
