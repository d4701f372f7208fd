"""Heads as nodes of an ONNX graph: what `Bundle.predict` does, from embeddings to ages, classes and numbers.

Everything is float32, where NumPy decodes in float64: ages differ by some 1e-5 years.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import TensorProto

from embedder.graph import Graph
from heads.bundle import Bundle
from heads.calibrate import LEAST_SPREAD, Calibration, Intervals, Temperature
from heads.net import Floats, Layer, Net
from heads.tasks import Task


def add_heads(graph: Graph, rows: str, bundle: Bundle, tasks: Sequence[Task]) -> None:
    """Add the heads of some tasks to a graph, from rows (n, dim) to one output or more of each task."""
    net_of = {name: net for net in bundle.nets for name in net.outputs}
    means: dict[str, str] = {}
    for net in bundle.nets:
        means |= _add_net(graph, rows, net, [task.name for task in tasks if net_of[task.name] is net])
    for task in tasks:
        mean, calibration = means[task.name], bundle.calibration.get(task.name)
        if task.kind == "age":
            _add_age(graph, task, mean, calibration, expected=net_of[task.name].has_classes(task.name))
        elif task.kind == "class":
            _add_class(graph, task, mean, calibration)
        else:
            graph.output(task.name, mean, says=f"a number, as the column {task.column} has it")


def _add_net(graph: Graph, rows: str, net: Net, tasks: Sequence[str]) -> dict[str, str]:
    """Add a net; by task, its members' mean: probabilities (n, classes), or numbers (n,)."""
    x = _add_unit_rows(graph, rows) if net.normalise else rows
    for layer in net.trunk:
        x = _add_layer(graph, x, layer)
    means = {}
    for task in tasks:
        output = _add_layer(graph, x, net.outputs[task])
        means[task] = graph.reduce("ReduceMean", output, [0] if net.has_classes(task) else [0, 2], keepdims=False)
    return means


def _add_unit_rows(graph: Graph, rows: str) -> str:
    """Add the division of each row by its length; one of zeros stays as it is."""
    length = graph.add("Sqrt", graph.reduce("ReduceSum", graph.add("Mul", rows, rows), [1]))
    return graph.add("Div", rows, graph.add("Max", length, np.finfo(np.float32).tiny))


def _add_layer(graph: Graph, x: str, layer: Layer) -> str:
    """Add one layer of every member: (n, in) or (members, n, in) to (members, n, out)."""
    bias = layer.bias
    if layer.activation == "coral":  # logits are one number plus a bias each: sorted biases make them sorted
        bias = -np.sort(-bias, axis=-1)
    logits = graph.add("Add", graph.add("MatMul", x, layer.kernel), bias[:, None])
    return _ACTIVATIONS[layer.activation](graph, logits, bias.shape[-1])


def _add_gelu(graph: Graph, x: str, width: int) -> str:
    cube = graph.add("Mul", graph.add("Mul", x, x), graph.add("Mul", x, 0.044715))
    tanh = graph.add("Tanh", graph.add("Mul", graph.add("Add", x, cube), np.sqrt(2 / np.pi)))
    return graph.add("Mul", graph.add("Mul", x, 0.5), graph.add("Add", tanh, 1.0))


def _add_corn(graph: Graph, x: str, width: int) -> str:
    """ONNX has no running product; it is the exponential of a running sum, and that is a matrix product."""
    logs = graph.add("Neg", graph.add("Softplus", graph.add("Neg", x)))
    return _add_between(graph, graph.add("Exp", graph.add("MatMul", logs, np.triu(np.ones((width, width))))), width)


def _add_between(graph: Graph, older: str, width: int) -> str:
    """Add P(year k) from P(older than year k), (..., K - 1) to (..., K): differences of neighbours."""
    differences = np.eye(width, width + 1, 1) - np.eye(width, width + 1)
    return graph.add("Add", graph.add("MatMul", older, differences), np.eye(width + 1)[0])


_ACTIVATIONS: Mapping[str, Callable[[Graph, str, int], str]] = {
    "gelu": _add_gelu,
    "softmax": lambda graph, x, width: graph.add("Softmax", x, axis=2),  # which older operator sets do not call -1
    "coral": lambda graph, x, width: _add_between(graph, graph.add("Sigmoid", x), width),
    "corn": _add_corn,
    "linear": lambda graph, x, width: x,
}


def _add_age(graph: Graph, task: Task, mean: str, calibration: Calibration | None, *, expected: bool) -> None:
    """Add the age, expected or of a regression, and its interval where it has one."""
    spread: str | float = 1.0
    if expected:
        ages, spread = _add_moments(graph, mean, np.array(task.classes, np.float32))
    else:
        ages = _add_limits(graph, mean, task)
    graph.output(task.name, ages, says="years")
    if isinstance(calibration, Intervals):
        half = graph.add("Mul", _add_quantiles(graph, ages, calibration), spread)
        says = f"years, of an interval that is to hold {calibration.level:.0%} of ages"
        for operator, end in (("Sub", "low"), ("Add", "high")):
            bound = _add_limits(graph, graph.add(operator, ages, half), task)
            graph.output(f"{task.name}_{end}", bound, says=says)


def _add_moments(graph: Graph, proba: str, years: Floats) -> tuple[str, str]:
    """Add mean and standard deviation of distributions (n, years), (n,) each."""
    ages = graph.add("MatMul", proba, years[:, None])
    from_age = graph.add("Sub", years, ages)
    variance = graph.reduce("ReduceSum", graph.add("Mul", proba, graph.add("Mul", from_age, from_age)), [1])
    spread = graph.add("Sqrt", graph.add("Max", variance, LEAST_SPREAD**2))
    return graph.add("Reshape", ages, [-1]), graph.add("Reshape", spread, [-1])


def _add_quantiles(graph: Graph, ages: str, intervals: Intervals) -> str:
    """Add the quantile of each age's group, (n,): a sum of the steps up to it."""
    edges = np.array([-np.inf, *intervals.edges[1:]])  # the youngest belong to the first group
    reached = graph.add("Not", graph.add("Less", graph.add("Reshape", ages, [-1, 1]), edges))
    steps = np.diff(intervals.quantiles, prepend=0.0)
    return graph.add("MatMul", graph.add("Cast", reached, to=TensorProto.FLOAT), steps)


def _add_limits(graph: Graph, ages: str, task: Task) -> str:
    """Keep ages within those that were learned."""
    return graph.add("Min", graph.add("Max", ages, float(task.classes[0])), float(task.classes[-1]))


def _add_class(graph: Graph, task: Task, mean: str, calibration: Calibration | None) -> None:
    """Add the likeliest class by its number, and the probabilities of all, calibrated."""
    proba = _add_tempered(graph, mean, calibration.value) if isinstance(calibration, Temperature) else mean
    labels = ", ".join(f"{number} {label}" for number, label in enumerate(task.classes))
    likeliest = graph.add("ArgMax", proba, axis=1, keepdims=0)
    graph.output(task.name, likeliest, says=labels, of=TensorProto.INT64)
    graph.output(f"{task.name}_proba", proba, len(task.classes), says=f"probabilities of {labels}")


def _add_tempered(graph: Graph, proba: str, temperature: float) -> str:
    """Add what `Temperature` does to probabilities (n, classes)."""
    relative = graph.add("Div", proba, graph.reduce("ReduceMax", proba, [1]))
    powers = graph.add("Pow", relative, 1 / temperature)
    return graph.add("Div", powers, graph.reduce("ReduceSum", powers, [1]))
