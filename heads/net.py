"""Net: what a trained head is, as arrays. NumPy alone, so that scoring loads no TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import FaceprobeError

Floats = NDArray[np.float32]

_BLOCK = 4096  # rows at a time: the widest intermediate stays near 20 MB


class HeadError(FaceprobeError, ValueError):
    """Rows or settings that a head cannot be trained on, or arrays that are no head; for scikit-learn a ValueError."""


class Layer(NamedTuple):
    """One dense layer of every member: activation(x @ kernel + bias).

    Attributes
    ----------
    kernel : ndarray of shape (members, in, out), float32.
    bias : ndarray of shape (members, out), float32.
    activation : a key of `ACTIVATIONS`.
    """

    kernel: Floats
    bias: Floats
    activation: str

    def __call__(self, x: Floats) -> Floats:
        """Map (members or 1, n, in) to (members, n, out)."""
        return ACTIVATIONS[self.activation](x @ self.kernel + self.bias[:, None])


def gelu(x: Floats) -> Floats:
    """GELU in its tanh form (Hendrycks and Gimpel, 2016), the same as Keras computes with `approximate=True`."""
    return 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * x * x * x)))


def softmax(x: Floats) -> Floats:
    """Turn logits into probabilities along the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(x: Floats) -> Floats:
    """Logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def coral(x: Floats) -> Floats:
    """Turn logits of "older than year k" into probabilities of years, (..., K - 1) to (..., K) (CORAL, 2020).

    All logits are one number plus a bias each. Sorted, they give no year less than nothing, and the same expected age.
    """
    return _between(sigmoid(-np.sort(-x, axis=-1)))


def corn(x: Floats) -> Floats:
    """The same from logits of "older than year k, if older than year k - 1" (CORN, 2021)."""
    return _between(np.cumprod(sigmoid(x), axis=-1))


def _between(older: Floats) -> Floats:
    """P(older than year k), falling along the last axis (..., K - 1), to P(year k), (..., K)."""
    ends = [np.ones_like(older[..., :1]), older, np.zeros_like(older[..., :1])]
    return -np.diff(np.concatenate(ends, axis=-1), axis=-1)


def linear(x: Floats) -> Floats:
    """Leave x as it is."""
    return x


class Predictor(Protocol):
    """What a fitted head predicts with: a `Net`, or what stands in for one."""

    @property
    def n_features(self) -> int:
        """Numbers per row."""

    @property
    def n_bytes(self) -> int:
        """Size in a bundle."""

    def has_classes(self, task: str) -> bool:
        """Whether the output of a task is probabilities."""

    def predict(self, X: NDArray[Any]) -> dict[str, Floats]:
        """Rows (n, ...) to outputs by task: probabilities (n, classes), or numbers (n,)."""


ACTIVATIONS = {"gelu": gelu, "softmax": softmax, "coral": coral, "corn": corn, "linear": linear}


@dataclass(frozen=True, eq=False)
class Net:
    """A small dense network with one output per task, several members of which are averaged.

    Whatever linear steps came before training (standardisation, PCA) are folded into the first layer.

    Attributes
    ----------
    trunk : the hidden layers, shared by all tasks; none in a linear head.
    outputs : the last layer of each task: "linear" with one output gives a number, any other probabilities.
    normalise : whether each row is first divided by its length.
    """

    trunk: tuple[Layer, ...]
    outputs: dict[str, Layer]
    normalise: bool = False

    @property
    def n_features(self) -> int:
        """Numbers per row that `predict` expects."""
        first = self.trunk[0] if self.trunk else next(iter(self.outputs.values()))
        return first.kernel.shape[1]

    @property
    def n_bytes(self) -> int:
        """Size of all weights."""
        return sum(array.nbytes for array in self.to_arrays()[0].values())

    def has_classes(self, task: str) -> bool:
        """Whether the output of a task is probabilities."""
        return self.outputs[task].activation != "linear"

    def predict(self, X: NDArray[Any]) -> dict[str, Floats]:
        """Average the members' outputs.

        Parameters
        ----------
        X : ndarray of shape (n, ...), any numeric dtype; what follows n is flattened to `n_features` numbers.

        Returns
        -------
        dict of task name to ndarray, float32 : probabilities (n, classes), or numbers (n,).

        Raises
        ------
        HeadError : if rows have another size than the net was trained on.
        """
        rows = flatten(X)
        if rows.shape[1] != self.n_features:
            raise HeadError(
                f"expected rows of {self.n_features} numbers; found {rows.shape[1]}.\n"
                "Use the embeddings of the backbone that the head was trained on."
            )
        blocks = [self._predict(rows[start : start + _BLOCK]) for start in range(0, max(len(rows), 1), _BLOCK)]
        return {task: np.concatenate([block[task] for block in blocks]) for task in self.outputs}

    def _predict(self, rows: NDArray[Any]) -> dict[str, Floats]:
        """Predict one block of rows, (n, n_features)."""
        x = (unit_rows(rows) if self.normalise else rows.astype(np.float32, copy=False))[None]
        for layer in self.trunk:
            x = layer(x)
        means = {task: layer(x).mean(axis=0) for task, layer in self.outputs.items()}
        return {task: mean if self.has_classes(task) else mean[:, 0] for task, mean in means.items()}

    def to_arrays(self) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Take the net apart.

        Returns
        -------
        arrays : float32 arrays named "trunk.0.kernel", "trunk.0.bias", ..., "outputs.age.kernel", ...
        structure : the rest, as JSON can hold it.
        """
        layers = {f"trunk.{i}": layer for i, layer in enumerate(self.trunk)}
        layers |= {f"outputs.{task}": layer for task, layer in self.outputs.items()}
        arrays = {}
        for name, layer in layers.items():
            arrays[f"{name}.kernel"], arrays[f"{name}.bias"] = layer.kernel, layer.bias
        structure = {
            "trunk": [layer.activation for layer in self.trunk],
            "outputs": {task: layer.activation for task, layer in self.outputs.items()},
            "normalise": self.normalise,
        }
        return arrays, structure

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Floats], structure: Mapping[str, Any]) -> "Net":
        """Put together what `to_arrays` took apart; "normalise" may be missing, as in bundles of format 1.

        Raises
        ------
        HeadError : if an array is missing, the shapes do not fit each other, or an activation is unknown.
        """
        try:
            activations = {f"trunk.{i}": activation for i, activation in enumerate(structure["trunk"])}
            activations |= {f"outputs.{task}": activation for task, activation in structure["outputs"].items()}
            layers = {
                name: Layer(arrays[f"{name}.kernel"], arrays[f"{name}.bias"], activation)
                for name, activation in activations.items()
            }
            trunk = tuple(layer for name, layer in layers.items() if name.startswith("trunk."))
            outputs = {task: layers[f"outputs.{task}"] for task in structure["outputs"]}
            net = cls(trunk, outputs, normalise=bool(structure.get("normalise", False)))
            net.predict(np.zeros((1, net.n_features), dtype=np.float32))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
            raise HeadError(f"expected the arrays of a head; found {error!r}.\nSave the head again.") from error
        return net


def together(nets: Sequence[Net]) -> Net:
    """Join nets of one shape to one whose output is the average of theirs: the heads of several folds as one."""

    def join(layers: Sequence[Layer]) -> Layer:
        kernel = np.concatenate([layer.kernel for layer in layers])
        bias = np.concatenate([layer.bias for layer in layers])
        return Layer(kernel, bias, layers[0].activation)

    trunk = tuple(join(layers) for layers in zip(*(net.trunk for net in nets), strict=True))
    outputs = {task: join([net.outputs[task] for net in nets]) for task in nets[0].outputs}
    return Net(trunk, outputs, normalise=nets[0].normalise)


def predict_together(nets: Sequence[Predictor], X: NDArray[Any]) -> dict[str, Floats]:
    """Average the outputs of nets of any shapes."""
    outputs = [net.predict(X) for net in nets]
    return {task: np.mean([output[task] for output in outputs], axis=0) for task in outputs[0]}


def flatten(X: NDArray[Any]) -> NDArray[Any]:
    """View rows of any shape as (n, features)."""
    return X.reshape(len(X), int(np.prod(X.shape[1:])))


def unit_rows(X: NDArray[Any]) -> Floats:
    """Flatten rows and divide each by its length, to float32; rows of zeros stay as they are."""
    rows: Floats = flatten(X).astype(np.float32, copy=False)
    length: Floats = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    length[length == 0] = 1
    return rows / length


def expected_value(proba: NDArray[np.floating], ages: NDArray[np.floating]) -> NDArray[np.float64]:
    """Decode probabilities (n, ages) as the expected age, sum of p(age) * age (Rothe et al., DEX, IJCV 2018)."""
    return proba.astype(np.float64) @ np.asarray(ages, dtype=np.float64)
