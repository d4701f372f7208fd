"""Recipe: how a dense head is built and trained. Loads neither Keras nor scikit-learn."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from heads.inputs import INPUTS
from heads.net import HeadError

LOSSES = ("crossentropy", "dldl", "meanvariance", "coral", "corn", "l1", "l2")  # see heads.losses


@dataclass(frozen=True)
class Recipe:
    """How a dense head is built and trained.

    Chosen on validation rows of UTKFace with MobileFaceNet embeddings (docs/heads.md). Tried without gain: weight
    decay, a second hidden layer, averaged weights, noise on the input, label smoothing, XLA (2.5 times slower).

    Attributes
    ----------
    loss : of ages, one of `LOSSES`; classes have cross-entropy and numbers squared error.
    input : one of `heads.inputs.INPUTS`: what is done to the rows.
    hidden : widths of the hidden layers.
    members : nets with different first weights whose outputs are averaged.
    input_dropout, dropout : shares of the features and of the hidden units that are dropped.
    rounds : most rounds, each at least `steps` batches and one pass over the rows; validation follows each.
    patience : rounds without a better validation loss (or metric: `Objective.by_metric`) after which a net stops.
    batch_size, learning_rate : of Adam; the rate rises for two rounds, then falls to 0 along a cosine.
    weight_decay : share of a weight that each step takes away, times the rate (Loshchilov and Hutter, AdamW, 2019).
    sigma : deviation of the label distribution of ages, years.
    expectation : weight of the expected age's error beside the cross-entropy.

    Raises
    ------
    HeadError : a loss or input that there is not, or a number out of range.
    """

    loss: str = "dldl"
    input: str = "standard"
    hidden: tuple[int, ...] = (512,)
    members: int = 2
    input_dropout: float = 0.2
    dropout: float = 0.5
    rounds: int = 15
    patience: int = 6
    steps: int = 10
    batch_size: int = 512
    learning_rate: float = 8e-3
    weight_decay: float = 0.0
    sigma: float = 1.0
    expectation: float = 0.3

    def __post_init__(self) -> None:
        """Check every value."""
        for name, known in (("loss", LOSSES), ("input", INPUTS)):
            if getattr(self, name) not in known:
                raise HeadError(f'expected {name} to be one of {", ".join(known)}; found "{getattr(self, name)}".')
        for name in ("members", "rounds", "patience", "steps", "batch_size"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        for name in ("input_dropout", "dropout"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) < 1, "0 or more and below 1")
        for name in ("learning_rate", "sigma"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("weight_decay", "expectation"):
            _require(name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        _require("hidden", self.hidden, all(width >= 1 for width in self.hidden), "widths of 1 or more")


SETTINGS: Mapping[str, type] = {field.name: type(field.default) for field in fields(Recipe)}


def read_setting(name: str, text: str, kind: type) -> Any:
    """Read one value as it is typed: text, a number, or widths such as 512x256, where 0 is no layer.

    Raises
    ------
    HeadError : the text is of another kind.
    """
    try:
        if kind is tuple:
            return () if text == "0" else tuple(int(width) for width in text.split("x"))
        return kind(text)
    except ValueError:
        wanted = {tuple: "widths such as 512x256", int: "a whole number", float: "a number"}[kind]
        raise HeadError(f'expected {name} to be {wanted}; found "{text}".') from None


def _require(name: str, value: Any, holds: bool, wanted: str) -> None:
    """Refuse a value out of range; NaN is out of every one."""
    if not holds:
        raise HeadError(f"expected {name} to be {wanted}; found {value}.")
