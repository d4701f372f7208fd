"""From rows to photographs."""

import numpy as np
import pytest

from embedder.preprocess import ImageRejected
from heads.folder.photographs import Box, cautions, class_columns, opened, photographs
from tests.heads.folder.scored import no_face, picture, row, table, turned


def test_photographs_come_in_the_order_of_rows_each_with_all_its_faces():
    rows = table(row("b", 1), row("b", 2, age=5.0), no_face("a"), row("c", 0, left=None))
    found = list(photographs(rows, ["/p/b", "/p/b", "/p/a", "/p/c"]))
    assert [(each.path, each.source) for each in found] == [("b", "/p/b"), ("a", "/p/a"), ("c", "/p/c")]
    assert [[face.number for face in each.rows] for each in found] == [[1, 2], [None], [0]]
    assert found[0].rows[1].age == 5.0
    assert found[0].rows[0].box == Box(10, 10, 30, 30)
    assert found[2].rows[0].box is None
    assert (found[1].rows[0].status, found[1].rows[0].reason) == ("no_face", "hog finds no face in it")


def test_photograph_that_is_named_twice_has_its_faces_once():
    rows = table(row("a", 1), row("a", 2), row("a", 1), row("a", 2))
    (found,) = photographs(rows, ["/p/a"] * 4)
    assert [face.number for face in found.rows] == [1, 2]


def test_rows_need_no_box_no_quality_and_no_age():
    rows = table(row("a", 0)).drop(columns=["left", "top", "right", "bottom", "quality", "age", "age_low", "age_high"])
    (found,) = photographs(rows, ["/p/a"])
    (face,) = found.rows
    assert (face.box, face.age_words) == (None, "")
    assert np.isnan([face.age, face.quality, face.width]).all()


@pytest.mark.parametrize(
    ("ages", "words"),
    [
        ({}, "30 (24–36)"),
        ({"age_low": None, "age_high": None}, "30"),
        ({"age": None, "age_low": None, "age_high": None}, ""),
    ],
)
def test_age_is_said_with_its_interval_where_there_is_one(ages, words):
    (found,) = photographs(table(row("a", **ages)), ["/p/a"])
    assert found.rows[0].age_words == words


def test_classes_are_the_columns_with_probabilities():
    rows = table(row("a", glasses="no", glasses_proba=0.7, income=3.5))
    assert class_columns(rows) == ["gender", "glasses"]
    (found,) = photographs(rows, ["/p/a"])
    assert found.rows[0].classes == {"gender": ("female", 0.9), "glasses": ("no", 0.7)}


def test_weights_that_were_not_trained_and_accepted_mismatches_are_said():
    assert cautions(table(row("a"))) == ()
    rows = table(row("a", bundle="0123456789abcdef (random weights, not trained)", mismatch="detector cnn"))
    untrained, mismatch = cautions(rows)
    assert "mean nothing" in untrained
    assert "detector cnn" in mismatch


def test_photograph_is_opened_upright(tmp_path):
    with opened(str(turned(tmp_path / "a.jpg", (60, 100)))) as found:
        assert found.shape == (100, 60, 3)
        assert found[20, 10].max() < 40
        assert found[80, 50].min() > 215


def test_what_is_no_photograph_is_rejected(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(ImageRejected), opened(str(tmp_path / "a.jpg")):
        pass
    with pytest.raises(ImageRejected), opened(str(picture(tmp_path / "b.png", (4, 4)))):
        pass
