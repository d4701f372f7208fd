"""Scales and their ticks, and the marks of models."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.report.canvas import Scale, key, spread


def test_scale_puts_the_ends_at_the_ends_and_the_middle_between():
    scale = Scale(0, 50, 100, 0)
    assert [scale(value) for value in (0, 25, 50)] == [100, 50, 0]
    assert Scale(1, 100, 0, 10, log=True)(10) == 5


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_ordered_and_within_the_scale(low, length):
    scale = Scale(low, low + length, 0, 100)
    values = [value for value, _ in scale.ticks()]
    assert 3 <= len(values) <= 8
    assert values == sorted(set(values))
    assert all(low - 1e-6 * length <= value <= low + length * (1 + 1e-6) for value in values)


def test_ticks_are_written_as_people_write_them():
    assert [text for _, text in Scale(0, 100, 0, 1).ticks()] == ["0", "20", "40", "60", "80", "100"]
    assert [text for _, text in Scale(0.84, 0.92, 0, 1, percent=True).ticks()] == ["84%", "86%", "88%", "90%", "92%"]
    assert [text for _, text in Scale(3, 60, 0, 1, log=True).ticks()] == ["5", "10", "20", "50"]


def test_rounds_are_counted_in_whole_numbers():
    assert [text for _, text in Scale(1, 15, 0, 1, whole=True).ticks()] == ["5", "10", "15"]
    assert [text for _, text in Scale(1, 2, 0, 1, whole=True).ticks()] == ["1", "2"]


def test_spread_holds_all_values_with_room_and_is_never_empty():
    assert spread([1, 2, np.nan]) == (pytest.approx(0.92), pytest.approx(2.08))
    assert spread([1, 2], zero=True)[0] == 0
    for values in ([], [5, 5], [0, 0], [np.nan]):
        low, high = spread(values)
        assert low < high


def test_every_model_has_its_own_mark():
    assert len({key("x", style).shapes[1].path for style in range(6)}) == 6
