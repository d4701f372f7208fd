"""Time heads for all folds and tasks: ours, all nets at once, against one Keras `fit` per fold and task.

    python -m benchmarks.compare [--manifest manifest.csv --store store --backbone NAME] [--folds 5]

The obvious way trains the same architecture on the same rows, with the same losses and number of epochs;
`EarlyStopping` restores the best weights. "tuned" has our batch size and learning rates, "defaults" those of Keras (32
and 0.001). Both fit one net where ours averages two. Metrics are of the test rows, averaged over folds. Each way runs
in a process of its own; its seconds count from after the imports. The linear probes stand beside them.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import ETHNICITIES, GENDERS
from data.manifest import read_manifest
from data.split import Split, group_copies, make_folds, strata_of
from embedder.store import open_store
from heads.dataset import find_specs, join
from heads.tasks import Task, make_task

TASKS = ("age", "gender", "ethnicity")
WAYS = ("ours", "tuned", "defaults", "linear")


def main() -> None:
    """Run every way in a process of its own and print one table."""
    arguments = _parse(sys.argv[1:])
    if arguments.way:
        print(json.dumps(run(arguments)))
        return
    results = [_in_a_process(way) for way in WAYS]
    print(table(results))


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", help="with age, gender and ethnicity; made up if left out")
    parser.add_argument("--store", help="its embeddings")
    parser.add_argument("--backbone", help="which of them")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=7000, help="how many to make up")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _in_a_process(way: str) -> dict[str, Any]:
    """Run one way with this command's options."""
    command = [sys.executable, "-m", "benchmarks.compare", *sys.argv[1:], "--way", way]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train and test one way: seconds in all, and each task's metrics as means over folds."""
    X, frame = _load(arguments) if arguments.manifest else make_up(arguments.rows)
    split = make_folds(frame["image_id"], group_copies(frame["sha256"]), strata_of(frame), folds=arguments.folds)
    tasks = [make_task(name, frame) for name in TASKS]
    labels = [task.encode(frame)[0] for task in tasks]
    ways: dict[str, Callable[[], Any]] = {
        "ours": _ours,
        "tuned": _obvious,
        "defaults": partial(_obvious, tuned=False),
        "linear": _linear,
    }
    predict_folds = ways[arguments.way]()
    metrics: dict[str, float] = {}
    started = time.perf_counter()
    outputs = [predict_folds(X, y, task, split) for task, y in zip(tasks, labels, strict=True)]
    seconds = time.perf_counter() - started
    for task, y, by_fold in zip(tasks, labels, outputs, strict=True):
        each = [task.evaluate(y[split.indices(fold)[2]], output) for fold, output in enumerate(by_fold)]
        metrics |= {f"{task.name} {name}": float(np.mean([m[name] for m in each])) for name in task.metrics[:2]}
    return {"way": arguments.way, "seconds": seconds, **metrics}


def _load(arguments: argparse.Namespace) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Read real embeddings."""
    store = open_store(arguments.store)
    specs = find_specs(store, [arguments.backbone])
    rows = join(read_manifest(arguments.manifest), store, specs, [])
    return rows.vectors[specs[0].fingerprint], rows.frame


def make_up(n: int, *, dim: int = 128) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Make up embeddings that hold age, gender and ethnicity: a bent curve of ages, shifted by class, under noise."""
    rng = np.random.default_rng(0)
    age = np.minimum(rng.gamma(2.0, 16.0, n), 100).astype(np.int64)
    gender, ethnicity = rng.integers(0, 2, n), rng.choice(5, n, p=(0.5, 0.1, 0.2, 0.1, 0.1))
    waves = np.concatenate([np.sin(np.outer(age, 1 / scale)) for scale in (8, 20, 50, 100)]).reshape(4, n).T
    facts = np.concatenate([waves, np.eye(2)[gender], np.eye(5)[ethnicity]], axis=1)
    X = np.tanh(facts @ rng.normal(size=(11, dim)) / 2) + rng.normal(size=(n, dim))
    ids = [f"{row}.jpg" for row in range(n)]
    frame = pd.DataFrame({"image_id": ids, "sha256": ids, "age": age.astype(np.float64)})
    frame["gender"], frame["ethnicity"] = np.array(GENDERS)[gender], np.array(ETHNICITIES)[ethnicity]
    return X.astype(np.float32), frame


def _by_head(name: str) -> Any:
    """Train a head of ours on all folds at once, or as it will."""
    from heads.base import make_head

    def predict_folds(X: NDArray[Any], y: NDArray[Any], task: Task, split: Split) -> list[NDArray[Any]]:
        folds = [split.indices(fold) for fold in range(split.n_folds)]
        fitted = make_head(name, (task,)).fit_folds(X, y, folds)
        return [head.net_.predict(X[fold[2]])[task.name] for head, fold in zip(fitted, folds, strict=True)]

    return predict_folds


def _ours() -> Any:
    """Load the stacked dense heads."""
    import heads.dense  # noqa: F401 - loads TensorFlow before the clock starts

    return _by_head("dense")


def _linear() -> Any:
    """Load the linear probes."""
    import heads.linear  # noqa: F401 - as above

    return _by_head("linear")


def _obvious(*, tuned: bool = True) -> Any:
    """Load plain Keras: one model, compiled and fitted, per fold and task."""
    from heads.backend import keras
    from heads.losses import objective_of
    from heads.recipe import Recipe
    from heads.stack import learning_rate

    recipe = Recipe()

    def build(X: NDArray[Any], task: Task) -> Any:
        normalise = keras.layers.Normalization()
        normalise.adapt(X)
        layers = [keras.Input((X.shape[1],)), normalise, keras.layers.Dropout(recipe.input_dropout)]
        for width in recipe.hidden:
            layers += [keras.layers.Dense(width, "gelu"), keras.layers.Dropout(recipe.dropout)]
        model = keras.Sequential([*layers, keras.layers.Dense(task.n_outputs)])
        rate = learning_rate(recipe, -(-len(X) // recipe.batch_size))
        model.compile(
            keras.optimizers.Adam(rate if tuned else 0.001),
            objective_of(task, recipe).loss,
        )
        return model

    def fit(X: NDArray[Any], y: NDArray[Any], task: Task, *, valid: tuple[NDArray[Any], NDArray[Any]]) -> Any:
        model = build(X, task)
        stop = keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)
        options = {"batch_size": recipe.batch_size if tuned else 32, "epochs": recipe.rounds, "verbose": 0}
        model.fit(X, y, validation_data=valid, callbacks=[stop], **options)
        return model

    def predict_folds(X: NDArray[Any], y: NDArray[Any], task: Task, split: Split) -> list[NDArray[Any]]:
        outputs = []
        for train, valid, test in map(split.indices, range(split.n_folds)):
            train, valid = (rows[np.isfinite(y[rows])] for rows in (train, valid))
            model = fit(X[train], y[train], task, valid=(X[valid], y[valid]))
            outputs.append(np.asarray(keras.ops.softmax(model.predict(X[test], verbose=0))))
        return outputs

    return predict_folds


def table(results: Sequence[dict[str, Any]]) -> str:
    """Lay results out, each way's seconds also as a multiple of ours."""
    frame = pd.DataFrame(results).set_index("way")
    frame.insert(1, "times ours", frame["seconds"] / frame["seconds"].loc["ours"])
    return frame.T.to_string(float_format=lambda value: f"{value:.3f}")


if __name__ == "__main__":
    main()
