"""What a person of an age, a gender and a tone is likely to look like."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.labels import ETHNICITIES, GENDERS
from data.synthetic.traits import Person, draw_person, mix


def people(age: int, gender: str = "male", n: int = 100) -> list[Person]:
    return [draw_person(age, gender, ETHNICITIES[i % 5], np.random.default_rng(i)) for i in range(n)]


def mean(trait: Callable[[Person], float], age: int, gender: str = "male") -> float:
    return float(np.mean([trait(person) for person in people(age, gender)]))


@pytest.mark.parametrize(
    "trait",
    [
        lambda person: person.skin.wrinkles,
        lambda person: person.skin.bags,
        lambda person: person.skin.spots,
        lambda person: sum(person.hair.colour),
        lambda person: person.hair.recession,
        lambda person: -person.form.lips,
    ],
    ids=["wrinkles", "bags", "spots", "light hair", "receding hair", "thin lips"],
)
def test_old_people_have_more_of_it(trait: Callable[[Person], float]) -> None:
    assert mean(trait, 25) < mean(trait, 55) < mean(trait, 85)


@pytest.mark.parametrize(
    "trait",
    [
        lambda person: person.form.eye_width / person.form.width,
        lambda person: person.form.eye_width * person.form.eye_open,
        lambda person: (person.form.eye_y - person.form.top) / (person.form.chin - person.form.top),
        lambda person: person.form.width / (person.form.chin - person.form.top),
        lambda person: -person.form.bridge,
        lambda person: -person.form.brow_thick,
    ],
    ids=["wide eyes", "open eyes", "high forehead", "round face", "small nose", "thin brows"],
)
def test_babies_have_more_of_it_than_children_and_these_more_than_adults(trait: Callable[[Person], float]) -> None:
    assert mean(trait, 1) > mean(trait, 8) > mean(trait, 25)


@pytest.mark.parametrize(
    "trait",
    [
        lambda person: person.form.jaw,
        lambda person: person.form.brow_thick,
        lambda person: person.skin.stubble,
        lambda person: -person.form.lips,
        lambda person: -person.style.lashes,
        lambda person: -person.hair.volume,
    ],
    ids=["jaw", "brows", "stubble", "thin lips", "thin lashes", "flat hair"],
)
def test_men_have_more_of_it_than_women(trait: Callable[[Person], float]) -> None:
    assert mean(trait, 40, "male") > mean(trait, 40, "female")


def test_children_and_women_grow_no_beards() -> None:
    assert not any(person.hair.beard or person.skin.stubble for person in people(12, "male") + people(50, "female"))
    assert {person.hair.beard for person in people(50, "male")} == {"", "moustache", "full"}


def test_people_of_one_age_differ() -> None:
    group = people(40)
    assert len({person.hair.colour for person in group}) == len({person.form for person in group}) == len(group)
    assert {person.style.glasses for person in group} == {"", "round", "square", "thin"}


@given(st.integers(0, 116), st.sampled_from(GENDERS), st.sampled_from(ETHNICITIES), st.integers(0, 2**32))
def test_parts_of_a_face_keep_their_order(age: int, gender: str, tone: str, seed: int) -> None:
    f = draw_person(age, gender, tone, np.random.default_rng(seed)).form
    assert f.top < f.eye_y - f.brow_gap < f.eye_y < f.nose_y < f.mouth_y < f.chin
    assert f.eye_width < f.eye_x < f.eye_x + f.eye_width < f.width


def test_colours_are_mixed_by_share_and_stay_colours() -> None:
    assert mix((0, 0.5, 1), (1, 0.5, 0), 0.25) == (0.25, 0.5, 0.75)
    assert mix((0, 0, 0), (2, -1, 1), 1) == (1, 0, 1)
