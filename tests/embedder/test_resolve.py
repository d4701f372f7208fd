"""Weights given apart from the names of backbones find their way into them."""

import json

import pytest

from data.errors import BackboneError
from embedder.resolve import resolve_backbone, split_name, with_weights
from tests.fakes import write_mean_colour_onnx


@pytest.mark.parametrize(
    ("names", "weights", "expected"),
    [
        (["ArcFace"], ["w.h5"], ["ArcFace,weights=w.h5"]),
        (["Dlib", "ArcFace", "net.onnx"], ["w.h5"], ["Dlib", "ArcFace,weights=w.h5", "net.onnx"]),
        (["ArcFace,normalization=base"], ["seeded:3"], ["ArcFace,weights=seeded:3,normalization=base"]),
        (["ArcFace", "Facenet"], ["seeded:0"], ["ArcFace,weights=seeded:0", "Facenet,weights=seeded:0"]),
        (["ArcFace+Dlib+Facenet"], ["seeded:0"], ["ArcFace,weights=seeded:0+Dlib+Facenet,weights=seeded:0"]),
        (["ArcFace", "Facenet"], ["Facenet=a=b.h5"], ["ArcFace", "Facenet,weights=a=b.h5"]),
        (["ArcFace", "Facenet"], ["ArcFace=a.h5", "Facenet=f.h5"], ["ArcFace,weights=a.h5", "Facenet,weights=f.h5"]),
        (["ArcFace", "a+b.onnx"], [], ["ArcFace", "a+b.onnx"]),
        (["ArcFace"], ["/a+b/w.h5"], ["ArcFace,weights=/a+b/w.h5"]),
    ],
)
def test_weights_go_to_the_backbones_they_are_for(names, weights, expected):
    assert with_weights(names, weights) == expected


@pytest.mark.parametrize(
    ("names", "weights", "said"),
    [
        (["Dlib", "net.onnx"], "seeded:0", "found no such backbone"),
        (["ArcFace", "Facenet"], "w.h5", "found ArcFace and Facenet: give NAME=w.h5"),
        (["ArcFace"], "Facenet=w.h5", "weights w.h5 are for one backbone of deepface, found ArcFace"),
        (["Dlib"], "Dlib=w.dat", "found no such backbone"),
        (["DeepID,weights=a.h5"], "b.h5", "DeepID,weights=a.h5 has weights of its own: leave out b.h5"),
    ],
)
def test_weights_for_nobody_or_for_several_are_refused(names, weights, said):
    with pytest.raises(BackboneError, match=said):
        with_weights(names, [weights])


def test_weights_given_twice_are_refused():
    with pytest.raises(BackboneError, match="weights of DeepID are given twice: leave out seeded:3"):
        with_weights(["DeepID"], ["seeded:0", "seeded:3"])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ArcFace+Facenet", ["ArcFace", "Facenet"]),
        ("ArcFace,normalization=base+net.onnx", ["ArcFace,normalization=base", "net.onnx"]),
        ("mine+Dlib", ["mine", "Dlib"]),
        ("mine", ["mine"]),
        ("a+b.onnx", ["a+b.onnx"]),
        ("ArcFace,weights=/a+b/w.h5", ["ArcFace,weights=/a+b/w.h5"]),
        ("nobody+Dlib", ["nobody+Dlib"]),
    ],
)
def test_plus_joins_names_and_is_left_alone_within_others(name, parts):
    assert split_name(name, {"mine"}) == parts


@pytest.mark.parametrize("name", ["-", " ", "a\nb", "DeepID seeded:0"])
def test_file_is_not_called_what_means_something_else(tmp_path, name):
    path = write_mean_colour_onnx(tmp_path / "mean.onnx")
    path.with_suffix(".json").write_text(json.dumps({"name": name, "channel_order": "RGB", "normalization": "raw"}))
    with pytest.raises(BackboneError, match=r"mean\.onnx cannot be called .* give it a plain name in mean\.json"):
        resolve_backbone(str(path))
