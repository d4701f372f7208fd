import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.images import scan_images
from embedder.faces.face import Face
from embedder.faces.quality import _MODEL, MEASURED_SIDE, Quality, measure, pose
from embedder.preprocess import decode

NO_LANDMARKS = np.empty((0, 2), np.float32)
WHOLE_CHIP = (0.0, 0.0, 200.0, 200.0)
GOOD = Quality(120, 150, 0.5, 0.2, 1.0, 0.0, 0.0, 0.0)
FRONTAL = np.array([(58, 60), (138, 60), (98, 102), (62, 138), (135, 138)], np.float32)  # in a chip of 200 x 200


@pytest.fixture(scope="module")
def chips(utkface_dir):
    names = scan_images(utkface_dir)
    return [decode((utkface_dir / name).read_bytes()) for name in names[:: len(names) // 20]]


def chip_face(landmarks: np.ndarray = FRONTAL, box=WHOLE_CHIP) -> Face:
    return Face(box, landmarks, 1.0)


def looking(yaw: float, pitch: float, roll: float) -> Face:
    """The model's five points, turned by angles in degrees and seen from afar."""
    y, p, r = (math.radians(angle) for angle in (-yaw, -pitch, roll))
    about_x = np.array([(1, 0, 0), (0, math.cos(p), -math.sin(p)), (0, math.sin(p), math.cos(p))])
    about_y = np.array([(math.cos(y), 0, math.sin(y)), (0, 1, 0), (-math.sin(y), 0, math.cos(y))])
    about_z = np.array([(math.cos(r), -math.sin(r), 0), (math.sin(r), math.cos(r), 0), (0, 0, 1)])
    turned = _MODEL @ (about_z @ about_y @ about_x).T
    return chip_face((100 + 80 * turned[:, :2]).astype(np.float32))


@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(-179, 179))
def test_pose_of_a_turned_model_is_found(yaw, pitch, roll):
    assert pose(looking(yaw, pitch, roll)) == pytest.approx((yaw, pitch, roll), abs=0.1)


def test_an_average_face_looks_into_the_camera():
    assert pose(chip_face()) == pytest.approx((0, 0, 0), abs=3)


def test_yaw_is_positive_where_the_nose_points_to_the_right_of_the_picture():
    yaw, _, _ = pose(chip_face(FRONTAL + np.array([(0, 0), (0, 0), (20, 0), (0, 0), (0, 0)], np.float32)))
    assert 10 < yaw < 60


def test_pitch_is_positive_where_the_nose_points_upwards():
    _, pitch, _ = pose(chip_face(FRONTAL - np.array([(0, 0), (0, 0), (0, 15), (0, 0), (0, 0)], np.float32)))
    assert 10 < pitch < 60


@given(st.floats(-179, 179), st.floats(-30, 30))
def test_roll_follows_the_picture_and_leaves_yaw_as_it_was(degrees, yaw):
    face = looking(yaw, 0, 0)
    turn = np.exp(1j * math.radians(degrees))
    turned = (face.landmarks @ np.array([1, 1j])) * turn
    found = pose(chip_face(np.stack([turned.real, turned.imag], axis=1).astype(np.float32)))
    assert found == pytest.approx((yaw, 0, degrees), abs=1)


@given(st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=5, max_size=5))
def test_mirroring_turns_yaw_and_roll_about(noise):
    landmarks = (FRONTAL + np.array(noise)).astype(np.float32)
    mirrored = (landmarks * (-1, 1) + (199, 0))[[1, 0, 2, 4, 3]].astype(np.float32)
    yaw, pitch, roll = pose(chip_face(landmarks))
    assert pose(chip_face(mirrored)) == pytest.approx((-yaw, pitch, -roll), abs=0.01)


@pytest.mark.parametrize("landmarks", [NO_LANDMARKS, np.full((5, 2), 3, np.float32), np.full((68, 2), 3, np.float32)])
def test_without_landmarks_that_span_a_face_angles_are_none(landmarks):
    picture = np.full((50, 50, 3), 90, np.uint8)
    quality = measure(picture, chip_face(landmarks, (0, 0, 50, 50)))
    assert (quality.yaw, quality.pitch, quality.roll) == (None, None, None)
    assert quality.overall >= 0


def test_blur_lowers_sharpness_step_by_step(chips):
    for chip in chips:
        blurred = [chip, *(cv2.GaussianBlur(chip, (0, 0), sigma) for sigma in (1, 2, 3, 5))]
        sharpness = [measure(each, chip_face()).sharpness for each in blurred]
        assert sharpness == sorted(sharpness, reverse=True)
        assert sharpness[0] > 3 * sharpness[-1]


def test_sharpness_light_and_contrast_do_not_depend_on_size_where_it_is_ample(chips):
    for chip in chips:
        large = cv2.resize(chip, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        one, other = measure(chip, chip_face()), measure(large, chip_face(FRONTAL * 4, (0, 0, 800, 800)))
        assert other.sharpness == pytest.approx(one.sharpness, rel=0.25)
        assert other.exposure == pytest.approx(one.exposure, abs=0.01)
        assert other.contrast == pytest.approx(one.contrast, abs=0.01)


def test_a_small_face_is_less_sharp_than_the_same_face_large(chips):
    for chip in chips:
        small = cv2.resize(chip, (24, 24), interpolation=cv2.INTER_AREA)
        face = chip_face(FRONTAL * 0.12, (0, 0, 24, 24))
        assert measure(small, face).sharpness < measure(chip, chip_face()).sharpness / 2


def test_size_is_that_of_the_box_in_the_picture(chips):
    assert measure(chips[0], chip_face(box=(20, 30, 110, 70))).size == pytest.approx(60)


@pytest.mark.parametrize("level", [0, 51, 255])
def test_exposure_is_the_mean_luminance_and_a_flat_face_has_no_contrast(level):
    quality = measure(np.full((200, 200, 3), level, np.uint8), chip_face())
    assert (quality.exposure, quality.contrast, quality.sharpness) == pytest.approx((level / 255, 0, 0))


def test_darkening_lowers_exposure_and_contrast_in_proportion(chips):
    for chip in chips:
        whole, half = measure(chip, chip_face()), measure(chip // 2, chip_face())
        assert half.exposure == pytest.approx(whole.exposure / 2, abs=0.01)
        assert half.contrast == pytest.approx(whole.contrast / 2, abs=0.01)


def test_only_what_is_in_the_box_counts():
    picture = np.full((300, 300, 3), 255, np.uint8)
    picture[100:200, 100:200] = 0
    assert measure(picture, chip_face(box=(100, 100, 200, 200))).exposure == 0


@pytest.mark.parametrize(
    ("box", "inside"),
    [((0, 0, 100, 100), 1), ((-50, 0, 50, 100), 0.5), ((50, 50, 150, 150), 0.25), ((100, 0, 200, 100), 0)],
)
def test_inside_is_the_share_of_the_box_within_the_picture(box, inside):
    assert measure(np.full((100, 100, 3), 90, np.uint8), chip_face(box=box)).inside == inside


@given(st.tuples(*[st.floats(-300, 300)] * 4), st.integers(1, 40), st.integers(1, 40))
@example((5.0, 5.0, 5.0001, 5.0001), 20, 20)
@example((5.0, 5.0, 5.0 + 1e-12, 5.0 + 1e-12), 20, 20)
def test_nothing_is_nan_whatever_the_box(box, width, height):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for landmarks in (NO_LANDMARKS, FRONTAL):
        quality = measure(picture, chip_face(landmarks, box))
        values = [*dataclasses.asdict(quality).values(), quality.overall]
        assert all(value is None or math.isfinite(value) for value in values)
        assert 0 <= quality.overall <= 1


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (5, 5, 6, 6), (5.2, 5.2, 5.4, 5.4), (-9, -9, -1, -1), (8, 8, 2, 2)])
def test_faces_of_a_pixel_or_none_are_worth_nothing(box):
    assert measure(np.full((20, 20, 3), 90, np.uint8), chip_face(box=box)).overall == 0


def test_score_of_a_good_face_is_one():
    assert GOOD.overall == 1


@pytest.mark.parametrize(
    "flaw",
    [
        {"size": 14.0},
        {"sharpness": 9.0},
        {"exposure": 0.02},
        {"exposure": 0.99},
        {"contrast": 0.01},
        {"inside": 0.4},
        {"yaw": 61.0},
        {"yaw": -61.0},
        {"pitch": -80.0},
    ],
)
def test_one_flaw_is_enough_for_a_score_of_zero(flaw):
    assert dataclasses.replace(GOOD, **flaw).overall == 0


def test_score_falls_on_a_straight_line_and_is_that_of_the_worst():
    assert dataclasses.replace(GOOD, size=56.0).overall == pytest.approx(0.5)
    assert dataclasses.replace(GOOD, size=56.0, yaw=-51.25).overall == pytest.approx(0.25)


def test_roll_and_unknown_angles_cost_nothing():
    assert dataclasses.replace(GOOD, roll=180.0).overall == 1
    assert dataclasses.replace(GOOD, yaw=None, pitch=None, roll=None).overall == 1


def test_real_faces_score_high_and_blurred_or_dark_ones_low(chips):
    scores = np.array([measure(chip, chip_face()).overall for chip in chips])
    blurred = np.array([measure(cv2.GaussianBlur(chip, (0, 0), 5), chip_face()).overall for chip in chips])
    dark = np.array([measure(chip // 25, chip_face()).overall for chip in chips])
    assert np.median(scores) == 1
    assert max(blurred.max(), dark.max()) < 0.1


def test_a_large_face_is_measured_without_a_copy_of_it(monkeypatch):
    converted = []
    original = cv2.cvtColor
    monkeypatch.setattr(cv2, "cvtColor", lambda part, code: converted.append(part.shape) or original(part, code))
    picture = np.broadcast_to(np.uint8(200), (4000, 4000, 3))
    measure(picture, chip_face(box=(0, 0, 4000, 4000)))
    assert converted == [(MEASURED_SIDE, MEASURED_SIDE, 3)]
