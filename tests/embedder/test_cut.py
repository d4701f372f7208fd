import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.cut import cut_network
from embedder.preprocess import decode
from embedder.resolve import resolve_backbone
from tests.embedder.graphs import SIZE, save_graph, write_dense_onnx
from tests.fakes import write_mean_colour_onnx

SETTINGS = "channel_order=BGR,normalization=base"


def dense(folder, name="net.onnx"):
    return resolve_backbone(f"{write_dense_onnx(folder / name)},{SETTINGS}")


def test_real_network_is_its_cut_and_its_last_layers(shared, utkface_dir, tmp_path):
    path = shared / "weights" / "mobilefacenet_arcface.onnx"
    assert cut_network(resolve_backbone(str(path)), tmp_path / "cut.onnx") == ("pre_fc1_f", 512, "MobileFaceNet 512-d")
    faces = [decode(each.read_bytes()) for each in sorted(utkface_dir.glob("*.jpg"))[:8]]
    with load_backbone(str(path), cores=1) as whole, load_backbone(str(tmp_path / "cut.onnx"), cores=1) as cut:
        rows, before = whole.embed(faces), cut.embed(faces)
        assert cut.spec.fingerprint != whole.spec.fingerprint
        assert cut.spec.recorded["licence"] == whole.spec.recorded["licence"]
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load(str(path)).graph.initializer}
    dense_rows = before @ held["pre_fc1_w"].T + held["pre_fc1_b"]
    scale = held["fc1_s"] / np.sqrt(held["fc1_v"] + epsilon_of(path))
    np.testing.assert_allclose((dense_rows - held["fc1_m"]) * scale + held["fc1_b"], rows, rtol=1e-3, atol=1e-4)


def epsilon_of(path):
    (last,) = onnx.load(str(path)).graph.node[-1:]
    return next(each.f for each in last.attribute if each.name == "epsilon")


def test_product_of_two_things_seen_is_no_layer_that_is_learnt(tmp_path):
    """As in attention: what is multiplied is no constant though it was turned; weights are, though they were."""
    weights = np.ones((5, 144), np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Transpose", ["weights"], ["turned"]),
        helper.make_node("MatMul", ["flat", "turned"], ["learnt"]),
        helper.make_node("Transpose", ["learnt"], ["seen"]),
        helper.make_node("MatMul", ["learnt", "seen"], ["rows"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, *SIZE, 3])]
    outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 1])]
    path = save_graph(tmp_path / "net.onnx", nodes, inputs, outputs, weights, opset=13, name="weights")
    assert cut_network(resolve_backbone(str(path)), tmp_path / "cut.onnx").layer == "flat"


def test_network_without_a_learnt_layer_needs_a_name(tmp_path):
    path = write_mean_colour_onnx(tmp_path / "net.onnx")
    row = resolve_backbone(f"{path},{SETTINGS}")
    with pytest.raises(BackboneError, match="no layer that is learnt"):
        cut_network(row, tmp_path / "cut.onnx")


def test_settings_go_with_the_cut(tmp_path):
    cut = cut_network(dense(tmp_path), tmp_path / "cut.onnx")
    fields = json.loads((tmp_path / "cut.json").read_text("utf-8"))
    assert (fields["name"], fields["dim"]) == (cut.name, cut.dim)
    assert (fields["channel_order"], fields["normalization"]) == ("BGR", "base")
    with load_backbone(str(tmp_path / "cut.onnx"), cores=1) as backbone:
        assert (backbone.spec.name, backbone.spec.dim) == (cut.name, (cut.dim,))


def test_tensor_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    row = dense(tmp_path)
    last = onnx.load(str(row.weights)).graph.node[-1].output[0]
    with pytest.raises(BackboneError, match=f"no tensor 'gone'; its last ones are .*{last}"):
        cut_network(row, tmp_path / "cut.onnx", layer="gone")
    assert not [*tmp_path.glob("cut*")]


@pytest.mark.parametrize("there", ["cut.onnx", "cut.json"])
def test_no_file_is_replaced(tmp_path, there):
    row = dense(tmp_path)
    (tmp_path / there).write_text("mine")
    with pytest.raises(BackboneError, match=f"{there} is there already"):
        cut_network(row, tmp_path / "cut.onnx")
    assert (tmp_path / there).read_text() == "mine"


def test_backbone_without_a_graph_is_refused(tmp_path):
    with pytest.raises(BackboneError, match="Dlib on dlib"):
        cut_network(resolve_backbone("Dlib"), tmp_path / "cut.onnx")
