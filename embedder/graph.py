"""One flat ONNX graph in the making, and its first part: from face pictures to embeddings.

Only operators are used that mean the same in every operator set from OLDEST on, so that a backbone's own nodes stay
as they are, in the set they were written in: converting a network is where others lose digits.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from data.errors import BackboneError
from embedder.preprocess import NORMALIZATIONS
from embedder.spec import L2_NORMALIZED, MIRRORED, EmbeddingSpec

OLDEST = 8  # operator set; before it Max and Min did not broadcast
FACES = "faces"  # the graph's input
_AXES_ARE_INPUTS = {"ReduceSum": 13}  # since this operator set; for the other reductions since 18
_PREFIX, _WEIGHTS = "faceprobe/", "weights/"


class Graph:
    """Nodes and constants; every method that adds a node returns the name of what it gives.

    Parameters
    ----------
    model : the backbone's, whose operator sets all nodes are written in.

    Attributes
    ----------
    image : the input of the backbone.
    batch : the number of faces that it takes, or "n" where any number goes.

    Raises
    ------
    BackboneError : an operator set older than OLDEST.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)
        if self.opset < OLDEST:
            raise BackboneError(
                f"the backbone's graph has operator set {self.opset}, expected {OLDEST} or newer: convert it with "
                "onnx.version_converter, and train a bundle on the new file"
            )
        constants = {each.name for each in model.graph.initializer}  # which before IR 4 are inputs too
        self.image = next(each for each in model.graph.input if each.name not in constants)
        first = self.image.type.tensor_type.shape.dim[0].dim_value
        self.batch: int | str = first if first > 0 else "n"
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add(self, operator: str, *inputs: str | ArrayLike, **attributes: Any) -> str:
        """Add a node; an input is a name or a constant: whole numbers become int64, others float32."""
        names = [each if isinstance(each, str) else self._constant(np.asarray(each)) for each in inputs]
        output = f"{_PREFIX}{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [output], name=output, **attributes))
        return output

    def reduce(self, operator: str, x: str, axes: Sequence[int], *, keepdims: bool = True) -> str:
        """Add a reduction such as ReduceMean; newer operator sets want its axes as an input."""
        if self.opset >= _AXES_ARE_INPUTS.get(operator, 18):
            return self.add(operator, x, axes, keepdims=int(keepdims))
        return self.add(operator, x, axes=axes, keepdims=int(keepdims))

    def extend(self, nodes: Iterable[onnx.NodeProto], constants: Iterable[onnx.TensorProto] = ()) -> None:
        """Add nodes and constants as they are."""
        self._nodes.extend(nodes)
        self._constants.extend(constants)

    def output(self, name: str, x: str, *shape: int, says: str, of: int = TensorProto.FLOAT) -> None:
        """Give x to the graph's user under a name; its shape is (batch, *shape), and `says` explains it."""
        self._nodes.append(helper.make_node("Identity", [x], [name], name=f"{_PREFIX}{name}"))
        self._outputs.append(helper.make_tensor_value_info(name, of, [self.batch, *shape], doc_string=says))

    def to_model(self, size: tuple[int, int], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Build the model of all that was added, from faces (batch, *size, 3) uint8 to the outputs, and check it.

        Raises
        ------
        onnx.checker.ValidationError : the nodes make no valid graph.
        """
        shape = [self.batch, *size, 3]
        faces = helper.make_tensor_value_info(FACES, TensorProto.UINT8, shape, doc_string=metadata.get(FACES, ""))
        graph = helper.make_graph(self._nodes, "faceprobe", [faces], self._outputs, self._constants)
        model = helper.make_model(
            graph,
            opset_imports=self.model.opset_import,
            ir_version=max(self.model.ir_version, 8),  # before 4 constants were inputs; 10 is ONNX Runtime 1.20's last
            functions=self.model.functions,
            producer_name="faceprobe",
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model

    def _constant(self, value: np.ndarray[Any, Any]) -> str:
        name = f"{_PREFIX}constant_{len(self._constants)}"
        dtype = np.int64 if np.issubdtype(value.dtype, np.integer) else np.float32
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name


def add_embedding(graph: Graph, spec: EmbeddingSpec) -> str:
    """Add the way from FACES to rows (n, dim), float32: what `Backbone.embed` gives for faces of the input's size."""
    weights = [_renamed(each, f"{_WEIGHTS}{each.name}") for each in graph.model.graph.initializer]
    graph.extend([], weights)
    pictures = graph.add("Cast", FACES, to=TensorProto.FLOAT)
    rows = _add_rows(graph, spec, pictures, "backbone/")
    if spec.layer.endswith(MIRRORED):
        turned = graph.add("Gather", pictures, np.arange(spec.input_size[1])[::-1], axis=2)
        rows = graph.add("Div", graph.add("Add", rows, _add_rows(graph, spec, turned, "mirrored/")), 2.0)
    return rows


def _add_rows(graph: Graph, spec: EmbeddingSpec, pictures: str, prefix: str) -> str:
    """Add one run of the backbone; two of them share their weights."""
    output = _add_backbone(graph, _add_normalization(graph, spec, pictures), prefix)
    rows = graph.add("Reshape", output, [0, math.prod(spec.dim)])
    if not spec.layer.startswith(L2_NORMALIZED):
        return rows
    length = graph.add("Sqrt", graph.reduce("ReduceSum", graph.add("Mul", rows, rows), [1]))
    return graph.add("Div", rows, graph.add("Add", length, 1e-10))


def _add_normalization(graph: Graph, spec: EmbeddingSpec, pictures: str) -> str:
    """Add what `embedder.preprocess.normalize` does, to float32 pictures (n, height, width, 3)."""
    planes = spec.recorded["layout"] == "NCHW"
    x = graph.add("Gather", pictures, [2, 1, 0], axis=3) if spec.channel_order == "BGR" else pictures
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2]) if planes else x
    rule = NORMALIZATIONS[spec.normalization]
    if rule is None:
        return _add_standardization(graph, x, math.prod(spec.input_size) * 3)
    offset, scale = np.array(rule[0], np.float32), rule[1]
    if offset.ndim:
        offset = (offset[::-1] if spec.channel_order == "BGR" else offset).reshape((3, 1, 1) if planes else 3)
    x = graph.add("Sub", x, offset) if offset.any() else x
    return graph.add("Div", x, scale) if scale != 1 else x


def _add_standardization(graph: Graph, x: str, numbers: int) -> str:
    """Add each picture's own mean 0 and standard deviation 1."""
    centred = graph.add("Sub", x, graph.reduce("ReduceMean", x, [1, 2, 3]))
    deviation = graph.add("Sqrt", graph.reduce("ReduceMean", graph.add("Mul", centred, centred), [1, 2, 3]))
    return graph.add("Div", centred, graph.add("Max", deviation, 1 / math.sqrt(numbers)))


def _add_backbone(graph: Graph, image: str, prefix: str) -> str:
    """Add a copy of the backbone's nodes under names of their own; return its first output."""
    own = graph.model.graph
    names = {each.name: f"{_WEIGHTS}{each.name}" for each in own.initializer} | {graph.image.name: image}
    names |= {name: f"{prefix}{name}" for node in own.node for name in node.output if name}
    nodes = [_copy(node) for node in own.node]
    _rename(nodes, names)
    for node in nodes:
        node.name = f"{prefix}{node.name}" if node.name else ""
    graph.extend(nodes)
    return names[own.output[0].name]


def _rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Rename what nodes read and write, also inside the branches and loops they hold."""
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                _rename(inner.node, names)
                for output in inner.output:
                    output.name = names.get(output.name, output.name)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _renamed(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy
