"""Of several faces in a picture, the one that its annotation points at."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ManifestError
from embedder.faces.annotated import ANNOTATION, LEAST_OVERLAP, NONE_OF_THEM, _overlap, annotated_faces
from embedder.faces.detect import parse_detector
from embedder.faces.face import Face
from embedder.faces.quality import Quality
from embedder.faces.table import table_spec, to_row
from embedder.store import ROW_COLUMNS, open_store
from tests.fakes import fake_backbone
from tests.stores import key

TABLE = table_spec(parse_detector("hog:400"))
SPEC = fake_backbone(detector="hog:400", alignment="chip").spec
LEFT, RIGHT = (0, 0, 100, 100), (200, 0, 280, 80)


@pytest.fixture
def store(tmp_path):
    """A store that knows two faces in `two`, one in `one`, and none in `none`."""
    store = open_store(tmp_path / "store", create=True)
    add(store, two=[LEFT, RIGHT], one=[RIGHT], none=[])
    return store


def add(store, **boxes):
    rows = [(key(name), n, "ok", "") for name, each in boxes.items() for n in range(1, len(each) + 1)]
    rows += [(key(name), 0, "no_face", "") for name, each in boxes.items() if not each]
    faces = [Face(box, np.zeros((68, 2), np.float32), 1.0) for each in boxes.values() for box in each]
    vectors = np.array([to_row(face, Quality(face.size, 1, 1, 1, 1)) for face in faces])
    store.add(TABLE, pd.DataFrame(rows, columns=ROW_COLUMNS), vectors)


def images(*rows, index=None):
    """Pictures with the boxes of their annotation, or None."""
    boxes = [[float("nan")] * 4 if box is None else box for _, box in rows]
    frame = pd.DataFrame(boxes, columns=[*ANNOTATION], index=index)
    return frame.assign(sha256=[name and key(name) for name, _ in rows])


def test_annotated_face_is_the_one_that_overlaps_most(store):
    asked = images(("two", (190, -5, 285, 90)), ("two", (5, 5, 90, 90)), ("one", (200, 0, 280, 80)))
    assert annotated_faces(store, SPEC, asked).tolist() == [2, 1, 1]


def test_box_where_no_face_was_found_is_that_of_none(store):
    asked = images(("two", (90, 90, 200, 200)), ("one", (0, 0, 50, 50)))
    assert annotated_faces(store, SPEC, asked).tolist() == [NONE_OF_THEM, NONE_OF_THEM]


def test_overlap_that_is_too_small_is_none(store):
    side = 100
    just, less = (100 * LEAST_OVERLAP + 0.01, 100 * LEAST_OVERLAP - 0.01)
    asked = images(("two", (0, 0, just, side)), ("two", (0, 0, less, side)))
    assert annotated_faces(store, SPEC, asked).tolist() == [1, NONE_OF_THEM]


def test_nothing_is_said_of_pictures_without_an_annotation_a_hash_or_a_look(store):
    asked = images(("two", RIGHT), ("two", None), (None, RIGHT), ("unknown", RIGHT), index=[7, 3, 5, 9])
    asked.loc[3, "face_left"] = 4.0  # a part of a box is no box
    found = annotated_faces(store, SPEC, asked)
    assert found.index.tolist() == [7, 3, 5, 9]
    assert found[7] == 2
    assert found[[3, 5, 9]].isna().all()


@pytest.mark.parametrize("change", [{"detector": "cnn"}, {"detector": "none"}])
def test_faces_of_another_detector_are_not_meant(store, change):
    assert annotated_faces(store, fake_backbone(**change).spec, images(("two", RIGHT))) is None


def test_manifest_without_one_of_the_columns_asks_for_nothing(store):
    asked = images(("two", RIGHT))
    for column in ANNOTATION:
        assert annotated_faces(store, SPEC, asked.drop(columns=column)) is None
    assert annotated_faces(store, SPEC, asked.iloc[:0]) is None


def test_box_of_no_area_overlaps_nothing(store):
    asked = images(("two", (50, 50, 50, 50)), ("two", (80, 80, 20, 20)))
    assert annotated_faces(store, SPEC, asked).tolist() == [NONE_OF_THEM, NONE_OF_THEM]


def test_boxes_written_as_text_are_read_and_others_refused_with_their_row(store):
    asked = images(("two", RIGHT), ("two", None)).astype(dict.fromkeys(ANNOTATION, "string"))
    assert annotated_faces(store, SPEC, asked).tolist()[0] == 2
    asked.loc[0, "face_top"] = "about 12"
    with pytest.raises(ManifestError, match=r"face_top .*about 12"):
        annotated_faces(store, SPEC, asked)


edges = st.floats(-100, 100, width=32)
boxes = st.tuples(edges, edges, edges, edges).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)


@given(boxes, boxes)
def test_overlap_is_symmetric_between_0_and_1_and_1_with_itself(one, other):
    one, other = np.array([one]), np.array([other])
    overlap = _overlap(one, other)[0]
    assert 0 <= overlap <= 1 + 1e-9
    assert overlap == _overlap(other, one)[0]
    area = np.prod(one[0, 2:] - one[0, :2])
    assert _overlap(one, one)[0] == pytest.approx(1 if area > 1e-6 else _overlap(one, one)[0])
