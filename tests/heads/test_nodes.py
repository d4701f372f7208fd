"""Heads as nodes predict what they predict in NumPy."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from embedder.graph import Graph
from embedder.ort import onnxruntime
from heads.bundle import Bundle
from heads.calibrate import Intervals, Temperature
from heads.net import Layer, Net
from heads.nodes import add_heads
from heads.tasks import Task
from tests.fakes import FAKE_SPEC

AGE = Task("age", "age", "age", tuple(range(101)))
TEENS = Task("age", "age", "age", tuple(range(13, 20)))
GENDER = Task("gender", "gender", "class", ("male", "female"))
GROUP = Task("group", "age", "class", ("a", "b", "c", "d"))
HEIGHT = Task("height", "height", "number")
N_IN = 12
INTERVALS = Intervals(0.9, (0.0, 30.0, 50.0), (1.5, 2.5, 0.5), (60, 60, 60))


def layer(n_in: int, n_out: int, activation: str, *, members: int = 3, biases: int = 0, size: float = 1.0) -> Layer:
    rng = np.random.default_rng(n_in + n_out)
    kernel = rng.normal(size=(members, n_in, n_out)) * size * n_in**-0.5
    return Layer(kernel.astype(np.float32), rng.normal(size=(members, biases or n_out)).astype(np.float32), activation)


def age_layer(kind: str, n_in: int, *, task: Task = AGE, size: float = 1.0) -> Layer:
    n = len(task.classes)
    if kind == "softmax":
        return layer(n_in, n, kind, size=size)
    if kind == "coral":
        return layer(n_in, 1, kind, biases=n - 1, size=size)
    if kind == "corn":
        made = layer(n_in, n - 1, kind, size=size)
        return made._replace(bias=made.bias + 3)
    made = layer(n_in, 1, "linear", size=40 * size)
    return made._replace(bias=made.bias + 40)


def outputs_of(bundle: Bundle, vectors: np.ndarray, *, opset: int = 13, tasks: tuple[Task, ...] = ()) -> dict:
    """Run a graph of the heads alone, on whole numbers from 0 to 255 in place of embeddings."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1])
    empty = helper.make_graph([], "none", [image], [])
    graph = Graph(helper.make_model(empty, opset_imports=[helper.make_opsetid("", opset)]))
    pictures = graph.add("Cast", "faces", to=TensorProto.FLOAT)
    rows = graph.add("Mul", graph.add("Sub", graph.add("Reshape", pictures, [0, N_IN]), 128.0), 1 / 64)
    add_heads(graph, rows, bundle, tasks or bundle.tasks)
    model = graph.to_model((2, 2), {})
    model.ir_version = 10
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    faces = vectors.reshape(-1, 2, 2, 3)
    return dict(zip(names, session.run(names, {"faces": faces}), strict=True))


def values(n: int = 40) -> np.ndarray:
    """Return n rows, the first of which is zeros once 128 is taken away."""
    drawn = np.random.default_rng(3).integers(0, 256, (n, N_IN), np.uint8)
    drawn[0] = 128
    return drawn


def assert_predicts_the_same(bundle: Bundle, *, opset: int = 13) -> pd.DataFrame:
    drawn = values()
    found, expected = outputs_of(bundle, drawn, opset=opset), bundle.predict((drawn.astype(np.float32) - 128) / 64)
    for task in bundle.tasks:
        if task.kind == "class":
            labels = np.array(task.classes)[found[task.name]]
            assert labels.tolist() == expected[task.name].tolist()
            proba = found[f"{task.name}_proba"]
            np.testing.assert_allclose(proba.max(axis=1), expected[f"{task.name}_proba"], atol=1e-5)
            np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
        else:
            np.testing.assert_allclose(found[task.name], expected[task.name], atol=1e-4)
    for bound in {"age_low", "age_high"} & found.keys():
        np.testing.assert_allclose(found[bound], expected[bound], atol=1e-4)
    return expected


def bundle_of(outputs: dict[Task, Layer], *, trunk: tuple[Layer, ...] = (), **changes) -> Bundle:
    net = Net(trunk, {task.name: each for task, each in outputs.items()}, normalise=changes.pop("normalise", False))
    return Bundle(FAKE_SPEC, tuple(outputs), (net,), {}, **changes)


@pytest.mark.parametrize("opset", [8, 13, 18, 21])
@pytest.mark.parametrize("kind", ["softmax", "coral", "corn", "linear"])
def test_ages_of_every_loss_and_their_intervals(kind, opset):
    bundle = bundle_of({AGE: age_layer(kind, N_IN, size=3)}, calibration={"age": INTERVALS})
    ages = assert_predicts_the_same(bundle, opset=opset)["age"]
    assert len(ages.round(1).unique()) > 20


@pytest.mark.parametrize("kind", ["softmax", "coral", "corn", "linear"])
def test_ages_and_intervals_end_where_those_learned_end(kind):
    wide = Intervals(0.9, (0.0,), (50.0,), (60,))
    made = bundle_of({TEENS: age_layer(kind, N_IN, task=TEENS)}, calibration={"age": wide})
    expected = assert_predicts_the_same(made)
    assert (expected["age_low"].min(), expected["age_high"].max()) == (13, 19)


def test_head_that_is_certain_has_the_least_interval():
    one = layer(N_IN, 101, "softmax", members=1, size=300)
    made = bundle_of({AGE: one}, calibration={"age": INTERVALS})
    expected = assert_predicts_the_same(made)
    assert (expected["age_high"] - expected["age_low"]).min() == pytest.approx(2 * 0.1 * 0.5)


def test_age_without_calibration_has_no_interval():
    assert [*outputs_of(bundle_of({AGE: age_layer("softmax", N_IN)}), values())] == ["age"]


@pytest.mark.parametrize("temperature", [None, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("task", [GENDER, GROUP], ids=lambda task: task.name)
def test_probabilities_of_classes_are_calibrated(task, temperature):
    calibration = {task.name: Temperature(temperature, 60)} if temperature else {}
    last = layer(N_IN, len(task.classes), "softmax", size=5)
    expected = assert_predicts_the_same(bundle_of({task: last}, calibration=calibration))
    assert expected[task.name].nunique() == len(task.classes)


def test_class_that_had_no_training_rows_has_probability_0():
    last = layer(N_IN, 4, "softmax")
    last.bias[:, 2] = -1e4
    bundle = bundle_of({GROUP: last}, calibration={"group": Temperature(2.0, 60)})
    assert_predicts_the_same(bundle)
    assert outputs_of(bundle, values())["group_proba"][:, 2].max() == 0


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("widths", [(), (7,), (7, 9)])
def test_hidden_layers_and_unit_rows(widths, normalise):
    sizes = [N_IN, *widths]
    trunk = tuple(layer(n_in, n_out, "gelu") for n_in, n_out in pairwise(sizes))
    outputs = {
        AGE: age_layer("softmax", sizes[-1]),
        GENDER: layer(sizes[-1], 2, "softmax"),
        HEIGHT: layer(sizes[-1], 1, "linear", size=10),
    }
    expected = assert_predicts_the_same(bundle_of(outputs, trunk=trunk, normalise=normalise))
    assert expected["height"].nunique() == len(expected)


def test_net_per_task_is_joined_like_one_for_all():
    nets = (
        Net((layer(N_IN, 5, "gelu"),), {"age": age_layer("corn", 5)}),
        Net((), {"gender": layer(N_IN, 2, "softmax")}, normalise=True),
        Net((), {"height": layer(N_IN, 1, "linear", members=1)}),
    )
    assert_predicts_the_same(Bundle(FAKE_SPEC, (AGE, GENDER, HEIGHT), nets, {}))


def test_task_that_is_not_asked_for_leaves_nothing_in_the_graph():
    bundle = bundle_of({GENDER: layer(N_IN, 2, "softmax"), GROUP: layer(N_IN, 4, "softmax")})
    assert [*outputs_of(bundle, values(), tasks=(GENDER,))] == ["gender", "gender_proba"]


@settings(max_examples=25)
@given(
    edges=st.lists(st.integers(1, 99), min_size=0, max_size=5, unique=True).map(sorted),
    quantiles=st.lists(st.floats(0, 20, width=16), min_size=6, max_size=6),
)
def test_interval_is_of_its_age_s_own_group(edges, quantiles):
    groups = (0.0, *map(float, edges))
    intervals = Intervals(0.9, groups, tuple(quantiles[: len(groups)]), (60,) * len(groups))
    assert_predicts_the_same(bundle_of({AGE: age_layer("linear", N_IN)}, calibration={"age": intervals}))
