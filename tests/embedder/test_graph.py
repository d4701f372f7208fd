"""The joined graph turns faces into the embeddings that the backbone itself gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from data.errors import BackboneError
from embedder.backbone import Backbone, load_backbone
from embedder.graph import Graph, add_embedding
from embedder.ort import onnxruntime
from embedder.preprocess import NORMALIZATIONS
from embedder.spec import L2_NORMALIZED, MIRRORED
from tests.embedder.graphs import DIM, SIZE, save_graph, write_dense_onnx


def faces(n: int) -> np.ndarray:
    """Return n pictures, one of them flat: it has no standard deviation."""
    pictures = np.random.default_rng(1).integers(0, 256, (n, *SIZE, 3), np.uint8)
    pictures[-1] = 77
    return pictures


def joined(path: Path, backbone: Backbone) -> onnxruntime.InferenceSession:
    """Return a session of the graph from faces to embeddings."""
    graph = Graph(onnx.load(str(path)))
    graph.output("embedding", add_embedding(graph, backbone.spec), DIM, says="")
    content = graph.to_model(backbone.spec.input_size, {}).SerializeToString()
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def assert_equal_rows(path: Path, backbone: Backbone, *, n: int = 3) -> None:
    pictures = faces(n)
    (found,) = joined(path, backbone).run(["embedding"], {"faces": pictures})
    expected = backbone.embed(list(pictures))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_pictures_are_prepared_as_for_the_backbone_alone(tmp_path, normalization, order, layout):
    path = write_dense_onnx(tmp_path / "net.onnx", layout=layout)
    settings = f"normalization={normalization},channel_order={order},layout={layout}"
    with load_backbone(f"{path},{settings}", cores=1) as backbone:
        assert_equal_rows(path, backbone)


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("layer", [L2_NORMALIZED, "output" + MIRRORED, L2_NORMALIZED + MIRRORED])
def test_lengths_and_mirror_images_are_part_of_the_graph(tmp_path, layer, batch):
    path = write_dense_onnx(tmp_path / "net.onnx", batch=batch)
    with load_backbone(str(path), cores=1) as plain:
        assert_equal_rows(
            path, Backbone(replace(plain.spec, layer=layer), plain._runtime, row=plain.row), n=1 if batch == 1 else 3
        )


def test_weights_are_there_once_though_the_backbone_runs_twice(tmp_path):
    path = write_dense_onnx(tmp_path / "net.onnx")
    graph = Graph(onnx.load(str(path)))
    with load_backbone(f"{path},flip=yes", cores=1) as backbone:
        graph.output("embedding", add_embedding(graph, backbone.spec), DIM, says="")
    initializers = graph.to_model(SIZE, {}).graph.initializer
    assert sum(each.dims == [3 * SIZE[0] * SIZE[1], DIM] for each in initializers) == 1


@pytest.mark.parametrize(("opset", "ir"), [(8, 3), (11, 6), (13, 7), (18, 8), (21, 10)])
@pytest.mark.parametrize("normalization", ["Facenet", "VGGFace2"])
def test_operator_set_stays_the_backbone_s_own(tmp_path, opset, ir, normalization):
    path = write_dense_onnx(tmp_path / "net.onnx", opset=opset, ir=ir)
    with load_backbone(f"{path},normalization={normalization},flip=yes", cores=1) as backbone:
        both = Backbone(replace(backbone.spec, layer=L2_NORMALIZED + MIRRORED), backbone._runtime, row=backbone.row)
        assert_equal_rows(path, both)
        graph = Graph(onnx.load(str(path)))
        assert graph.to_model(SIZE, {}).opset_import[0].version == opset


def test_operator_set_that_is_too_old_is_refused(tmp_path):
    path = write_dense_onnx(tmp_path / "net.onnx", opset=7)
    with pytest.raises(BackboneError, match="operator set 7, expected 8 or newer: convert it with"):
        Graph(onnx.load(str(path)))


def test_number_of_faces_is_free_where_the_backbone_s_is_and_else_as_it_has_it(tmp_path):
    for batch, expected in (("N", "n"), (4, 4)):
        path = write_dense_onnx(tmp_path / f"net-{batch}.onnx", batch=batch)
        with load_backbone(str(path), cores=1) as backbone:
            session = joined(path, backbone)
        assert session.get_inputs()[0].shape == [expected, *SIZE, 3]
        assert session.get_outputs()[0].shape == [expected, DIM]


def test_names_inside_branches_are_renamed_with_those_outside(tmp_path):
    """Write a graph whose branches read a constant and a node's output of the graph around them."""
    matrix = np.random.default_rng(0).normal(size=(3 * SIZE[0] * SIZE[1], DIM)).astype(np.float32)

    def branch(operator: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
        nodes = [helper.make_node("MatMul", ["flat", "m"], ["r"]), helper.make_node(operator, ["r"], ["chosen"])]
        return helper.make_graph(nodes, operator, [], [output])

    true = numpy_helper.from_array(np.array(True))
    nodes = [
        helper.make_node("Flatten", ["age"], ["flat"]),
        helper.make_node("Constant", [], ["yes"], value=true),
        helper.make_node("If", ["yes"], ["rows"], then_branch=branch("Neg"), else_branch=branch("Abs")),
    ]
    inputs = [helper.make_tensor_value_info("age", TensorProto.FLOAT, ["N", *SIZE, 3])]
    outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", DIM])]
    path = save_graph(tmp_path / "net.onnx", nodes, inputs, outputs, matrix, opset=13)
    with load_backbone(f"{path},flip=yes", cores=1) as backbone:
        assert_equal_rows(path, backbone)
