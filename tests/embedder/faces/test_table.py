"""A face as a row of numbers, and the fingerprint of all that changes one."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedder.faces import table
from embedder.faces.choice import TRAITS
from embedder.faces.detect import parse_detector
from embedder.faces.face import Face
from embedder.faces.quality import Quality
from embedder.faces.table import COLUMNS, as_frame, column, table_spec, to_face, to_row, traits_of

pixels = st.floats(-1e4, 1e5, width=32)
share = st.floats(0, 1, width=32)
faces = st.builds(
    Face,
    st.tuples(pixels, pixels, pixels, pixels),
    st.sampled_from([5, 68]).flatmap(lambda k: arrays(np.float32, (k, 2), elements=pixels)),
    st.floats(-10, 10, width=32),
    st.sampled_from([0, 90, 180, 270]),
)
angle = st.none() | st.floats(-180, 180, width=32)
qualities = st.builds(Quality, pixels, pixels, share, share, share, angle, angle, angle)


@given(faces, qualities)
def test_face_is_read_back_from_its_row(face, quality):
    row = to_row(face, quality)
    found = to_face(row)
    assert (found.box, found.confidence, found.turned) == (face.box, face.confidence, face.turned)
    np.testing.assert_array_equal(found.landmarks, face.landmarks)
    np.testing.assert_array_equal(to_row(found, quality), row)


@given(faces, qualities)
def test_columns_hold_what_they_are_called(face, quality):
    rows = to_row(face, quality)[None]
    (named,) = as_frame(rows).to_dict("records")
    for name in COLUMNS[6:]:
        expected = np.float32(getattr(quality, "overall" if name == "quality" else name) or 0)
        assert named[name] == column(rows, name)[0] == expected
    assert (named["left"], named["bottom"], named["confidence"]) == (face.box[0], face.box[3], face.confidence)
    assert {name: values[0] for name, values in traits_of(rows).items()} == {name: named[name] for name in TRAITS}


@settings(max_examples=20)
@given(faces, qualities)
def test_row_of_a_detector_fits_its_spec(face, quality):
    name = {68: "hog", 5: "mtcnn"}[len(face.landmarks)]
    assert to_row(face, quality).shape == table_spec(parse_detector(name)).dim


def test_table_is_another_for_whatever_changes_a_row():
    settings = ["hog", "hog:400", "hog:turned", "hog:400:turned", "cnn"]
    assert len({table_spec(parse_detector(setting)).fingerprint for setting in settings}) == 5


def test_table_is_the_same_however_a_setting_is_written():
    assert table_spec(parse_detector("hog:02000")).fingerprint == table_spec(parse_detector("hog")).fingerprint


def test_table_is_another_for_another_model_file_but_not_for_another_library(monkeypatch):
    spec = table_spec(parse_detector("hog"))
    described = table.describe_detector(parse_detector("hog"))
    assert described["files"]
    monkeypatch.setattr(table, "describe_detector", lambda detector: {**described, "packages": {"dlib": "0.1"}})
    assert table_spec(parse_detector("hog")).fingerprint == spec.fingerprint
    monkeypatch.setattr(table, "describe_detector", lambda detector: {**described, "files": {"a.dat": "00" * 32}})
    assert table_spec(parse_detector("hog")).fingerprint != spec.fingerprint


def test_table_is_told_from_embeddings_and_says_what_its_numbers_are():
    spec = table_spec(parse_detector("hog:400"))
    assert spec.holds_faces
    assert not replace(spec, layer="output").holds_faces
    assert (spec.name, spec.recorded["columns"], spec.recorded["side"]) == ("faces by hog:400", COLUMNS, 400)


@pytest.mark.parametrize("name", ["hog", "mtcnn"])
def test_spec_goes_through_json(name):
    spec = table_spec(parse_detector(name))
    again = type(spec).from_json(json.loads(json.dumps(spec.to_json())))
    assert (again, again.fingerprint) == (spec, spec.fingerprint)


def test_table_is_another_where_less_is_taken_for_a_face(monkeypatch):
    detector = parse_detector("hog")
    fingerprint, row = table_spec(detector).fingerprint, table.DETECTORS["hog"]
    monkeypatch.setitem(table.DETECTORS, "hog", replace(row, threshold=row.threshold - 0.1))
    assert table_spec(detector).fingerprint != fingerprint
