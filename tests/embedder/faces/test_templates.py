import cmath
import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.images import scan_images
from embedder.faces import templates
from embedder.faces.face import Face, five_points
from embedder.faces.templates import CHIP_SIDE, TEMPLATES, AlignmentError, align, crop_matrix
from embedder.preprocess import decode

EYES_AND_NOSE_BASE = [36, 39, 42, 45, 33]

angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.3, 3.0)


def landmarks_in_a_chip(count: int = 68) -> np.ndarray:
    """Landmarks exactly where the template has them, in pixels of a chip; those that it does not use lie about."""
    points = TEMPLATES["chip"].points[count]
    landmarks = np.random.default_rng(0).uniform(0, CHIP_SIDE, (count, 2))
    places = np.array(points.places) * CHIP_SIDE - (0.5 + 0.5j)
    landmarks[list(points.numbers)] = np.stack([places.real, places.imag], axis=1)
    return landmarks.astype(np.float32)


def moved(landmarks: np.ndarray, a: complex, b: complex) -> np.ndarray:
    z = a * (landmarks @ np.array([1, 1j])) + b
    return np.stack([z.real, z.imag], axis=1).astype(np.float32)


def face_with(landmarks: np.ndarray, *, turned: int = 0) -> Face:
    (left, top), (right, bottom) = landmarks.min(axis=0), landmarks.max(axis=0)
    return Face((float(left), float(top), float(right), float(bottom)), landmarks, 1.0, turned)


def in_crop(matrix: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return landmarks @ matrix[:, :2].T + matrix[:, 2]


def pasted(chip: np.ndarray, a: complex, b: complex, size: tuple[int, int] = (1000, 900)) -> np.ndarray:
    """The chip in a larger green picture, by z -> a z + b."""
    matrix = np.array([(a.real, -a.imag, b.real), (a.imag, a.real, b.imag)])
    if abs(a) < 1:  # as a lens would: no pixel of the chip is passed over
        chip = cv2.GaussianBlur(chip, (0, 0), 0.4 / abs(a))
    return cv2.warpAffine(chip, matrix, size, flags=cv2.INTER_CUBIC, borderValue=(60, 120, 60))


def checkerboard(side: int) -> np.ndarray:
    black_and_white = (np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8)
    return np.repeat(black_and_white[..., None], 3, axis=2)


@given(scales, angles, st.floats(-500, 5000), st.floats(-500, 5000), st.sampled_from([5, 68]))
def test_landmarks_of_a_pasted_chip_come_to_their_places(scale, angle, x, y, count):
    original = landmarks_in_a_chip(count)
    face = face_with(moved(original, cmath.rect(scale, angle), complex(x, y)))
    used = list(TEMPLATES["chip"].points[count].numbers)
    found = in_crop(crop_matrix(face, "chip", side=CHIP_SIDE), face.landmarks)
    assert np.abs(found - original)[used].max() < 0.5


@given(scales, angles, st.floats(-40, 100))
def test_margin_shows_more_about_the_same_middle(scale, angle, margin):
    face = face_with(moved(landmarks_in_a_chip(), cmath.rect(scale, angle), 800 + 700j))
    for name in TEMPLATES:
        plain = in_crop(crop_matrix(face, name, side=100), face.landmarks)
        wide = in_crop(crop_matrix(face, name, side=100, margin=margin), face.landmarks)
        middle = (TEMPLATES[name].side or 100) / 2 - 0.5
        np.testing.assert_allclose((wide - middle) * (1 + margin / 100), plain - middle, atol=0.01)


def test_five_points_of_arcface_stand_where_insightface_has_them():
    published = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    face = face_with(moved(np.array(published), cmath.rect(2.5, 0.7), 300 + 200j))
    np.testing.assert_allclose(in_crop(crop_matrix(face, "arcface", side=112), face.landmarks), published, atol=0.01)


def test_arcface_sees_five_of_68_landmarks():
    all_points = landmarks_in_a_chip()
    five = face_with(five_points(all_points))
    np.testing.assert_allclose(
        crop_matrix(face_with(all_points), "arcface", side=112), crop_matrix(five, "arcface", side=112)
    )


@given(st.lists(st.tuples(st.floats(-40, 40), st.floats(-40, 40)), min_size=5, max_size=5), angles)
def test_no_crop_is_ever_a_mirror_image(noise, angle):
    face = face_with(moved(landmarks_in_a_chip(5) + np.array(noise), cmath.rect(1.0, angle), 300 + 300j))
    for name in TEMPLATES:
        try:
            matrix = crop_matrix(face, name, side=100)
        except AlignmentError:
            continue
        assert np.linalg.det(matrix[:, :2]) > 0


def test_mirrored_landmarks_are_refused():
    mirrored = landmarks_in_a_chip(5) * (1, -1) + (0, 300)
    with pytest.raises(AlignmentError, match="make a face"):
        crop_matrix(face_with(mirrored.astype(np.float32)), "arcface", side=112)


@pytest.mark.parametrize("bad", [np.full((5, 2), 7, np.float32), np.full((68, 2), np.nan, np.float32)])
@pytest.mark.parametrize("name", ["chip", "arcface", "eyes"])
def test_landmarks_in_one_place_or_nowhere_are_refused(name, bad):
    with pytest.raises(AlignmentError, match="expected"):
        align(np.zeros((50, 50, 3), np.uint8), Face((0, 0, 20, 20), bad, 1.0), name, side=112)


@pytest.mark.parametrize("name", ["chip", "arcface", "eyes"])
def test_a_face_without_landmarks_is_told_to_use_box(name):
    face = Face((10, 10, 40, 40), np.empty((0, 2), np.float32), 1.0)
    with pytest.raises(AlignmentError, match="template box"):
        crop_matrix(face, name, side=112)
    assert crop_matrix(face, "box", side=30).tolist() == [[1, 0, -10], [0, 1, -10]]


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (9, 9, 5, 5), (0, 0, math.nan, 5)])
def test_an_empty_box_is_refused(box):
    with pytest.raises(AlignmentError, match="a box of some size"):
        crop_matrix(Face(box, landmarks_in_a_chip(), 1.0), "box", side=112)


@pytest.mark.parametrize("margin", [-100, math.inf, math.nan])
def test_a_margin_that_leaves_nothing_is_refused(margin):
    with pytest.raises(AlignmentError, match="above -100"):
        crop_matrix(face_with(landmarks_in_a_chip()), "chip", side=200, margin=margin)


def test_an_unknown_template_is_refused_with_the_names():
    with pytest.raises(AlignmentError, match='chip, arcface, eyes, box; found "ffhq"'):
        crop_matrix(face_with(landmarks_in_a_chip()), "ffhq", side=200)


def test_chip_keeps_its_own_side_and_others_take_the_one_asked_for():
    picture, face = np.zeros((300, 300, 3), np.uint8), face_with(landmarks_in_a_chip())
    sides = {name: align(picture, face, name, side=112).shape for name in TEMPLATES}
    assert sides == {"chip": (200, 200, 3), **dict.fromkeys(["arcface", "eyes", "box"], (112, 112, 3))}


def test_box_of_a_whole_picture_gives_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    face = Face((0, 0, 64, 64), np.empty((0, 2), np.float32), 1.0)
    assert np.array_equal(align(picture, face, "box", side=64), picture)


def test_box_is_widened_to_a_square_about_its_middle():
    face = Face((100, 200, 140, 300), np.empty((0, 2), np.float32), 1.0)
    assert in_crop(crop_matrix(face, "box", side=100), np.array([[119.5, 249.5]])).tolist() == [[49.5, 49.5]]
    assert crop_matrix(face, "box", side=100)[0, 0] == 1


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_box_is_cut_as_the_detector_saw_the_face(turned):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    face = Face((0, 0, 64, 64), np.empty((0, 2), np.float32), 1.0, turned)
    assert np.array_equal(align(picture, face, "box", side=64), np.rot90(picture, -turned // 90))


@given(angles)
def test_eyes_are_level_whatever_way_the_face_is_turned(angle):
    face = face_with(moved(landmarks_in_a_chip(), cmath.rect(1.0, angle), 400 + 400j))
    left, right = in_crop(crop_matrix(face, "eyes", side=112), five_points(face.landmarks))[:2]
    assert left[1] == pytest.approx(right[1], abs=0.01)
    assert left[0] < right[0]


def test_beyond_the_picture_is_black_and_within_is_not():
    picture = np.full((200, 200, 3), 255, np.uint8)
    crop = align(picture, Face((-100, 0, 100, 200), np.empty((0, 2), np.float32), 1.0), "box", side=200)
    assert crop[:, :99].max() == 0
    assert crop[:, 101:].min() == 255


@pytest.mark.parametrize("box", [(-500, -500, -300, -300), (900, 0, 1000, 100), (1e7, 1e7, 2e7, 2e7)])
def test_a_face_outside_the_picture_is_black(box):
    picture = np.full((200, 200, 3), 255, np.uint8)
    crop = align(picture, Face(box, np.empty((0, 2), np.float32), 1.0), "box", side=50)
    assert crop.shape == (50, 50, 3)
    assert crop.max() == 0


@pytest.mark.parametrize("side", [1120, 1300])
def test_large_face_lies_where_a_small_one_does_to_a_part_of_its_pixel(side):
    """Brightness grows across and down the picture, so that it tells where a pixel is from; noise, as it is rounded."""
    across, down = np.meshgrid(np.arange(2000), np.arange(2000))
    grows = 20 + np.stack([across, down, across], axis=2) / 10
    picture = (grows + np.random.default_rng(0).uniform(-18, 18, grows.shape)).round().astype(np.uint8)
    left, top = 300, 407
    face = Face((left, top, left + side, top + side), landmarks_in_a_chip(), 1.0)
    crop = align(picture, face, "box", side=112).astype(float)
    middles = (np.arange(112) + 0.5) * side / 112 - 0.5
    assert abs((crop[..., 0].mean(axis=0) - 20 - (left + middles) / 10).mean()) < 0.05
    assert abs((crop[..., 1].mean(axis=1) - 20 - (top + middles) / 10).mean()) < 0.05


@pytest.mark.parametrize(("side", "turned"), [(4000, 0), (4000, 90), (1111, 0), (280, 180)])
def test_a_checkerboard_in_a_smaller_crop_stays_grey(side, turned):
    face = Face((0, 0, side, side), np.empty((0, 2), np.float32), 1.0, turned)
    crop = align(checkerboard(side), face, "box", side=112)
    assert np.abs(crop[2:-2, 2:-2].astype(int) - 127).max() <= 12


def test_a_face_in_a_huge_picture_costs_no_more_than_what_is_seen_of_it(monkeypatch):
    looked_at = []
    for name in ("resize", "warpAffine"):
        original = getattr(cv2, name)

        def watched(part, *rest, original=original, **options):
            looked_at.append(part.size)
            return original(part, *rest, **options)

        monkeypatch.setattr(templates.cv2, name, watched)
    picture = np.broadcast_to(np.uint8(255), (10_000, 10_000, 3))  # of 100 megapixels, in one byte of memory
    face = face_with(moved(landmarks_in_a_chip(), cmath.rect(5.0, 0.5), 4000 + 5000j))
    assert align(picture, face, "chip", side=200).min() == 255
    assert looked_at
    assert max(looked_at) < 3 * (1500**2)  # a square of 1000 pixels, turned by 29 degrees, and some around it


def real_chips(folder, n):
    names = scan_images(folder)
    return [decode((folder / name).read_bytes()) for name in names[:: len(names) // n]]


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("degrees", [0, 20, 135, 180])
def test_a_real_chip_comes_back_from_a_larger_picture(utkface_dir, scale, degrees):
    a = cmath.rect(scale, math.radians(degrees))
    b = 500 + 450j - a * (99.5 + 99.5j)
    for chip in real_chips(utkface_dir, 5):
        face = face_with(moved(landmarks_in_a_chip(), a, b))
        back = align(pasted(chip, a, b), face, "chip", side=CHIP_SIDE)
        inner = slice(5, -5)
        expected = cv2.GaussianBlur(chip, (0, 0), 0.6 / min(scale, 1))
        assert np.abs(back[inner, inner].astype(int) - expected[inner, inner]).mean() < 4
