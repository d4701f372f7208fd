import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.face_costs import true_face
from benchmarks.faces import (
    BANDS,
    BLUR,
    SEEN,
    SIDE,
    TURNED,
    as_markdown,
    band_of,
    by_band,
    look,
    match,
    overlaps,
    summarise,
)
from benchmarks.scenes import compose
from data.synthetic import draw_faces
from embedder.faces.face import Face
from tests.fakes import fake_backbone

FACE = (0.0, 0.0, 10.0, 10.0)
ELSEWHERE = (30.0, 5.0, 50.0, 25.0)


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def test_overlap_is_intersection_over_union():
    half_to_the_right, within, beside = (5, 0, 15, 10), (2, 2, 7, 7), (10, 0, 20, 10)
    shared = overlaps(boxes(FACE, ELSEWHERE), boxes(FACE, half_to_the_right, within, beside))
    np.testing.assert_allclose(shared, [(1, 1 / 3, 1 / 4, 0), (0, 0, 0, 0)])


@pytest.mark.parametrize(("right", "number"), [(20.0, 0), (20.1, -1), (5.0, 0), (4.9, -1)])
def test_box_is_right_from_half_the_union_on(right, number):
    assert match(boxes(FACE), boxes((0, 0, right, 10))).tolist() == [number]


def test_of_two_boxes_about_one_face_the_worse_is_false():
    assert match(boxes(FACE), boxes((0, 0, 10, 8), (0, 0, 10, 9))).tolist() == [1]


def test_a_box_is_no_two_faces():
    near = (0.0, 0.0, 10.0, 12.0)
    assert match(boxes(FACE, near), boxes(near)).tolist() == [-1, 0]


def test_pairs_share_most_in_sum_though_none_is_the_best_of_all():
    one, other = (0, 0, 10, 10), (0, 0, 10, 14)
    between, fits_the_first_alone = (0, 0, 10, 11), (0, 0, 10, 6)
    assert match(boxes(one, other), boxes(between, fits_the_first_alone)).tolist() == [1, 0]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 2), (2, 0)])
def test_nothing_to_match_is_no_error(n, m):
    assert match(boxes(*[FACE, ELSEWHERE][:n]), boxes(*[FACE, ELSEWHERE][:m])).tolist() == [-1] * n


@given(st.permutations(range(6)))
def test_the_order_of_what_is_found_does_not_matter(order):
    truth = np.array([(20 * i, 0, 20 * i + 10, 10) for i in range(6)], float)
    assert np.array(order)[match(truth, (truth + 1)[order])].tolist() == [*range(6)]


@pytest.mark.parametrize(
    ("trait", "value", "band"),
    [
        *((SIDE, 60, "0 to 60"), (SIDE, 60.1, "60 to 80"), (SIDE, 540, "above 200"), (SEEN, 12, "0 to 40")),
        *((TURNED, 0, "none"), (TURNED, 0.1, "0 to 10"), (TURNED, 30, "20 to 30")),
        *((BLUR, 0, "none"), (BLUR, 1, "0 to 2"), (BLUR, 4, "3 to 4")),
    ],
)
def test_a_value_on_an_edge_is_of_the_band_below(trait, value, band):
    assert band_of(trait, pd.Series([float(value)])).tolist() == [band]


def test_bands_are_those_of_the_traits_there_are_and_hold_every_row():
    rows = pd.DataFrame({SIDE: [54.0, 90.0, 540.0], TURNED: [0.0, 12.0, 30.0], "other": [1, 2, 3]})
    parts = [*by_band(rows)]
    assert [(trait, band) for trait, band, _ in parts][:5] == [
        (SIDE, band) for band in ("0 to 60", "60 to 80", "80 to 120", "120 to 200", "above 200")
    ]
    for trait in (SIDE, TURNED):
        assert pd.concat([part for name, _, part in parts if name == trait]).sort_index().equals(rows)
    assert len(parts) == len(BANDS[SIDE]) + len(BANDS[TURNED]) - 2


def test_ages_are_compared_over_the_faces_that_were_found():
    errors = pd.DataFrame({"chip": [1.0, 2.0, 90.0], "cut by the truth": [1.0, 2.0, 90.0], "found": [1.5, 3.5, np.nan]})
    told = summarise(errors)
    assert told["found and aligned"] == "2 of 3"
    assert (told["chip"], told["found"]) == ("1.50", "2.50")
    assert told["more than chip"] == told["more than cut by the truth"] == "+1.00 ± 0.98"
    assert summarise(errors[1:]) == {"found and aligned": "1 of 2"}


def test_tables_are_markdown_with_a_column_per_level():
    table = pd.DataFrame({"hog": ["a", "b"]}, index=pd.MultiIndex.from_tuples([("x", "y"), ("x", "z")]))
    assert as_markdown(table) == "|  |  | hog |\n| --- | --- | --- |\n| x | y | a |\n| x | z | b |\n"
    assert as_markdown(table.loc["x"]) == "|  | hog |\n| --- | --- |\n| y | a |\n| z | b |\n"


class Oracle:
    """Knows the faces of each picture in turn: sees all but the first, and one where none is."""

    def __init__(self, truth, scenes):
        self._answers = [self._answer(truth[truth["scene"] == scene][1:]) for scene in scenes]
        self._answers.insert(0, [])  # of the picture that warms it up

    def _answer(self, rows):
        faces = [true_face(row) for row in rows.to_dict("records")]
        return [Face((0, 0, 9, 9), np.zeros((5, 2), np.float32), 1.0), *faces]

    def detect(self, picture):
        return self._answers.pop(0)

    def close(self):
        pass


def test_each_face_is_found_or_not_and_each_box_right_or_false(tmp_path, monkeypatch):
    draw_faces(tmp_path / "chips", 12)
    truth = compose(tmp_path / "chips", tmp_path / "scenes", 4, sizes=((640, 480),))
    scenes = sorted(path.name for path in (tmp_path / "scenes").glob("*.jpg"))
    monkeypatch.setattr("benchmarks.faces.load_detector", lambda setting: Oracle(truth, scenes))
    looked = look(tmp_path / "scenes", truth, "hog", fake_backbone(alignment="chip"))
    faces, found = pd.concat(looked.faces), pd.concat(looked.boxes)
    assert faces["found"].equals(truth["scene"].duplicated().rename("found"))
    assert (found["right"].sum(), (~found["right"]).sum()) == (faces["found"].sum(), 4)
    assert sorted(looked.crops) == faces.index[faces["found"]].tolist()
    np.testing.assert_allclose(faces[SEEN] / faces[SIDE], 2000 / 640)
    assert len(looked.seconds) == 4
