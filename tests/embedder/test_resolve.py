"""Weights given apart from the names of backbones find their way into them."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BackboneError, DetectorError
from embedder.backbone import load_backbone, start_backbone
from embedder.faces.templates import TEMPLATES
from embedder.resolve import (
    recall_backbone,
    resolve_backbone,
    split_name,
    with_runtime,
    with_settings,
    with_view,
    with_weights,
)
from embedder.spec import EmbeddingSpec
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


@pytest.fixture
def faces():
    return list(np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8))


@pytest.fixture
def graph(tmp_path):
    path = write_mean_colour_onnx(tmp_path / "mean.onnx")
    path.with_suffix(".json").write_text(json.dumps({"channel_order": "RGB", "normalization": "raw"}))
    return path


def test_mirrored_embedding_is_the_mean_of_both(faces, graph):
    plain, mirrored = load_backbone(str(graph)), load_backbone(f"{graph},flip=yes")
    both = plain.embed(faces), plain.embed([np.ascontiguousarray(face[:, ::-1]) for face in faces])
    np.testing.assert_allclose(mirrored.embed(faces), np.mean(both, axis=0), rtol=1e-6)
    assert mirrored.spec.name == "mean mirrored"
    assert mirrored.spec.fingerprint != plain.spec.fingerprint


def test_middle_of_a_picture_is_what_a_crop_sees(graph):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:30, 15:45] = 200
    half, whole = load_backbone(f"{graph},crop=50"), load_backbone(str(graph))
    np.testing.assert_array_equal(half.crop(picture), whole.crop(picture[10:30, 15:45]))
    assert half.spec.name == "mean crop 50%"
    assert half.spec.fingerprint != whole.spec.fingerprint


def test_whole_picture_unmirrored_is_the_fingerprint_without_settings(graph):
    asked = load_backbone(f"{graph},crop=100,flip=no").spec
    assert asked == load_backbone(str(graph)).spec


@pytest.mark.parametrize("setting", ["crop=9", "crop=151", "crop=half", "crop=-5", "flip=maybe", "flip="])
def test_view_that_cannot_be_is_refused(graph, setting):
    with pytest.raises(BackboneError, match=f"{setting.partition('=')[0]} of mean must be"):
        resolve_backbone(f"{graph},{setting}")


def test_pictures_themselves_are_not_averaged_with_their_mirror_images():
    with pytest.raises(BackboneError, match="flip of pixels must be no"):
        resolve_backbone("pixels,flip=yes")


def test_view_is_recalled():
    spec = load_backbone("Dlib,crop=80,flip=yes").spec
    assert spec.name == "Dlib crop 80% mirrored"
    recalled = recall_backbone(EmbeddingSpec.from_json(json.loads(json.dumps(spec.to_json()))))
    assert start_backbone(recalled).spec.fingerprint == spec.fingerprint


def test_settings_for_all_go_into_every_name():
    assert with_settings(["ArcFace+Dlib", "a.onnx,dim=3"], {"crop": "80", "flip": "yes"}) == [
        "ArcFace,crop=80,flip=yes+Dlib,crop=80,flip=yes",
        "a.onnx,dim=3,crop=80,flip=yes",
    ]
    assert with_settings(["ArcFace"], {}) == ["ArcFace"]


@pytest.mark.parametrize(
    ("settings", "executor", "precision"),
    [
        ("", "", "fp32"),
        (",runtime=onnx", "", "fp32"),
        (",runtime=auto", "auto", "fp32"),
        (",runtime=openvino", "openvino", "fp32"),
        (",runtime=openvino,precision=fp32", "openvino", "fp32"),
        (",precision=fp16", "openvino", "fp16"),
        (",runtime=auto,precision=int8", "openvino", "int8"),
    ],
)
def test_runtime_and_precision_say_what_executes(tmp_path, settings, executor, precision):
    file = write_mean_colour_onnx(tmp_path / "m.onnx")
    row = resolve_backbone(f"{file},channel_order=RGB,normalization=raw{settings}")
    assert (row.runtime, row.executor, row.precision) == ("onnx", executor, precision)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}", "runtime of m on m.onnx must be onnx or openvino or auto, found tensorrt"),
        ("{},runtime=keras", "runtime of m on m.onnx must be onnx or openvino or auto, found keras"),
        ("{},precision=int4", "precision of m on m.onnx must be fp32 or fp16 or int8, found int4"),
        ("{},runtime=onnx,precision=int8", "int8 is for OpenVINO alone, found runtime=onnx: leave out one of the two"),
        ("Dlib,precision=fp16", "precision of Dlib must be fp32, found fp16"),
        ("Dlib,runtime=openvino", "runtime of Dlib must be dlib or auto, found openvino"),
        ("pixels,precision=fp32", "precision of pixels must be uint8, found fp32"),
    ],
)
def test_runtime_that_cannot_execute_a_backbone_is_refused(tmp_path, name, said):
    file = f"{write_mean_colour_onnx(tmp_path / 'm.onnx')},channel_order=RGB,normalization=raw"
    name = f"{file},runtime=tensorrt" if name == "{}" else name.format(file)
    with pytest.raises(BackboneError, match=re.escape(said)):
        resolve_backbone(name)


@pytest.mark.parametrize("runtime", ["onnx", "auto"])
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_device_is_kept_and_changes_nothing_else(tmp_path, runtime, device):
    name = f"{write_mean_colour_onnx(tmp_path / 'm.onnx')},channel_order=RGB,normalization=raw,runtime={runtime}"
    row = resolve_backbone(f"{name},device={device}")
    assert row == replace(resolve_backbone(name), device=device)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("device=gpu", "device of m must be auto or cpu or cuda, found gpu"),
        ("runtime=openvino,device=cuda", "device of m must be auto or cpu, found cuda: openvino computes on the CPU"),
        ("precision=int8,device=cuda", "device of m must be auto or cpu, found cuda: openvino computes on the CPU"),
    ],
)
def test_device_that_a_runtime_does_not_have_is_refused(tmp_path, settings, said):
    name = f"{write_mean_colour_onnx(tmp_path / 'm.onnx')},channel_order=RGB,normalization=raw,{settings}"
    with pytest.raises(BackboneError, match=re.escape(said)):
        resolve_backbone(name)


def test_auto_is_no_runtime_of_what_has_but_one():
    assert resolve_backbone("pixels,runtime=auto").executor == ""


def test_runtime_that_was_found_takes_the_place_of_auto_alone():
    assert with_runtime("a,runtime=auto,b.onnx,runtime=auto,flip=yes", "onnx").endswith("b.onnx,runtime=onnx,flip=yes")
    assert with_runtime("net.onnx,runtime=auto", "openvino") == "net.onnx,runtime=openvino"
    assert with_runtime("net.onnx,runtime=onnx", "openvino") == "net.onnx,runtime=onnx"


# ---- faces that are aligned

TEMPLATE = st.sampled_from(sorted(TEMPLATES))
ALIGNED = st.fixed_dictionaries(
    {"crop": TEMPLATE},
    optional={
        "margin": st.integers(-40, 100).filter(bool).map(str),
        "detector": st.sampled_from(["cnn", "hog:400", "hog:turned", "retinaface", "mtcnn:800:turned"]),
        "flip": st.just("yes"),
    },
)
VIEWS = ALIGNED | st.fixed_dictionaries({}, optional={"crop": st.integers(10, 99).map(str), "flip": st.just("yes")})


def named(view):
    return "".join(f",{key}={value}" for key, value in view.items())


@given(VIEWS)
def test_every_view_is_written_as_it_was_read_and_gives_the_same_row(view):
    row = resolve_backbone(f"Dlib{named(view)}")
    assert row.view == view
    assert with_view(resolve_backbone("Dlib"), row.view) == row == with_view(row, {})


@given(VIEWS, ALIGNED)
def test_view_of_a_row_is_replaced_by_settings(before, view):
    row = with_view(resolve_backbone(f"Dlib{named(before)}"), view)
    assert row.view == {**before, **view}
    assert row == resolve_backbone(f"Dlib{named({**before, **view})}")


@settings(max_examples=10)
@given(ALIGNED)
def test_aligned_view_is_recalled_from_a_store(view):
    with load_backbone(f"Dlib{named(view)}", cores=1) as backbone:
        recalled = recall_backbone(EmbeddingSpec.from_json(json.loads(json.dumps(backbone.spec.to_json()))))
    assert recalled == resolve_backbone(f"Dlib{named(view)}")


def print_of(graph, settings=""):
    return load_backbone(f"{graph}{settings}").spec.fingerprint


def test_chips_that_are_declared_and_chips_that_are_found_by_the_default_detector_share_a_fingerprint(graph):
    declared = print_of(graph, ",crop=chip")
    assert declared == print_of(graph, ",detector=hog") == print_of(graph, ",crop=chip,margin=0,detector=hog:2000")


def test_another_detector_template_margin_or_none_is_another_fingerprint(graph):
    views = [
        *("", ",crop=80", ",crop=chip", ",crop=arcface", ",crop=eyes", ",crop=box", ",crop=chip,margin=20"),
        *(",crop=chip,margin=-20", ",detector=cnn", ",detector=hog:400", ",detector=hog:turned", ",crop=chip,flip=yes"),
    ]
    assert len({print_of(graph, view) for view in views}) == len(views)


def test_name_in_a_table_says_how_faces_are_found_and_cut(graph):
    assert load_backbone(f"{graph},crop=chip").spec.name == "mean chip"
    assert load_backbone(f"{graph},detector=hog").spec.name == "mean chip"
    name = load_backbone(f"{graph},crop=arcface,margin=-10,detector=cnn:turned,flip=yes").spec.name
    assert name == "mean arcface margin -10% cnn:turned mirrored"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("crop=face", "a percentage from 10 to 150, or one of chip, arcface, eyes, box; found face"),
        ("margin=20", "with a margin needs faces that are aligned"),
        ("crop=80,detector=hog", "with a detector needs faces that are aligned: crop must be one of chip"),
        ("crop=chip,margin=101", "margin of mean must be a percentage from -40 to 100, found 101"),
        ("crop=chip,margin=-41", "found -41"),
        ("crop=chip,margin=2.5", "found 2.5"),
        ("crop=chip,margin=--5", "found --5"),
    ],
)
def test_views_of_faces_that_cannot_be_are_refused(graph, settings, said):
    with pytest.raises(BackboneError, match=re.escape(said)):
        resolve_backbone(f"{graph},{settings}")


@pytest.mark.parametrize("detector", ["none", "hogg", "hog:5", "hog:turned:400", ":400"])
def test_detector_that_there_is_not_is_refused(graph, detector):
    with pytest.raises(DetectorError):
        resolve_backbone(f"{graph},detector={detector}")


def test_detector_given_for_all_and_for_one_backbone_is_refused():
    with pytest.raises(BackboneError, match="Dlib,detector=cnn has a detector of its own"):
        with_settings(["Dlib,detector=cnn"], {"detector": "hog"})
