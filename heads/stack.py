"""Many small nets trained at once: one Keras model whose kernels have a leading axis, a net per fold and member.

A net for 128-d embeddings is too small to fill even two cores: most of a `model.fit` is overhead. Stacked, a step is a
few batched matrix products for all nets, and a round is one graph. The losses are summed and Adam works element by
element, so that each net learns from its own rows alone; each keeps the weights of its own best validation round.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heads.backend import keras, tf
from heads.base import Fold, Rows, check_rows
from heads.inputs import Projection, learn_basis, reduce_rows, standardise
from heads.losses import RowWise, Tensor, loss_of, metric_of
from heads.net import Layer, Net
from heads.tasks import Floats, Task


@dataclass(frozen=True)
class Recipe:
    """How a dense head is built and trained.

    Chosen on validation rows of UTKFace with MobileFaceNet embeddings. Tried without gain: l2-normalised input, weight
    decay, a second hidden layer, averaged weights, noise on the input, label smoothing, XLA (2.5 times slower).

    Attributes
    ----------
    hidden : widths of the hidden layers.
    members : nets with different first weights whose outputs are averaged.
    input_dropout, dropout : shares of the features and of the hidden units that are dropped.
    rounds : most rounds, each at least `steps` batches and one pass over the rows; validation follows each.
    patience : rounds without a better validation loss after which a net stops.
    batch_size, learning_rate : of Adam; the rate rises for two rounds, then falls to 0 along a cosine.
    sigma : deviation of the label distribution of ages, years.
    expectation : weight of the expected age's error beside the cross-entropy.
    """

    hidden: tuple[int, ...] = (512,)
    members: int = 2
    input_dropout: float = 0.2
    dropout: float = 0.5
    rounds: int = 15
    patience: int = 6
    steps: int = 10
    batch_size: int = 512
    learning_rate: float = 8e-3
    sigma: float = 1.0
    expectation: float = 0.3


class Labelled(NamedTuple):
    """Rows with what is to be learned from them.

    Attributes
    ----------
    X : ndarray of shape (n, ...), any numeric dtype.
    tasks : what to learn.
    y : by task name, ndarray of shape (n,), float64, NaN where a label is missing.
    weight : ndarray of shape (n,), how much each row counts in training.
    """

    X: NDArray[Any]
    tasks: tuple[Task, ...]
    y: Mapping[str, Floats]
    weight: Floats


class Trained(NamedTuple):
    """The net of one fold, its history (arrays of shape (rounds, members)) and its share of the seconds."""

    net: Net
    history: dict[str, Floats]
    seconds: float


def train_stack(data: Labelled, folds: Sequence[Fold], *, recipe: Recipe, seed: int) -> list[Trained]:
    """Train `recipe.members` nets for each fold, all at once, and average them per fold.

    Raises
    ------
    HeadError : if a fold has no labelled training or validation rows, or rows that are not finite.
    """
    started = time.perf_counter()
    rows = [check_rows(data.X, data.y, fold[:2]) for fold in folds]
    inputs = _Inputs.learn(data.X, [train for train, _ in rows], seed=seed)
    trains, valids = ([pair[role] for pair in rows for _ in range(recipe.members)] for role in (0, 1))
    stack = _Stack(data, inputs, trains, recipe=recipe, seed=seed)
    history = _run(stack, trains, valids, seed=seed)
    seconds = (time.perf_counter() - started) / len(folds)
    return [
        Trained(stack.export(fold), {name: values[:, stack.nets_of(fold)] for name, values in history.items()}, seconds)
        for fold in range(len(folds))
    ]


def _run(stack: "_Stack", trains: list[Rows], valids: list[Rows], *, seed: int) -> dict[str, Floats]:
    """Run rounds until every net has stopped, keeping each one's best weights; return the history."""
    recipe, rng = stack.recipe, np.random.default_rng(seed)
    valid_rows, counts = _in_batches(valids, recipe.batch_size)
    best, best_round = np.full(len(trains), np.inf), np.zeros(len(trains), dtype=np.int64)
    history = []
    for number in range(recipe.rounds):
        train_loss = stack.train_round(_shuffled(trains, stack.steps, recipe.batch_size, rng)).numpy()
        valid_loss, *metrics = stack.validate(valid_rows, counts).numpy()
        history.append([train_loss, valid_loss, *metrics])
        better = (valid_loss < best) & (number - best_round <= recipe.patience)
        stack.keep(better)
        best, best_round = np.where(better, valid_loss, best), np.where(better, number, best_round)
        if (number - best_round >= recipe.patience).all():
            break
    names = ["train_loss", "valid_loss", *(f"{task.name} {task.metrics[0]}" for task in stack.data.tasks)]
    return dict(zip(names, np.array(history, dtype=np.float64).transpose(1, 0, 2), strict=True))


def _shuffled(trains: list[Rows], steps: int, batch_size: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Draw each net's rows in random order, (steps, nets, batch); one that has too few starts over in another order."""
    size = steps * batch_size
    orders = [
        np.concatenate([rng.permutation(rows) for _ in range(-(-size // len(rows)))])[:size].reshape(steps, batch_size)
        for rows in trains
    ]
    return np.stack(orders, axis=1).astype(np.int32)


def _in_batches(valids: list[Rows], batch_size: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Lay out each net's rows as (steps, nets, batch), with 1 where there is a row and 0 where it is filled up."""
    steps = -(-max(map(len, valids)) // batch_size)
    rows = np.zeros((len(valids), steps * batch_size), dtype=np.int32)
    counts = np.zeros(rows.shape, dtype=np.float32)
    for net, own in enumerate(valids):
        rows[net, : len(own)], counts[net, : len(own)] = own, 1
    shape = (len(valids), steps, batch_size)
    return rows.reshape(shape).swapaxes(0, 1), counts.reshape(shape).swapaxes(0, 1)


class _Inputs(NamedTuple):
    """The rows as all nets read them: row r of fold f is table[r + offset[f]], then standardised by the fold."""

    table: NDArray[np.float32]
    offset: NDArray[np.int32]
    projections: list[Projection]

    @classmethod
    def learn(cls, X: NDArray[Any], trains: list[Rows], *, seed: int) -> "_Inputs":
        """Learn each fold's projection; only wide rows, whose components differ, need a table per fold."""
        bases = [learn_basis(X[train], seed=seed) for train in trains]
        tables = [reduce_rows(X, basis) for basis in (bases if bases[0] is not None else bases[:1])]
        offset = np.arange(len(trains), dtype=np.int32) * (len(X) if len(tables) > 1 else 0)
        table = np.concatenate(tables) if len(tables) > 1 else tables[0]
        projections = [
            standardise(table[start + train], basis) for start, train, basis in zip(offset, trains, bases, strict=True)
        ]
        return cls(table, offset, projections)


class StackedDense(keras.layers.Layer):
    """A dense layer per net: (nets, batch, in) @ kernel (nets, in, out) + bias (nets, 1, out)."""

    def __init__(self, units: int, *, seed: int) -> None:
        """Store."""
        super().__init__()
        self.units = units
        self.seed = seed

    def build(self, input_shape: tuple[int, int | None, int]) -> None:
        """Make the weights, of deviation 1 / sqrt(in): Keras' own initialisers would count the nets as inputs."""
        nets, _, n_in = input_shape
        normal = keras.initializers.RandomNormal(stddev=n_in**-0.5, seed=self.seed)
        self.kernel = self.add_weight(shape=(nets, n_in, self.units), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(nets, 1, self.units), initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        """Apply every net to its own batch."""
        return keras.ops.matmul(x, self.kernel) + self.bias


class Batch(NamedTuple):
    """Rows (nets, batch), int32, and their weights (nets, batch)."""

    rows: Tensor
    weight: Tensor


def learning_rate(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rise for two rounds of `steps` batches, then fall to 0 along a cosine (Loshchilov and Hutter, SGDR, 2017)."""
    warm = 2 * steps
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(recipe.rounds * steps - warm, 1), warmup_target=recipe.learning_rate, warmup_steps=warm
    )


def _mean(sums: Tensor) -> Tensor:
    """Divide weighted sums by sums of weights, (tasks, 2, nets) to (tasks, nets); 0 where there is nothing."""
    return tf.math.divide_no_nan(sums[:, 0], sums[:, 1])


class _Stack:
    """The model of all nets with its data, training step and best weights."""

    def __init__(self, data: Labelled, inputs: _Inputs, trains: list[Rows], *, recipe: Recipe, seed: int) -> None:
        """Build the model and place the data beside it."""
        self.data, self.inputs, self.recipe = data, inputs, recipe
        self.steps = max(recipe.steps, -(-max(map(len, trains)) // recipe.batch_size))
        self.centre, self.spread = _scales_of_numbers(data, trains)
        self._place()
        self._build(len(trains), np.random.default_rng(seed))
        self.optimizer = keras.optimizers.Adam(learning_rate(recipe, self.steps))
        self.optimizer.build(self.variables)
        self.best = [tf.Variable(variable.value) for variable in self.variables]

    def _place(self) -> None:
        """Turn data into tensors: a table of rows, and per task labels, weights and the functions to compare with."""
        members = self.recipe.members
        self.table = tf.constant(self.inputs.table)
        self.offset = tf.constant(np.repeat(self.inputs.offset, members)[:, None])
        self.mean, self.scale = (
            tf.constant(np.repeat([getattr(each, name) for each in self.inputs.projections], members, axis=0)[:, None])
            for name in ("mean", "scale")
        )
        self.known = {name: tf.constant(np.isfinite(y), tf.float32) for name, y in self.data.y.items()}
        self.y = {name: tf.constant(np.nan_to_num(y), tf.float32) for name, y in self.data.y.items()}
        self.weight = tf.constant(self.data.weight, tf.float32)
        sigma, expectation = self.recipe.sigma, self.recipe.expectation
        self.losses = {task.name: loss_of(task, sigma=sigma, expectation=expectation) for task in self.data.tasks}
        self.metrics = {task.name: metric_of(task) for task in self.data.tasks}

    def _build(self, nets: int, rng: np.random.Generator) -> None:
        """Build the model, every random part of it with a seed of its own."""

        def draw() -> int:
            return int(rng.integers(2**31))

        x = inputs = keras.Input((None, self.table.shape[1]), batch_size=nets)
        x = keras.layers.Dropout(self.recipe.input_dropout, seed=draw())(x)
        self.trunk = [StackedDense(width, seed=draw()) for width in self.recipe.hidden]
        for layer in self.trunk:
            x = keras.layers.Dropout(self.recipe.dropout, seed=draw())(
                keras.activations.gelu(layer(x), approximate=True)
            )
        last = [StackedDense(task.n_outputs, seed=draw()) for task in self.data.tasks]
        self.model = keras.Model(
            inputs, {task.name: layer(x) for task, layer in zip(self.data.tasks, last, strict=True)}
        )
        # Keras lists the model's variables in an order of its own, by task name
        self.variables = [each for layer in (*self.trunk, *last) for each in (layer.kernel, layer.bias)]

    def _outputs(self, rows: Tensor, *, training: bool) -> dict[str, Tensor]:
        """Compute each task's output, (nets, batch, classes), of rows (nets, batch)."""
        x = (tf.gather(self.table, rows + self.offset) - self.mean) * self.scale
        return self.model(x, training=training)

    def _sums(self, task: Task, functions: Mapping[str, RowWise], outputs: dict[str, Tensor], at: Batch) -> Tensor:
        """Sum a loss or metric over the rows with a label: weighted sum and sum of weights, (2, nets)."""
        weight = at.weight * tf.gather(self.known[task.name], at.rows)
        y = (tf.gather(self.y[task.name], at.rows) - self.centre[task.name]) / self.spread[task.name]
        values = functions[task.name](y, outputs[task.name])
        return tf.stack([tf.reduce_sum(values * weight, 1), tf.reduce_sum(weight, 1)])

    @tf.function
    def train_round(self, order: Tensor) -> Tensor:
        """Train on rows (steps, nets, batch); return each net's mean loss, (nets,)."""
        total = tf.zeros(order.shape[1])
        for rows in order:
            batch = Batch(rows, tf.gather(self.weight, rows))
            with tf.GradientTape() as tape:
                outputs = self._outputs(rows, training=True)
                sums = tf.stack([self._sums(task, self.losses, outputs, batch) for task in self.data.tasks])
                loss = tf.reduce_sum(_mean(sums), 0)
            gradients = tape.gradient(loss, [variable.value for variable in self.variables])
            self.optimizer.apply(gradients, self.variables)
            total += loss
        return total / float(order.shape[0])

    @tf.function
    def validate(self, order: Tensor, counts: Tensor) -> Tensor:
        """Return the loss and each task's metric on rows (steps, nets, batch), as (1 + tasks, nets)."""
        tasks = self.data.tasks
        sums = tf.zeros((2 * len(tasks), 2, order.shape[1]))
        for step in tf.range(order.shape[0]):
            batch = Batch(order[step], counts[step])
            outputs = self._outputs(batch.rows, training=False)
            sums += tf.stack(
                [self._sums(task, each, outputs, batch) for each in (self.losses, self.metrics) for task in tasks]
            )
        losses, metrics = tf.split(_mean(sums), 2)
        spread = tf.stack([self.spread[task.name][:, 0] for task in tasks])  # numbers: back to their own unit
        return tf.concat([tf.reduce_sum(losses, 0)[None], metrics * spread], 0)

    def keep(self, better: NDArray[np.bool_]) -> None:
        """Remember the weights of these nets, (nets,), as their best."""
        for best, variable in zip(self.best, self.variables, strict=True):
            best.assign(tf.where(better[:, None, None], variable.value, best))

    def nets_of(self, fold: int) -> slice:
        """Say where the members of a fold stand."""
        return slice(fold * self.recipe.members, (fold + 1) * self.recipe.members)

    def export(self, fold: int) -> Net:
        """Take the best weights of a fold's members out, with the projection folded into the first layer."""
        nets = self.nets_of(fold)
        arrays = iter([best.numpy()[nets] for best in self.best])
        layers = [(kernel, next(arrays)[:, 0]) for kernel in arrays]
        hidden, last = layers[: len(self.trunk)], layers[len(self.trunk) :]
        for i, task in enumerate(self.data.tasks):
            centre, spread = self.centre[task.name][nets], self.spread[task.name][nets]
            last[i] = last[i][0] * spread[:, None], last[i][1] * spread + centre
        fold_in = self.inputs.projections[fold].fold
        hidden, last = ([fold_in(*hidden[0]), *hidden[1:]], last) if hidden else ([], [fold_in(*each) for each in last])
        trunk = tuple(Layer(kernel, bias, "gelu") for kernel, bias in hidden)
        outputs = {
            task.name: Layer(kernel, bias, "linear" if task.kind == "number" else "softmax")
            for task, (kernel, bias) in zip(self.data.tasks, last, strict=True)
        }
        return Net(trunk, outputs)


def _scales_of_numbers(
    data: Labelled, trains: list[Rows]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Return each task's mean and deviation on each net's training rows, (nets, 1); 0 and 1 but for numbers."""
    centre, spread = {}, {}
    for task in data.tasks:
        labels = [data.y[task.name][train] for train in trains]
        number = task.kind == "number"
        centre[task.name] = np.array([[np.nanmean(y) if number else 0] for y in labels], dtype=np.float32)
        spread[task.name] = np.array([[(np.nanstd(y) if number else 0) or 1] for y in labels], dtype=np.float32)
    return centre, spread
