"""Which faces are wanted, of many pictures at once as of one alone; and why none is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import DetectorError
from embedder.faces.choice import CHOICES, TRAITS, Choice

floors = st.none() | st.floats(0, 10)
choices = st.builds(Choice, faces=st.sampled_from(CHOICES), min_face=floors, min_confidence=floors, min_quality=floors)
pictures = st.lists(st.lists(st.tuples(*[st.floats(0, 10, width=32)] * 3), min_size=1, max_size=5), max_size=6)


def traits_of(faces):
    """Give the columns that a choice goes by, of faces as (size, confidence, quality), largest first."""
    ordered = sorted(faces, reverse=True)
    return dict(zip(TRAITS, np.array(ordered, np.float32).reshape(-1, 3).T, strict=True))


def together(each):
    """Give the columns of many pictures one after the other, and where each begins."""
    first = [number == 0 for traits in each for number in range(len(traits["size"]))]
    return {name: np.concatenate([traits[name] for traits in each]) for name in TRAITS}, np.array(first, bool)


@given(pictures, choices)
def test_many_pictures_at_once_are_chosen_from_as_each_alone(pictures, choice):
    each = [traits_of(faces) for faces in pictures]
    if not each:
        return
    alone = [choice.wanted(traits, np.arange(len(traits["size"])) == 0) for traits in each]
    assert choice.wanted(*together(each)).tolist() == np.concatenate(alone).tolist()


@given(pictures, choices)
def test_wanted_faces_reach_every_floor_and_the_others_do_not_or_are_smaller(pictures, choice):
    for traits in map(traits_of, pictures):
        wanted = choice.wanted(traits, np.arange(len(traits["size"])) == 0)
        fit = np.ones(len(wanted), bool)
        least = (choice.min_face, choice.min_confidence, choice.min_quality)
        for name, floor in zip(TRAITS, least, strict=True):
            fit &= True if floor is None else traits[name] >= floor
        expected = fit if choice.faces == "all" else fit & (np.cumsum(fit) == 1)
        assert wanted.tolist() == expected.tolist()


@given(pictures, choices)
def test_refusal_names_a_floor_that_no_face_reaches(pictures, choice):
    for traits in map(traits_of, pictures):
        if choice.wanted(traits, np.arange(len(traits["size"])) == 0).any():
            continue
        status, reason = choice.explain(traits)
        assert (status, reason.partition("--")[2].partition(" ")[0]) in {
            ("face_too_small", "min-face"),
            ("low_confidence", "min-confidence"),
            ("low_quality", "min-quality"),
        }


def test_refusal_says_what_was_found_and_what_was_asked_for():
    choice = Choice("all", min_face=40, min_quality=0.5)
    small = traits_of([(31.4, 2, 1), (12, 3, 1)])
    assert choice.explain(small) == ("face_too_small", "of 2 faces the best has size 31.4, --min-face asks for 40")
    blurred = traits_of([(50, 1, 0.25), (30, 1, 0.9)])
    assert choice.explain(blurred)[0] == "low_quality"


def test_no_face_at_all_is_no_choice():
    traits, first = {name: np.empty(0, np.float32) for name in TRAITS}, np.empty(0, bool)
    assert Choice().wanted(traits, first).tolist() == []


def test_unknown_choice_is_refused_with_those_there_are():
    with pytest.raises(DetectorError, match="largest, all; found best"):
        Choice("best")
