"""What is written beside faces, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.folder.captions import captions, wordings
from heads.folder.photographs import Box, photographs
from tests.heads.folder.scored import row, table

SIZE = (320.0, 240.0)


def measure(lines):
    return 7.0 * max(map(len, lines)), 13.0 * len(lines)


def found(**values):
    (photograph,) = photographs(table(row("a", **values)), ["/p/a"])
    return photograph.rows[0]


def overlap(a: Box, b: Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


@pytest.mark.parametrize(
    ("values", "numbered", "said"),
    [
        ({}, False, [("30 (24–36)", "female"), ("30 (24–36)",), ("30",), ("1",)]),
        ({}, True, [("1: 30 (24–36)", "female"), ("1: 30 (24–36)",), ("1: 30",), ("1",)]),
        ({"gender": None}, False, [("30 (24–36)",), ("30",), ("1",)]),
        ({"age": None}, True, [("1: female",), ("1",)]),
        ({"age": None, "gender": None}, True, [("1",)]),
        ({"age_low": None, "age_high": None, "gender": None}, False, [("30",), ("1",)]),
    ],
)
def test_wordings_go_from_all_to_the_number_alone(values, numbered, said):
    assert wordings(found(**values), numbered=numbered) == said


def test_caption_stands_below_its_face_where_there_is_room():
    (caption,) = captions([Box(100, 50, 150, 100)], [[("30 (24–36)", "female")]], SIZE, measure)
    assert caption.place.top > 100
    assert caption.place.left + caption.place.right == pytest.approx(250)


def test_caption_of_a_face_at_the_foot_stands_above_it_and_of_one_that_fills_the_picture_in_it():
    (above,) = captions([Box(100, 180, 150, 239)], [[("30",)]], SIZE, measure)
    assert above.place.bottom < 180
    (inside,) = captions([Box(0, 0, *SIZE)], [[("30",)]], SIZE, measure)
    assert inside.place.bottom <= SIZE[1]


def test_crowded_faces_have_shorter_captions():
    boxes = [Box(x, y, x + 30, y + 30) for y in (0, 45, 90) for x in range(0, 300, 40)]
    placed = captions(boxes, [[("1: 30 (24–36)", "female"), ("1: 30",), ("1",)]] * len(boxes), SIZE, measure)
    assert {caption.lines for caption in placed} >= {("1: 30 (24–36)", "female"), ("1",)}


edges = st.tuples(*(st.floats(-20, side) for side in SIZE), *(st.floats(1, 120),) * 2)


@given(st.lists(edges.map(lambda e: Box(e[0], e[1], e[0] + e[2], e[1] + e[3])), max_size=12))
def test_captions_lie_within_the_picture_and_cover_each_other_only_as_a_last_resort(boxes):
    options = [("1: 30 (24–36)", "female"), ("1: 30",), ("12",)]
    placed = captions(boxes, [options] * len(boxes), SIZE, measure)
    assert len(placed) == len(boxes)
    for number, caption in enumerate(placed):
        left, top, right, bottom = caption.place
        assert left >= 0
        assert top >= 0
        assert right <= SIZE[0]
        assert bottom <= SIZE[1]
        if caption.lines != options[-1]:
            assert not any(overlap(caption.place, other.place) for other in placed[:number])
            assert not any(overlap(caption.place, box) for at, box in enumerate(boxes) if at != number)
