"""Weights given apart from the names of backbones find their way into them."""

import pytest

from data.errors import BackboneError
from embedder.resolve import with_weights


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
    ],
)
def test_weights_for_nobody_or_for_several_are_refused(names, weights, said):
    with pytest.raises(BackboneError, match=said):
        with_weights(names, [weights])
