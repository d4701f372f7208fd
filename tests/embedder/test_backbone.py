import json

import numpy as np
import pytest

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.resolve import recall_backbone, resolve_backbone
from embedder.spec import BACKBONES, L2_NORMALIZED, EmbeddingSpec
from tests.embedder.weight_files import h5_bytes
from tests.fakes import fake_backbone, gradient, write_mean_colour_onnx, write_pooling_onnx

DLIB_GOLDEN = [-0.053425, 0.122270, 0.062429, 0.009471]
MOBILEFACENET_GOLDEN = [0.248359, -0.057049, 0.206269, 0.151833]
SETTINGS = {"channel_order": "RGB", "normalization": "base"}


@pytest.fixture
def faces():
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 256, (11, 16, 16, 3), np.uint8))


@pytest.fixture
def onnx_file(tmp_path):
    path = write_mean_colour_onnx(tmp_path / "mean.onnx")
    path.with_suffix(".json").write_text(json.dumps({"name": "MeanColour", "dim": 3, "licence": "ours", **SETTINGS}))
    return path


def test_unknown_backbone_names_those_known():
    known = r"known are ArcFace, Facenet, .*Dlib, pixels, .*\.onnx"
    with pytest.raises(BackboneError, match=f"unknown backbone 'ArcFacs'; {known}"):
        load_backbone("ArcFacs")


def test_missing_onnx_file_is_said(tmp_path):
    with pytest.raises(BackboneError, match="no file"):
        load_backbone(str(tmp_path / "absent.onnx"))


def test_onnx_embeds_what_its_graph_computes(onnx_file, faces):
    with load_backbone(str(onnx_file)) as backbone:
        vectors = backbone.embed(faces)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.mean(faces, axis=(1, 2)) / 255, rtol=1e-5)


def test_sidecar_is_kept_in_the_spec(onnx_file):
    spec = load_backbone(str(onnx_file)).spec
    assert (spec.name, spec.dim, spec.input_size) == ("MeanColour", (3,), (16, 16))
    assert spec.recorded["licence"] == "ours"
    assert spec.recorded["weights_bytes"] == onnx_file.stat().st_size


def test_settings_after_commas_stand_in_for_a_sidecar(tmp_path, faces):
    path = write_mean_colour_onnx(tmp_path / "with, comma.onnx")
    backbone = load_backbone(f"{path},channel_order=BGR,normalization=raw,name=Mean")
    assert (backbone.spec.name, backbone.spec.normalization) == ("Mean", "raw")
    np.testing.assert_allclose(backbone.embed(faces), np.mean(faces, axis=(1, 2))[:, ::-1], rtol=1e-5)


def test_settings_overrule_the_sidecar_and_change_the_fingerprint(onnx_file):
    plain = load_backbone(str(onnx_file)).spec
    changed = load_backbone(f"{onnx_file},normalization=ArcFace").spec
    assert (plain.normalization, changed.normalization) == ("base", "ArcFace")
    assert plain.fingerprint != changed.fingerprint


def test_other_weights_have_another_fingerprint(tmp_path):
    one = write_mean_colour_onnx(tmp_path / "a.onnx")
    other = tmp_path / "b.onnx"
    other.write_bytes(one.read_bytes().replace(b"mean colour", b"mean-colour"))
    settings = ",channel_order=RGB,normalization=raw,name=same"
    assert load_backbone(f"{one}{settings}").spec.fingerprint != load_backbone(f"{other}{settings}").spec.fingerprint


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_layout_and_batch_size_of_the_graph_do_not_matter(tmp_path, faces, layout, batch):
    path = write_mean_colour_onnx(tmp_path / "m.onnx", batch=batch, layout=layout)
    vectors = load_backbone(f"{path},channel_order=RGB,normalization=raw").embed(faces)
    np.testing.assert_allclose(vectors, np.mean(faces, axis=(1, 2)), rtol=1e-5)


def test_input_size_may_be_left_to_the_settings(tmp_path, faces):
    path = write_mean_colour_onnx(tmp_path / "m.onnx", side="S")
    with pytest.raises(BackboneError, match="input_size"):
        load_backbone(f"{path},channel_order=RGB,normalization=raw")
    backbone = load_backbone(f"{path},channel_order=RGB,normalization=raw,input_size=16x16")
    assert backbone.embed(faces).shape == (11, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs channel_order"),
        ({"channel_order": "RGB"}, "needs normalization"),
        ({**SETTINGS, "channel_order": "GBR"}, "found GBR"),
        ({**SETTINGS, "dim": 512}, "described as 512-d, its graph gives 3-d"),
        ({**SETTINGS, "input_size": [112, 112]}, "mend layout or input_size"),
        ({**SETTINGS, "layout": "NHWC"}, "mend layout or input_size"),
        ({**SETTINGS, "dim": "many"}, "dim of m.onnx must be"),
        ({**SETTINGS, "colour": "RGB"}, "unknown settings colour"),
    ],
)
def test_sidecar_that_does_not_fit_is_refused(tmp_path, settings, message):
    path = write_mean_colour_onnx(tmp_path / "m.onnx")
    path.with_suffix(".json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match=message):
        load_backbone(str(path))


def test_sidecar_that_is_no_json_is_refused(tmp_path):
    path = write_mean_colour_onnx(tmp_path / "m.onnx")
    path.with_suffix(".json").write_text("{")
    with pytest.raises(BackboneError, match="not readable JSON"):
        load_backbone(str(path))


def test_file_that_is_no_onnx_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(BackboneError, match="cannot be opened as an ONNX model"):
        load_backbone(f"{path},channel_order=RGB,normalization=raw")


def test_backbone_without_a_weight_file_takes_no_settings():
    with pytest.raises(BackboneError, match="Dlib has no settings"):
        resolve_backbone("Dlib,normalization=base")


def test_no_faces_give_no_rows(onnx_file):
    assert load_backbone(str(onnx_file)).embed([]).shape == (0, 3)


def test_pixels_are_the_gray_picture_itself():
    picture = np.full((200, 200, 3), (200, 100, 50), np.uint8)
    rows = load_backbone("pixels").embed([picture, picture])
    assert rows.shape == (2, 128, 128)
    assert rows.dtype == np.uint8
    assert np.unique(rows).tolist() == [124]  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50


def test_dlib_gives_its_canonical_numbers_in_one_process_or_several():
    backbone = load_backbone("Dlib", cores=2)
    vectors = backbone.embed([gradient()] * 9)  # more than IN_PROCESS
    np.testing.assert_allclose(vectors[0, :4], DLIB_GOLDEN, atol=1e-4)
    np.testing.assert_array_equal(vectors, np.repeat(backbone.embed([gradient()]), 9, axis=0))


def test_mobilefacenet_gives_its_canonical_numbers(shared):
    with load_backbone(str(shared / "weights" / "mobilefacenet_arcface.onnx")) as backbone:
        vectors = backbone.embed([gradient()])
    np.testing.assert_allclose(vectors[0, :4], MOBILEFACENET_GOLDEN, atol=1e-3)


def test_row_depends_on_its_own_face_alone_to_the_bit(shared):
    rng = np.random.default_rng(1)
    faces = list(rng.integers(0, 256, (7, 112, 112, 3), np.uint8))
    name = str(shared / "weights" / "mobilefacenet_arcface.onnx")
    together = load_backbone(name, cores=1).embed(faces)
    with load_backbone(name, cores=3) as backbone:
        np.testing.assert_array_equal(backbone.embed(faces[::-1]), together[::-1])
        np.testing.assert_array_equal(np.concatenate([backbone.embed([face]) for face in faces]), together)


def test_weights_in_a_second_file_are_refused_as_no_fingerprint_covers_them(tmp_path, monkeypatch):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((3 * 16 * 16, 4), np.float32), "w")
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 16])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.data", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackboneError, match="keeps weights in a second file; save it as one"):
        load_backbone("m.onnx,channel_order=RGB,normalization=raw")


def test_backbone_without_its_weight_file_says_which(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(BackboneError, match=r"Facenet needs facenet_weights.onnx or facenet_weights.h5 in .*weights"):
        load_backbone("Facenet")


# ---- rows of deepface's networks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return deepface's folder of weights, empty."""
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    (tmp_path / ".deepface" / "weights").mkdir(parents=True)
    return tmp_path / ".deepface" / "weights"


def test_network_is_found_by_name_in_deepfaces_folder(folder):
    write_pooling_onnx(folder / "arcface_weights.onnx")
    (folder / "arcface_weights.h5").write_bytes(b"")
    with load_backbone("ArcFace") as backbone:
        spec = backbone.spec
        assert backbone.embed([gradient()]).shape == (1, 512)
    assert (spec.name, spec.channel_order, spec.normalization) == ("ArcFace", "BGR", "ArcFace")
    assert (spec.recorded["weights_file"], spec.recorded["layout"]) == ("arcface_weights.onnx", "NHWC")
    assert spec.recorded["licence"] == BACKBONES["ArcFace"].licence


def test_h5_file_is_taken_where_there_is_no_onnx_file(folder, tmp_path):
    (folder / "openface_weights.h5").write_bytes(h5_bytes(tmp_path))
    assert resolve_backbone("OpenFace").runtime == "keras"


def test_file_given_by_hand_gives_the_same_embeddings_under_a_licence_nobody_knows(folder, tmp_path):
    write_pooling_onnx(folder / "arcface_weights.onnx")
    given = tmp_path / "other, name.ONNX"
    given.write_bytes((folder / "arcface_weights.onnx").read_bytes())
    found, own = load_backbone("ArcFace").spec, load_backbone(f"ArcFace,weights={given}").spec
    assert own.fingerprint == found.fingerprint
    assert (own.recorded["given"], found.recorded["given"]) == (True, False)
    assert own.recorded["licence"] == "unknown: the file was given by hand"
    assert (own.recorded["seeded"], own.seeded) == (None, None)


@pytest.mark.parametrize("setting", ["normalization=base", "channel_order=RGB"])
def test_setting_of_a_network_is_another_fingerprint_under_its_own_name(folder, setting):
    write_pooling_onnx(folder / "arcface_weights.onnx")
    plain, changed = load_backbone("ArcFace"), load_backbone(f"ArcFace,{setting}")
    assert changed.spec.name == "ArcFace"
    assert changed.spec.fingerprint != plain.spec.fingerprint
    assert not np.allclose(changed.embed([gradient()]), plain.embed([gradient()]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ArcFace,dim=128", "unknown settings dim for ArcFace; known: weights, normalization, channel_order"),
        (
            "ArcFace,normalization=arcface",
            "normalization of ArcFace must be one of raw, .* found arcface",
        ),
        ("ArcFace,channel_order=GRAY", "channel_order of ArcFace must be one of RGB, BGR; found GRAY"),
        ("ArcFace,weights=absent.onnx", "no file absent.onnx: weights of ArcFace are a file or seeded:SEED"),
        ("ArcFace,weights=seeded:", "a seed must be a whole number up to .*, as in weights=seeded:0; found ''"),
        ("ArcFace,weights=seeded:-1", "found '-1'"),
        ("ArcFace,weights=seeded:99999999999999999999999", "a seed must be a whole number up to"),
        ("SFace,weights=seeded:0", "SFace cannot be seeded: deepface does not define its network"),
        ("ArcFace,weights={}/net.pt", r"weights of ArcFace must be a file ending in \.onnx or \.h5; found net\.pt"),
        ("SFace,weights={}/net.h5", r"weights of SFace must be a file ending in \.onnx; found net\.h5"),
    ],
)
def test_setting_that_a_network_does_not_take_is_refused(tmp_path, name, message):
    for file in ("net.pt", "net.h5"):
        (tmp_path / file).write_bytes(b"x")
    with pytest.raises(BackboneError, match=message):
        resolve_backbone(name.format(tmp_path))


def test_file_of_another_network_is_refused(tmp_path):
    file = write_pooling_onnx(tmp_path / "net.onnx", dim=128)
    with pytest.raises(BackboneError, match="ArcFace is described as 512-d, its graph gives 128-d"):
        load_backbone(f"ArcFace,weights={file}")


def test_normalized_layer_gives_rows_of_length_one_and_leaves_zero_alone():
    faces = [np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 9, np.uint8)]
    rows = fake_backbone(layer=L2_NORMALIZED).embed(faces)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [0, 1], rtol=1e-6)
    assert rows.dtype == np.float32


def test_recalled_row_is_the_one_that_was_resolved(folder):
    write_pooling_onnx(folder / "facenet_weights.onnx", side=160, dim=128)
    name = "Facenet,normalization=VGGFace2,channel_order=RGB"
    recorded = EmbeddingSpec.from_json(load_backbone(name).spec.to_json())
    assert recall_backbone(recorded) == resolve_backbone(name)


def test_row_is_recalled_on_the_file_it_ran_on_though_another_is_preferred(folder, tmp_path):
    (folder / "openface_weights.h5").write_bytes(h5_bytes(tmp_path))
    recorded = load_backbone("OpenFace").spec
    write_pooling_onnx(folder / "openface_weights.onnx", side=96, dim=128)
    assert resolve_backbone("OpenFace").runtime == "onnx"
    assert recall_backbone(recorded).weights == folder / "openface_weights.h5"
