"""A bundle and its backbone as one ONNX file, for people who deploy elsewhere."""

import importlib.util
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.errors import BackboneError, BundleError
from data.files import atomic_write
from embedder.backbone import Backbone
from embedder.seeded import draw_pictures
from embedder.spec import BackboneSpec, EmbeddingSpec
from heads.bundle import Bundle
from heads.score.rows import tasks_asked_for
from heads.tasks import Task

if TYPE_CHECKING:
    import onnx

EMBEDDING = "embedding"  # an output
PICTURES = 8  # drawn ones, on which every file is run before it is written
TOLERANCE = 1e-3  # years, and a share of what else comes out: float32 gives some 1e-5; more is another network


class Exported(NamedTuple):
    """What was written.

    Attributes
    ----------
    outputs : names of the graph's outputs.
    batch : how many faces go in at a time: a number that the backbone's graph fixes, or None for any.
    difference : from what `Bundle.predict` says of drawn pictures: the largest, years or a share.
    """

    outputs: tuple[str, ...]
    batch: int | None
    difference: float


def export_onnx(bundle: Bundle, path: Path, *, backbone: str | None = None, ethnicity: bool = False) -> Exported:
    """Write the graph from faces to every task's predictions, whole or not at all, weights and facts inside.

    Input: faces, uint8 RGB of shape (n, height, width, 3), at the size that the backbone sees, cropped as the metadata
    `faces` says. Outputs: embedding (n, dim); for ages the age, _low and _high where the bundle has intervals, years;
    for classes the number of the likeliest, int64 (n,), and _proba (n, classes), calibrated; for numbers the number.

    Parameters
    ----------
    backbone : for a bundle without weights, as in `Bundle.load_backbone`.
    ethnicity : whether its head, if there is one, goes into the file.

    Raises
    ------
    BackboneError : the backbone is no ONNX graph, or one that cannot be joined to anything.
    BundleError : a task bears a name that the graph needs, or the file would not predict what the bundle does.
    HeadError : as `heads.score.rows.tasks_asked_for`.
    """
    tasks = tasks_asked_for(bundle, ethnicity=ethnicity)
    _require_onnx()
    network = _network(bundle.backbone_spec(backbone))
    with bundle.load_backbone(backbone, cores=1) as loaded:
        model = _join(bundle, tasks, loaded.spec, network)
        content = model.SerializeToString()
        difference = _check(content, bundle, tasks, loaded)
    with atomic_write(path) as file:
        file.write(content)
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    return Exported(tuple(output.name for output in model.graph.output), first.dim_value or None, difference)


def _require_onnx() -> None:
    if importlib.util.find_spec("onnx") is None:
        raise BundleError("an export needs the package onnx, which is not installed: pip install 'faceprobe[export]'")


_NO_GRAPH = {
    "dlib": "its network is in a format of dlib's own",
    "keras": "its weights are in an .h5 file, which holds no ONNX graph",
    "pixels": "it has no network",
}


def _network(row: BackboneSpec) -> Path:
    """The .onnx file of a backbone, whatever runs it; refuse one that has none."""
    if row.weights and row.weights.suffix.lower() == ".onnx":
        return row.weights
    raise BackboneError(
        f"{row.name} cannot go into an ONNX file: {_NO_GRAPH[row.runtime]}. Train a bundle on an .onnx file: "
        "your own, or one that `weights fetch` gets"
    )


def _join(bundle: Bundle, tasks: Sequence[Task], spec: EmbeddingSpec, network: Path) -> "onnx.ModelProto":
    """Build the graph."""
    import onnx

    from embedder.graph import FACES, Graph, add_embedding
    from heads.nodes import add_heads

    if taken := {task.name for task in tasks} & {FACES, EMBEDDING}:
        raise BundleError(f"a task cannot be called {taken.pop()}, which the graph has already: train it renamed")
    graph = Graph(onnx.load_model_from_string(network.read_bytes()))
    rows = add_embedding(graph, spec)
    graph.output(EMBEDDING, rows, *spec.dim, says=f"of {spec.name}, fingerprint {spec.fingerprint}")
    add_heads(graph, rows, bundle, tasks)
    try:
        return graph.to_model(spec.input_size, _metadata(bundle, tasks, spec))
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise BackboneError(f"the graph of {spec.name} cannot be joined to heads: {reason}") from None


def _metadata(bundle: Bundle, tasks: Sequence[Task], spec: EmbeddingSpec) -> dict[str, str]:
    """What whoever deploys the file must know."""
    height, width = spec.input_size
    said = [
        {"name": task.name, "kind": task.kind, "labels": task.classes if task.kind == "class" else ()} for task in tasks
    ]
    return {
        "faceprobe": version("faceprobe"),
        "bundle": bundle.id,
        "fingerprint": spec.fingerprint,
        "backbone": spec.name,
        "licence": f"of the backbone's weights: {spec.recorded['licence']}; that of the training data binds as well",
        "faces": f"RGB, detector {spec.detector}, alignment {spec.alignment}, {spec.crop}, {height} x {width} pixels",
        "tasks": json.dumps(said),
        "limits": "how old and of which gender a face looks to those who labelled the data; not for decisions about "
        "individuals",
    }


def _check(content: bytes, bundle: Bundle, tasks: Sequence[Task], backbone: Backbone) -> float:
    """Run the file on drawn pictures; return the largest difference from what the bundle predicts."""
    from embedder.ort import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only, as when a backbone runs alone
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        batch = session.get_inputs()[0].shape[0]
        faces = draw_pictures(batch if isinstance(batch, int) else PICTURES, backbone.spec.input_size)
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(names, {session.get_inputs()[0].name: faces}), strict=True))
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common base
        reason = str(error).strip().splitlines()[0]
        raise BackboneError(f"the graph of {backbone.spec.name} cannot be run joined to heads: {reason}") from None
    expected = bundle.predict(backbone.embed(list(faces)), tasks=tasks)
    difference = max(_difference(task, found, expected) for task in tasks)
    if not difference <= TOLERANCE:
        raise BundleError(
            f"the joined graph differs from the bundle by {difference:.2g} on drawn pictures, where at most "
            f"{TOLERANCE:g} is float32's rounding: nothing was written; please report the backbone's graph"
        )
    return difference


def _difference(task: Task, found: dict[str, Any], expected: Any) -> float:
    """The largest difference of one task: of probabilities, years, or a number's share."""
    if task.kind == "class":
        return float(np.abs(found[f"{task.name}_proba"].max(axis=1) - expected[f"{task.name}_proba"]).max())
    values = expected[task.name].to_numpy(np.float64)
    scale = 1.0 if task.kind == "age" else np.maximum(np.abs(values), 1.0)
    return float((np.abs(found[task.name] - values) / scale).max())
