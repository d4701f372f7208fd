"""Corruptions do what their names say, more at each level, and always the same."""

import numpy as np
import pytest

from data.corrupt import CORRUPTIONS, WORST, corrupt
from data.errors import FaceprobeError

each = pytest.mark.parametrize("name", CORRUPTIONS)
LEVELS = range(1, WORST + 1)


@pytest.fixture
def picture():
    """Return a bright picture of coarse grain, (100, 80, 3)."""
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(120, 250, (20, 16, 3)), np.ones((5, 5, 1))).astype(np.uint8)


def harm(picture, worse):
    return np.abs(worse.astype(int) - picture).mean()


@each
def test_level_0_is_the_picture_itself_in_an_array_of_its_own(picture, name):
    same = corrupt(picture, name, 0)
    assert (same == picture).all()
    assert not np.shares_memory(same, picture)


@each
@pytest.mark.parametrize("shape", [(100, 80, 3), (57, 200, 3), (8, 8, 3)], ids=str)
def test_shape_and_type_are_kept_and_the_picture_is_left_as_it_was(name, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    before = picture.copy()
    for level in LEVELS:
        worse = corrupt(picture, name, level)
        assert (worse.shape, worse.dtype) == (shape, np.uint8)
    assert (picture == before).all()


@each
def test_every_level_harms_more_than_the_one_before(picture, name):
    harms = [harm(picture, corrupt(picture, name, level)) for level in range(WORST + 1)]
    assert (np.diff(harms) > 0).all()


@each
def test_same_seed_gives_the_same_picture(picture, name):
    assert (corrupt(picture, name, 3, seed=7) == corrupt(picture, name, 3, seed=7)).all()


def test_noise_depends_on_the_seed(picture):
    assert (corrupt(picture, "noise", 3, seed=7) != corrupt(picture, "noise", 3, seed=8)).any()


def test_noise_has_the_deviation_it_says():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert (corrupt(grey, "noise", 2).astype(float) - 128).std() == pytest.approx(20, rel=0.02)


def test_darkness_takes_light_away_everywhere(picture):
    np.testing.assert_allclose(corrupt(picture, "darkness", 2), picture * 0.49, atol=0.5)


def test_blur_smooths_and_keeps_the_brightness(picture):
    worse = corrupt(picture, "blur", WORST)
    assert worse.std() < picture.std() / 2
    assert worse.mean() == pytest.approx(picture.mean(), abs=3)


@pytest.mark.parametrize(("name", "rows"), [("spectacles", slice(20, 43)), ("mask", slice(47, 96))])
def test_occlusion_stays_where_it_is_worn(picture, name, rows):
    changed = (corrupt(picture, name, WORST) != picture).any(axis=(1, 2))
    assert changed[rows].mean() > 0.6
    assert not np.delete(changed, np.r_[rows]).any()


def test_sunglasses_hide_the_eyes_and_clear_glasses_do_not(picture):
    eye = (slice(30, 33), slice(27, 31))  # about 0.36 of the width, 0.315 of the height
    assert harm(picture[eye], corrupt(picture, "spectacles", 1)[eye]) < 60
    assert (corrupt(picture, "spectacles", WORST)[eye] < 30).all()


@pytest.mark.parametrize(("name", "level"), [("fog", 1), ("blur", -1), ("blur", WORST + 1)])
def test_unknown_corruption_or_level_is_refused(picture, name, level):
    with pytest.raises(FaceprobeError, match="expected one of blur, darkness"):
        corrupt(picture, name, level)
