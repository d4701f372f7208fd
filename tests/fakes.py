"""A backbone without weights, and a tiny real ONNX graph: what most tests need instead of a network."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from embedder.backbone import Backbone
from embedder.preprocess import DECODE, Picture
from embedder.spec import EmbeddingSpec

FAKE_SPEC = EmbeddingSpec(
    weights_sha256="fa" * 32,
    dim=(12,),
    input_size=(32, 32),
    channel_order="RGB",
    normalization="raw",
    layer="output",
    detector="none",
    alignment="none",
    crop="whole picture, letterbox, bilinear",
    decode=DECODE,
    precision="fp32",
    name="fake",
    dtype="float32",
    recorded={"licence": "ours", "runtime": "fake", "weights_file": None, "weights_bytes": 0},
)


class FakeRuntime:
    """The mean colour of each quarter of the face: (n, 12) float32, 0..1. Counts what it is given."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed(self, faces: Picture) -> np.ndarray:
        self.calls.append(len(faces))
        n, height, width, _ = faces.shape
        quarters = faces.reshape(n, 2, height // 2, 2, width // 2, 3).mean(axis=(2, 4))
        return (quarters.reshape(n, 12) / 255).astype(np.float32)

    def close(self) -> None:
        pass


def fake_backbone(**changes: Any) -> Backbone:
    """A Backbone over FakeRuntime; `changes` replace fields of its spec."""
    return Backbone(dataclasses.replace(FAKE_SPEC, **changes), FakeRuntime())


def embedded(backbone: Backbone) -> int:
    """How many faces a fake backbone was given."""
    return sum(backbone._runtime.calls)  # type: ignore[attr-defined]


def write_mean_colour_onnx(path: Path, *, batch: int | str = "N", layout: str = "NCHW", side: int | str = 16) -> Path:
    """A real ONNX graph whose 3-d embedding is the mean of each input channel."""
    import onnx
    from onnx import TensorProto, helper

    shape = [batch, 3, side, side] if layout == "NCHW" else [batch, side, side, 3]
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image"], ["embedding"], axes=axes, keepdims=0)],
        "mean colour",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
