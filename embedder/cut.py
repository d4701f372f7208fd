"""A network up to an earlier layer, as an .onnx file of its own.

The last layer of a face network keeps who somebody is and leaves out what changes within one person, age above all;
what comes before it still has that. docs/heads.md says what it gains.
"""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data.errors import BackboneError
from data.files import atomic_write, write_text
from embedder.backbone import load_backbone
from embedder.spec import BackboneSpec

if TYPE_CHECKING:
    import onnx

_WEIGHED = ("Conv", "Gemm", "MatMul")  # operators of layers that are learnt
_SHOWN = 6  # tensors that a message names


class Cut(NamedTuple):
    """What was written: the tensor that is the embedding now, how many numbers it has, and what tables call it."""

    layer: str
    dim: int
    name: str


def cut_network(row: BackboneSpec, path: Path, *, layer: str | None = None) -> Cut:
    """Write a network up to a tensor, and its settings in a .json file beside it.

    Parameters
    ----------
    row : a backbone on an .onnx file.
    path : a new file, ending in .onnx.
    layer : the tensor's name; by default what goes into the last layer that is learnt.

    Raises
    ------
    BackboneError : the backbone is no ONNX graph, has no such tensor, or gives no vector there; or there is a file.
    """
    if importlib.util.find_spec("onnx") is None:
        raise BackboneError("to cut a network needs the package onnx: pip install 'faceprobe[export]'")
    if row.weights is None or row.weights.suffix.lower() != ".onnx":
        raise BackboneError(f"expected a backbone on an .onnx file, found {row.name} on {row.runtime}: it is no graph")
    for target in (path, path.with_suffix(".json")):
        if target.exists():
            raise BackboneError(f"{target} is there already: choose another name")
    import onnx

    model = onnx.load(str(row.weights))
    layer = layer or _before_last(model, row)
    _require_tensor(model, layer, row)
    content = _up_to(model, layer).SerializeToString()
    cut, sidecar = _tried(content, row, layer)
    try:
        with atomic_write(path) as file:
            file.write(content)
        write_text(path.with_suffix(".json"), sidecar)
    except OSError as error:
        raise BackboneError(f"cannot write {path}: {error.strerror}") from None
    return cut


def _before_last(model: "onnx.ModelProto", row: BackboneSpec) -> str:
    """What goes into the last learnt layer, beside its weights."""
    constants = {each.name for each in model.graph.initializer}
    layer = ""
    for node in model.graph.node:  # each after what it needs
        if constants.issuperset(filter(None, node.input)):
            constants.update(node.output)
        elif node.op_type in _WEIGHED and node.input[1] in constants:
            layer = node.input[0]
    if not layer:
        raise BackboneError(f"{row.name} has no layer that is learnt ({', '.join(_WEIGHED)}): name a tensor: --layer")
    return layer


def _require_tensor(model: "onnx.ModelProto", layer: str, row: BackboneSpec) -> None:
    tensors = [name for node in model.graph.node for name in node.output]
    if layer not in tensors:
        raise BackboneError(f"{row.name} has no tensor {layer!r}; its last ones are {', '.join(tensors[-_SHOWN:])}")


def _up_to(model: "onnx.ModelProto", layer: str) -> "onnx.ModelProto":
    """The nodes and weights that a tensor needs; nothing of them is changed."""
    import onnx

    constants = {each.name for each in model.graph.initializer}
    images = [each.name for each in model.graph.input if each.name not in constants]
    return onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(images, [layer])


def _tried(content: bytes, row: BackboneSpec, layer: str) -> tuple[Cut, str]:
    """What a cut network gives, and its sidecar."""
    fields: dict[str, Any] = {
        "name": row.name,
        "input_size": list(row.input_size),
        "layout": row.layout,
        "channel_order": row.channel_order,
        "normalization": row.normalization,
        "licence": row.licence,
        "url": row.url,
        "note": f"{row.weights.name if row.weights else ''} up to {layer}",
    }
    fields = {key: value for key, value in fields.items() if value}
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / "cut.onnx"
        tried.write_bytes(content)
        tried.with_suffix(".json").write_text(json.dumps(fields), "utf-8")
        with load_backbone(f"{tried},device=cpu", cores=1) as backbone:
            (dim,) = backbone.spec.dim
    cut = Cut(layer, dim, f"{row.name} {dim}-d")
    return cut, json.dumps({**fields, "name": cut.name, "dim": dim}, indent=1)
