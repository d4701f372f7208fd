"""Many small nets trained at once: one Keras model whose kernels have a leading axis, a net per fold and member.

A net for 128-d embeddings is too small to fill even two cores: most of a `model.fit` is overhead. Stacked, a step is a
few batched matrix products for all nets, and a round is one graph. The losses are summed and Adam works element by
element, so that each net learns from its own rows alone; each keeps the weights of its own best validation round.
First weights and the order of rows are drawn for each net by its own seed. Dropout masks are drawn once for all nets,
in which other rows stand at each place: what comes of a fold and seed does not depend on what is trained beside it.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heads.backend import keras, tf
from heads.base import Fold, Rows, check_rows
from heads.inputs import Projection, learn_basis, project, reduce_rows
from heads.losses import RowWise, Tensor, objective_of
from heads.net import Layer, Net, unit_rows
from heads.recipe import Recipe
from heads.tasks import Floats, Task

_DROPOUT_SEED = 1  # of the masks, the same for all heads: what differs by seed are first weights and orders


class Labelled(NamedTuple):
    """Rows with what is to be learned from them.

    Attributes
    ----------
    X : ndarray of shape (n, ...), any numeric dtype.
    tasks : what to learn.
    y : by task name, ndarray of shape (n,), float64, NaN where a label is missing.
    """

    X: NDArray[Any]
    tasks: tuple[Task, ...]
    y: Mapping[str, Floats]


class Trained(NamedTuple):
    """The net of one fold, its history (arrays of shape (rounds, members)) and its share of the seconds."""

    net: Net
    history: dict[str, Floats]
    seconds: float


def train_stack(
    data: Labelled, folds: Sequence[Fold], weights: Floats, *, recipe: Recipe, seeds: Sequence[int]
) -> list[Trained]:
    """Train `recipe.members` nets for each fold, all at once, and average them per fold.

    Parameters
    ----------
    weights : ndarray of shape (folds, n), how much each row counts in a fold's training.
    seeds : one per fold; a fold may be there again with another seed.

    Raises
    ------
    HeadError : if a fold has no labelled training or validation rows, or rows that are not finite.
    """
    started = time.perf_counter()
    rows = [check_rows(data.X, data.y, fold[:2], weight) for fold, weight in zip(folds, weights, strict=True)]
    inputs = _Inputs.learn(data.X, [train for train, _ in rows], how=recipe.input, seeds=seeds)
    trains, valids = ([pair[role] for pair in rows for _ in range(recipe.members)] for role in (0, 1))
    rngs = [np.random.default_rng([seed, member]) for seed in seeds for member in range(recipe.members)]
    stack = _Stack(data, inputs, trains, weights, recipe=recipe, rngs=rngs)
    history = _run(stack, trains, valids, rngs)
    seconds = (time.perf_counter() - started) / len(folds)
    return [
        Trained(stack.export(fold), {name: values[:, stack.nets_of(fold)] for name, values in history.items()}, seconds)
        for fold in range(len(folds))
    ]


def _run(stack: "_Stack", trains: list[Rows], valids: list[Rows], rngs: list[np.random.Generator]) -> dict[str, Floats]:
    """Run rounds until every net has stopped, keeping each one's best weights; return the history."""
    recipe = stack.recipe
    valid_rows, counts = _in_batches(valids, recipe.batch_size)
    best, best_round = np.full(len(trains), np.inf), np.zeros(len(trains), dtype=np.int64)
    history = []
    for number in range(recipe.rounds):
        train_loss = stack.train_round(_shuffled(trains, stack.steps, recipe.batch_size, rngs)).numpy()
        judged, *shown = stack.validate(valid_rows, counts).numpy()
        history.append([train_loss, *shown])
        better = (judged < best) & (number - best_round <= recipe.patience)
        stack.keep(better)
        best, best_round = np.where(better, judged, best), np.where(better, number, best_round)
        if (number - best_round >= recipe.patience).all():
            break
    names = ["train_loss", "valid_loss", *(f"{task.name} {task.metrics[0]}" for task in stack.data.tasks)]
    return dict(zip(names, np.array(history, dtype=np.float64).transpose(1, 0, 2), strict=True))


def _shuffled(trains: list[Rows], steps: int, batch_size: int, rngs: list[np.random.Generator]) -> NDArray[np.int32]:
    """Draw each net's rows in random order, (steps, nets, batch); one that has too few starts over in another order."""
    size = steps * batch_size
    orders = [
        np.concatenate([rng.permutation(rows) for _ in range(-(-size // len(rows)))])[:size].reshape(steps, batch_size)
        for rows, rng in zip(trains, rngs, strict=True)
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
    normalise: bool

    @classmethod
    def learn(cls, X: NDArray[Any], trains: list[Rows], *, how: str, seeds: Sequence[int]) -> "_Inputs":
        """Learn each fold's projection; only wide rows, whose components differ, need a table per fold."""
        normalise = how == "l2"
        X = unit_rows(X) if normalise else X
        bases = [learn_basis(X[train], seed=seed) for train, seed in zip(trains, seeds, strict=True)]
        tables = [reduce_rows(X, basis) for basis in (bases if bases[0] is not None else bases[:1])]
        offset = np.arange(len(trains), dtype=np.int32) * (len(X) if len(tables) > 1 else 0)
        table = np.concatenate(tables) if len(tables) > 1 else tables[0]
        projections = [
            project(table[start + train], basis, how=how)
            for start, train, basis in zip(offset, trains, bases, strict=True)
        ]
        return cls(table, offset, projections, normalise)


class StackedDense(keras.layers.Layer):
    """A dense layer per net: (nets, batch, in) @ kernel (nets, in, units) + bias (nets, 1, biases)."""

    def __init__(self, n_in: int, units: int, bias: NDArray[np.float32], rngs: list[np.random.Generator]) -> None:
        """Draw the kernels, of deviation 1 / sqrt(in); `bias` is of shape (nets, 1, biases)."""
        super().__init__()
        kernels = [rng.normal(0, n_in**-0.5, (n_in, units)) for rng in rngs]
        self.kernel = keras.Variable(np.array(kernels, dtype=np.float32), name="kernel")
        self.bias = keras.Variable(bias, name="bias")

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

    def __init__(
        self,
        data: Labelled,
        inputs: _Inputs,
        trains: list[Rows],
        weights: Floats,
        *,
        recipe: Recipe,
        rngs: list[np.random.Generator],
    ) -> None:
        """Build the model and place the data beside it."""
        self.data, self.inputs, self.recipe = data, inputs, recipe
        self.steps = max(recipe.steps, -(-max(map(len, trains)) // recipe.batch_size))
        self.objectives = {task.name: objective_of(task, recipe) for task in data.tasks}
        self.centre, self.spread = self._scales(trains)
        self._place(weights)
        self._build(trains, rngs)
        rate = learning_rate(recipe, self.steps)
        self.optimizer = keras.optimizers.Adam(rate, weight_decay=recipe.weight_decay or None)
        self.optimizer.build(self.variables)
        self.best = [tf.Variable(variable.value) for variable in self.variables]

    def _scales(self, trains: list[Rows]) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Where each task's labels are centred and how they are scaled for each net, (nets, 1).

        Regressions: mean and deviation of the training rows. Other ages: years above the lowest. Classes: as they are.
        """
        centre, spread = {}, {}
        for task in self.data.tasks:
            labels = [self.data.y[task.name][train] for train in trains]
            regression = self.objectives[task.name].regression
            lowest = task.classes[0] if task.kind == "age" else 0
            centre[task.name] = np.array([[np.nanmean(y) if regression else lowest] for y in labels], dtype=np.float32)
            spread[task.name] = np.array([[(np.nanstd(y) if regression else 0) or 1] for y in labels], dtype=np.float32)
        return centre, spread

    def _place(self, weights: Floats) -> None:
        """Turn data into tensors: a table of rows, and labels by task."""
        members = self.recipe.members
        self.table = tf.constant(self.inputs.table)
        self.offset = tf.constant(np.repeat(self.inputs.offset, members)[:, None])
        self.mean, self.scale = (
            tf.constant(np.repeat([getattr(each, name) for each in self.inputs.projections], members, axis=0)[:, None])
            for name in ("mean", "scale")
        )
        self.known = {name: tf.constant(np.isfinite(y), tf.float32) for name, y in self.data.y.items()}
        self.y = {name: tf.constant(np.nan_to_num(y), tf.float32) for name, y in self.data.y.items()}
        self.weights = tf.constant(np.repeat(weights, members, axis=0), tf.float32)

    def _build(self, trains: list[Rows], rngs: list[np.random.Generator]) -> None:
        """Build the model."""

        def dropout(rate: float) -> keras.layers.Dropout:
            return keras.layers.Dropout(rate, noise_shape=(1, None, None), seed=next(seeds))

        nets, seeds, n_in = len(rngs), iter(range(_DROPOUT_SEED, 2**31)), self.table.shape[1]
        x = inputs = keras.Input((None, n_in), batch_size=nets)
        x = dropout(self.recipe.input_dropout)(x)
        self.trunk = []
        for width in self.recipe.hidden:
            self.trunk.append(StackedDense(n_in, width, np.zeros((nets, 1, width), np.float32), rngs))
            x, n_in = dropout(self.recipe.dropout)(keras.activations.gelu(self.trunk[-1](x), approximate=True)), width
        last = [
            StackedDense(n_in, self.objectives[task.name].units, self._first_bias(task, trains), rngs)
            for task in self.data.tasks
        ]
        self.model = keras.Model(
            inputs, {task.name: layer(x) for task, layer in zip(self.data.tasks, last, strict=True)}
        )
        # Keras lists the model's variables in an order of its own, by task name
        self.variables = [each for layer in (*self.trunk, *last) for each in (layer.kernel, layer.bias)]

    def _first_bias(self, task: Task, trains: list[Rows]) -> NDArray[np.float32]:
        """First biases of the last layer, (nets, 1, biases)."""
        objective = self.objectives[task.name]
        if objective.start is None:
            return np.zeros((len(trains), 1, objective.biases), dtype=np.float32)
        labels = [self.data.y[task.name][train] - float(task.classes[0]) for train in trains]
        return np.array([[objective.start(y[np.isfinite(y)])] for y in labels], dtype=np.float32)

    def _outputs(self, rows: Tensor, *, training: bool) -> dict[str, Tensor]:
        """Compute each task's output, (nets, batch, classes), of rows (nets, batch)."""
        x = (tf.gather(self.table, rows + self.offset) - self.mean) * self.scale
        return self.model(x, training=training)

    def _sums(self, task: Task, function: RowWise, outputs: dict[str, Tensor], at: Batch) -> Tensor:
        """Sum a loss or metric over the rows with a label: weighted sum and sum of weights, (2, nets)."""
        weight = at.weight * tf.gather(self.known[task.name], at.rows)
        y = (tf.gather(self.y[task.name], at.rows) - self.centre[task.name]) / self.spread[task.name]
        values = function(y, outputs[task.name])
        return tf.stack([tf.reduce_sum(values * weight, 1), tf.reduce_sum(weight, 1)])

    @tf.function
    def train_round(self, order: Tensor) -> Tensor:
        """Train on rows (steps, nets, batch); return each net's mean loss, (nets,)."""
        total = tf.zeros(order.shape[1])
        for rows in order:
            batch = Batch(rows, tf.gather(self.weights, rows, batch_dims=1))
            with tf.GradientTape() as tape:
                outputs = self._outputs(rows, training=True)
                sums = tf.stack([self._sums(task, loss, outputs, batch) for task, loss in self._functions("loss")])
                loss = tf.reduce_sum(_mean(sums), 0)
            gradients = tape.gradient(loss, [variable.value for variable in self.variables])
            self.optimizer.apply(gradients, self.variables)
            total += loss
        return total / float(order.shape[0])

    @tf.function
    def validate(self, order: Tensor, counts: Tensor) -> Tensor:
        """Return what rounds are judged by, the loss, and each task's metric, of rows (steps, nets, batch).

        One tensor of shape (2 + tasks, nets).
        """
        functions = [*self._functions("loss"), *self._functions("metric")]
        sums = tf.zeros((len(functions), 2, order.shape[1]))
        for step in tf.range(order.shape[0]):
            batch = Batch(order[step], counts[step])
            outputs = self._outputs(batch.rows, training=False)
            sums += tf.stack([self._sums(task, function, outputs, batch) for task, function in functions])
        losses, metrics = tf.split(_mean(sums), 2)
        spread = tf.stack([self.spread[task.name][:, 0] for task in self.data.tasks])  # back to the labels' own unit
        metrics *= spread
        by_metric = tf.constant([[self.objectives[task.name].by_metric] for task in self.data.tasks])
        judged = tf.reduce_sum(tf.where(by_metric, metrics, losses), 0)
        return tf.concat([[judged, tf.reduce_sum(losses, 0)], metrics], 0)

    def _functions(self, which: str) -> list[tuple[Task, RowWise]]:
        """Each task with its "loss" or its "metric"."""
        return [(task, getattr(self.objectives[task.name], which)) for task in self.data.tasks]

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
            if self.objectives[task.name].regression:
                centre, spread = self.centre[task.name][nets], self.spread[task.name][nets]
                last[i] = last[i][0] * spread[:, None], last[i][1] * spread + centre
        fold_in = self.inputs.projections[fold].fold
        hidden, last = ([fold_in(*hidden[0]), *hidden[1:]], last) if hidden else ([], [fold_in(*each) for each in last])
        trunk = tuple(Layer(kernel, bias, "gelu") for kernel, bias in hidden)
        outputs = {
            task.name: Layer(kernel, bias, self.objectives[task.name].activation)
            for task, (kernel, bias) in zip(self.data.tasks, last, strict=True)
        }
        return Net(trunk, outputs, normalise=self.inputs.normalise)
