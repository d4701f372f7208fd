"""Ages fall into the groups that their definitions say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS, AgeGroups, LabelError, parse_age_groups


@pytest.mark.parametrize(
    ("preset", "bounds"),
    [
        (
            "ten",
            {
                "Baby": (0, 1),
                "Toddler": (2, 3),
                "Child": (4, 8),
                "Adolescent": (9, 13),
                "Teenager": (14, 18),
                "Young Adult": (19, 24),
                "Adult": (25, 34),
                "Mature Adult": (35, 44),
                "Middle Age": (45, 58),
                "Senior": (59, 130),
            },
        ),
        (
            "five",
            {
                "Child": (0, 12),
                "Teenager": (13, 19),
                "Young Adult": (20, 35),
                "Middle Age": (36, 59),
                "Senior": (60, 130),
            },
        ),
        (
            "twenty-years",
            {"0-19": (0, 19), "20-39": (20, 39), "40-59": (40, 59), "60-79": (60, 79), "80 and over": (80, 130)},
        ),
    ],
)
def test_presets_have_the_published_bounds(preset: str, bounds: dict[str, tuple[int, int]]) -> None:
    groups = parse_age_groups(preset)
    assert groups.names == tuple(bounds)
    for code, ages in enumerate(bounds.values()):
        assert groups.assign(ages).tolist() == [code, code]


def test_default_is_the_ten_groups() -> None:
    assert len(AGE_GROUPS[DEFAULT_AGE_GROUPS]) == 10


def test_custom_edges_are_named_by_their_ages() -> None:
    groups = parse_age_groups("0, 13,14,65")
    assert groups.names == ("0-12", "13", "14-64", "65 and over")
    assert groups.edges == (0, 13, 14, 65)


def test_years_count_when_completed() -> None:
    assert parse_age_groups("0,13,18").assign([12.99, 13.0, 17.5]).tolist() == [0, 1, 1]


def test_unknown_ages_and_ages_below_the_first_edge_have_no_group() -> None:
    assert parse_age_groups("18,65").assign([np.nan, 17, 18]).tolist() == [-1, -1, 0]


@given(st.lists(st.integers(0, 120), min_size=2, max_size=12, unique=True), st.integers(0, 130))
def test_an_age_lies_between_the_edges_of_its_group(edges: list[int], age: int) -> None:
    groups = parse_age_groups(",".join(map(str, sorted(edges))))
    [code] = groups.assign([age])
    bounds = [*groups.edges, np.inf]
    assert bounds[code] <= age < bounds[code + 1] if code >= 0 else age < groups.edges[0]


@pytest.mark.parametrize("text", ["", "eleven", "0", "0,0", "13,5", "-1,5", "0,2.5", "0,,5"])
def test_senseless_groups_are_refused_with_the_presets_named(text: str) -> None:
    with pytest.raises(LabelError, match="ten, five, twenty-years") as caught:
        parse_age_groups(text)
    assert f'found "{text}"' in str(caught.value)


def test_groups_need_a_name_each() -> None:
    with pytest.raises(LabelError, match="one per name"):
        AgeGroups(("young",), (0, 50))
