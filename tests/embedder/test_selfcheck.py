"""Cosines between a runtime's rows and the reference's."""

import numpy as np
import pytest

from embedder.selfcheck import check_pictures, fidelity


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)


def test_equal_rows_have_a_cosine_of_one(rows):
    assert fidelity(rows, rows) == pytest.approx((1, 1, 1, 1))


def test_length_of_rows_does_not_count_but_what_all_share_is_taken_out(rows):
    assert fidelity(3 * rows, rows).plain_lowest == pytest.approx(1)
    shared = rows + 100
    off = shared.copy()
    off[4] = 2 * shared.mean(axis=0) - off[4]  # a mirror image about the mean
    found = fidelity(off, shared)
    assert found.plain_lowest > 0.99
    assert found.lowest == pytest.approx(-1)
    assert found.mean == pytest.approx(1 - 2 / 20)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_row_without_direction_is_as_wrong_as_can_be(rows, value):
    off = rows.copy()
    off[3] = value
    assert fidelity(off, rows).plain_lowest == -1


def test_pictures_of_the_check_are_the_same_everywhere():
    pictures = check_pictures((112, 96))
    assert (pictures.shape, pictures.dtype) == ((32, 112, 96, 3), np.uint8)
    assert pictures[:3, 0, 0].tolist() == [[0, 0, 9], [125, 119, 96], [42, 94, 80]]
