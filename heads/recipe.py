"""Recipe: how a dense head is built and trained. Loads neither Keras nor scikit-learn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a dense head is built and trained.

    Chosen on validation rows of UTKFace with MobileFaceNet embeddings (docs/heads.md). Tried without gain: weight
    decay, a second hidden layer, averaged weights, noise on the input, label smoothing, XLA (2.5 times slower).

    Attributes
    ----------
    loss : of ages, a key of `heads.losses.AGE_LOSSES`; classes have cross-entropy and numbers squared error.
    input : a key of `heads.inputs.INPUTS`: what is done to the rows.
    hidden : widths of the hidden layers.
    members : nets with different first weights whose outputs are averaged.
    input_dropout, dropout : shares of the features and of the hidden units that are dropped.
    rounds : most rounds, each at least `steps` batches and one pass over the rows; validation follows each.
    patience : rounds without a better validation loss after which a net stops.
    batch_size, learning_rate : of Adam; the rate rises for two rounds, then falls to 0 along a cosine.
    weight_decay : share of a weight that each step takes away, times the rate (Loshchilov and Hutter, AdamW, 2019).
    sigma : deviation of the label distribution of ages, years.
    expectation : weight of the expected age's error beside the cross-entropy.
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
