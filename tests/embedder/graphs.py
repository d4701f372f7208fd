"""A small ONNX graph in which every number of a picture counts."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (6, 8)
DIM = 5


def write_dense_onnx(
    path: Path, *, opset: int = 13, batch: int | str = "N", layout: str = "NHWC", ir: int = 8, embedding: str = "faces"
) -> Path:
    """Write a graph that multiplies every value of a picture with a matrix: whatever goes astray changes its rows."""
    matrix = np.random.default_rng(0).normal(size=(3 * SIZE[0] * SIZE[1], DIM)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["age"], ["flat"]), helper.make_node("MatMul", ["flat", "m"], [embedding])]
    shape = [batch, *SIZE, 3] if layout == "NHWC" else [batch, 3, *SIZE]
    inputs = [helper.make_tensor_value_info("age", TensorProto.FLOAT, shape)]
    if ir < 4:  # when constants had to be inputs
        inputs.insert(0, helper.make_tensor_value_info("m", TensorProto.FLOAT, matrix.shape))
    outputs = [helper.make_tensor_value_info(embedding, TensorProto.FLOAT, [batch, DIM])]
    return save_graph(path, nodes, inputs, outputs, matrix, opset=opset, ir=ir)


def save_graph(
    path: Path,
    nodes: list,
    inputs: list,
    outputs: list,
    matrix: np.ndarray,
    *,
    opset: int,
    ir: int = 8,
    name: str = "m",
) -> Path:
    """Write a graph with one constant, `matrix`, under a name."""
    graph = helper.make_graph(nodes, "dense", inputs, outputs, [numpy_helper.from_array(matrix, name)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir), str(path))
    path.with_suffix(".json").write_text(json.dumps({"channel_order": "RGB", "normalization": "raw"}))
    return path
