"""A backbone and a detector without weights, tiny real ONNX graphs, and pictures: what most tests need of networks."""

import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from embedder.backbone import Backbone
from embedder.faces.detectors.row import Found
from embedder.faces.finder import Finder
from embedder.faces.templates import TEMPLATES
from embedder.preprocess import DECODE, Picture
from embedder.spec import BACKBONES, EmbeddingSpec

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
        self.warm = False

    def embed(self, faces: Picture) -> np.ndarray:
        self.calls.append(len(faces))
        n, height, width, _ = faces.shape
        quarters = faces.reshape(n, 2, height // 2, 2, width // 2, 3).mean(axis=(2, 4))
        return (quarters.reshape(n, 12) / 255).astype(np.float32)

    def warm_up(self) -> None:
        self.warm = True

    def close(self) -> None:
        pass


def fake_backbone(**changes: Any) -> Backbone:
    """A Backbone over FakeRuntime; `changes` replace fields of its spec."""
    return Backbone(dataclasses.replace(FAKE_SPEC, **changes), FakeRuntime(), row=BACKBONES["pixels"])


def embedded(backbone: Backbone) -> int:
    """How many faces a fake backbone was given."""
    return sum(backbone._runtime.calls)  # type: ignore[attr-defined]


def gradient(side: int = 200) -> Picture:
    """A picture that anyone can draw again: golden values are of it."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)


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


def write_pooling_onnx(path: Path, *, side: int = 112, dim: int = 512) -> Path:
    """A real ONNX graph of deepface's form, NHWC: means of blocks of 8 x 8 pixels times a fixed matrix."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.default_rng(0).normal(size=(3 * (side // 8) ** 2, dim)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["blocks"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["blocks"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", side, side, 3])]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", dim])]
    graph = helper.make_graph(nodes, "pooling", inputs, outputs, [numpy_helper.from_array(matrix, "matrix")])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


ORDERS = {"fail": (255, 0, 255), "die": (0, 255, 255), "wait": (255, 255, 0)}  # the first pixel's colour


def picture_of(
    *boxes: tuple[int, int, int, int], size: tuple[int, int] = (400, 300), order: str = "", seed: int = 0
) -> Picture:
    """A grey picture of `size` (width, height) with a red square for every box: left, top, right, bottom.

    Blue tells the squares apart, the bottom half of each is darker, and a bit of noise makes pictures with other seeds
    other contents. `order` is what happens to whoever looks for faces in it, of ORDERS.
    """
    rng = np.random.default_rng(seed)
    picture = rng.integers(90, 110, (size[1], size[0], 3)).astype(np.uint8)
    for number, (left, top, right, bottom) in enumerate(boxes):
        picture[top:bottom, left:right] = (250, 10, 10 + 20 * (number % 10))
        picture[(top + bottom) // 2 : bottom, left:right, 0] = 220
    if order:
        picture[0, 0] = ORDERS[order]
    return picture


class Squares:
    """A library of detectors that takes red squares for faces, with 68 landmarks; `calls` counts the pictures.

    It stands in the place of `embedder.faces.detectors.dlib.Hog`: all that is above a library is the real thing.
    """

    def __init__(self) -> None:
        self.calls = 0

    def find(self, picture: Picture) -> list[Found]:
        self.calls += 1
        told = next((name for name, colour in ORDERS.items() if tuple(picture[0, 0]) == colour), "")
        if told == "fail":
            raise RuntimeError("out of order")
        if told == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if told == "wait":
            time.sleep(0.1)
        red = (picture[..., 0] > 180) & (picture[..., 1] < 60)
        count, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        return [_square(*stats[number].tolist()) for number in range(1, count)]


def _square(left: int, top: int, width: int, height: int, pixels: int) -> Found:
    """A face that fills its box, so that the template `chip` cuts out the box; more pixels are more confidence."""
    points = TEMPLATES["chip"].points[68]
    places = np.full(68, 0.5 + 0.5j)
    places[[*points.numbers]] = points.places
    landmarks = np.stack([left + width * places.real, top + height * places.imag], axis=1) - 0.5
    return Found((left, top, left + width, top + height), pixels / 1000, landmarks.astype(np.float32))


def looked(finder: Finder) -> int:
    """How often a finder over `Squares` has looked into a picture."""
    return finder._detector._library.calls  # type: ignore[attr-defined]
