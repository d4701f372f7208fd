"""deepface's networks on weights drawn at random, as .onnx files: what every engine in a benchmark can read.

Speed depends on the architecture, not on what the weights have learned. The graph is OpenVINO's of the .h5 file, its
batch norms folded, written down operator by operator: there are a dozen kinds. NHWC, as deepface's own files.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from embedder.backbone import drawn_weights
from embedder.cache import cache_folder
from embedder.resolve import resolve_backbone

OPSET = 13


def seeded_onnx(name: str) -> Path:
    """The .onnx file of a network of deepface with seed 0, made once."""
    import onnx

    from embedder.runtimes.openvino import fused_model

    path = cache_folder() / "benchmark" / f"{name}.onnx"
    if not path.exists():
        model = fused_model(drawn_weights(resolve_backbone(f"{name},weights=seeded:0")))
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_suffix(".part")
        onnx.save(_graph(model, name), str(made))
        os.replace(made, path)
    return path


def _graph(model: Any, name: str) -> Any:
    """An ONNX model of OpenVINO's."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, shape = [], [], list(model.input(0).partial_shape)
    for op in model.get_ordered_ops():
        kind, own = op.get_type_name(), op.get_friendly_name()
        taken = [source.get_source_output().get_node() for source in op.inputs()]
        if kind == "Constant":
            tensors.append(numpy_helper.from_array(_constant(op), own))
        elif kind not in ("Parameter", "Result"):
            node, more = _node(op, kind, taken)
            nodes.append(node)
            tensors += [numpy_helper.from_array(array, array_name) for array_name, array in more.items()]
    image, result = model.input(0).get_node().get_friendly_name(), model.output(0).get_node()
    last = result.input(0).get_source_output().get_node().get_friendly_name()
    sides = [side.get_length() for side in shape[1:]]
    inputs = [helper.make_tensor_value_info(image, TensorProto.FLOAT, ["N", *sides])]
    outputs = [
        helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", model.output(0).partial_shape[1].get_length()])
    ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(nodes, name, inputs, outputs, [tensor for tensor in tensors if tensor.name in used])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _constant(op: Any) -> np.ndarray:
    array = np.asarray(op.data)
    return array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)


def _node(op: Any, kind: str, taken: list[Any]) -> tuple[Any, dict[str, np.ndarray]]:
    """One operator, and tensors it needs beside those that are there."""
    from onnx import helper

    own, has = op.get_friendly_name(), op.get_attributes()
    names = [node.get_friendly_name() for node in taken]
    more: dict[str, np.ndarray] = {}
    settings: dict[str, Any] = {}
    match kind:
        case "Convolution" | "MaxPool":
            settings = {"strides": list(has["strides"])} | _padding(has)
            settings |= {"kernel_shape": list(has["kernel"])} if kind == "MaxPool" else {}
            kind = kind.replace("Convolution", "Conv")
        case "Multiply":
            kind = "Mul"
        case "PRelu":
            kind, slope = "PRelu", _constant(taken[1]).ravel()
            names[1] = f"{own}/slope"
            more = {names[1]: slope.reshape(-1, 1, 1)}
        case "Transpose":
            settings, names = {"perm": _constant(taken[1]).tolist()}, names[:1]
        case "Concat":
            settings = {"axis": has["axis"]}
        case "ReduceMean":
            settings, names = {"axes": _constant(taken[1]).tolist(), "keepdims": int(has["keep_dims"])}, names[:1]
        case "MatMul":
            if has["transpose_b"]:
                names[1] = f"{own}/transposed"
                more = {names[1]: np.ascontiguousarray(_constant(taken[1]).T)}
        case "Add" | "Relu" | "Reshape":
            pass
        case _:
            raise ValueError(f"expected operators of ArcFace and Facenet; found {kind}")
    return helper.make_node(kind, names, [own], **settings), more


def _padding(has: dict[str, Any]) -> dict[str, Any]:
    if has["auto_pad"] in ("same_upper", "same_lower"):
        return {"auto_pad": has["auto_pad"].upper()}
    if has["auto_pad"] == "valid":
        return {"auto_pad": "VALID"}
    return {"pads": [*has["pads_begin"], *has["pads_end"]]}
