"""Recipes as they are typed, and what none can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.net import HeadError
from heads.recipe import SETTINGS, Recipe, read_setting


def parse(settings):
    return Recipe(**{name: read_setting(name, text, SETTINGS[name]) for name, text in settings.items()})


def test_settings_are_read_by_the_kind_of_their_default():
    recipe = parse({"hidden": "64x32", "batch_size": "128", "learning_rate": "3e-3", "input": "l2"})
    assert recipe == Recipe(hidden=(64, 32), batch_size=128, learning_rate=0.003, input="l2")


def test_no_hidden_layer_is_a_nought():
    assert parse({"hidden": "0"}).hidden == ()


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=5))
def test_any_depth_and_width_can_be_typed(widths):
    assert parse({"hidden": "x".join(map(str, widths))}).hidden == tuple(widths)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "huber", 'loss to be one of crossentropy, dldl, .*; found "huber"'),
        ("input", "whitened", 'input to be one of standard, l2, raw; found "whitened"'),
        ("hidden", "64,32", 'hidden to be widths such as 512x256; found "64,32"'),
        ("hidden", "64x0", "hidden to be widths of 1 or more"),
        ("members", "0", "members to be 1 or more; found 0"),
        ("members", "two", 'members to be a whole number; found "two"'),
        ("dropout", "1", "dropout to be 0 or more and below 1; found 1.0"),
        ("dropout", "nan", "dropout to be 0 or more and below 1; found nan"),
        ("learning_rate", "0", "learning_rate to be above 0; found 0.0"),
        ("weight_decay", "-1", "weight_decay to be 0 or more; found -1.0"),
    ],
)
def test_value_that_a_setting_cannot_have_is_refused(name, value, message):
    with pytest.raises(HeadError, match=message):
        parse({name: value})
