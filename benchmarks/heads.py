"""Judge heads on validation rows: which loss, which recipe, which other head.

    python -m benchmarks.heads --manifest manifest.csv --store store --backbone NAME [--task age] [--seeds 3] [HEAD ...]

Heads are named as for `compare`. Each fold's validation rows are halved, whole groups at a time: heads are chosen and
stopped early by one half, and judged by the other. Test rows are not looked at, so that the default can be chosen by
this table and its test figures stay honest. Without HEAD: every loss of ages, each with the default recipe and with
others that it may like better: less dropout, two layers, more rounds.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from data.manifest import read_manifest
from embedder.store import open_store
from heads.base import Fold, make_head
from heads.dataset import Dataset, SplitPlan, find_specs, make_dataset
from heads.recipe import LOSSES
from heads.tasks import Task, make_task

VARIANTS = (
    "",
    ",input_dropout=0.1,dropout=0.2",
    ",hidden=512x256,input_dropout=0.1,dropout=0.2",
    ",rounds=40,patience=12",
)


def main() -> None:
    """Print a row per head as it is done, and all of them at the end, the best first."""
    arguments = _parse(sys.argv[1:])
    data, task, fingerprint = _load(arguments)
    folds = halved(data)
    asked = arguments.heads or [f"dense:members=1,loss={loss}{more}" for loss in LOSSES for more in VARIANTS]
    rows = []
    for name in asked:
        rows.append(
            judge(name, task, data.rows.vectors[fingerprint], data.rows.labels[task.name], folds, arguments.seeds)
        )
        print(rows[-1], flush=True)
    best = pd.DataFrame(rows).sort_values(task.metrics[0], ascending=task.kind != "class")
    print(best.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--task", default="age")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("heads", nargs="*", metavar="HEAD")
    return parser.parse_args(words)


def _load(arguments: argparse.Namespace) -> tuple[Dataset, Task, str]:
    """Join manifest and embeddings."""
    manifest, store = read_manifest(arguments.manifest), open_store(arguments.store)
    specs, task = find_specs(store, [arguments.backbone]), make_task(arguments.task, manifest.frame)
    data = make_dataset(manifest, store, specs, [task], plan=SplitPlan(folds=arguments.folds))
    return data, task, specs[0].fingerprint


def halved(data: Dataset) -> list[Fold]:
    """Each fold's training rows, one half of its validation rows, and the other half in place of its test rows."""
    folds = []
    for fold in range(data.split.n_folds):
        train, valid, _ = data.split.indices(fold)
        groups = data.split.groups[valid]
        drawn = np.random.default_rng(fold).permutation(pd.unique(groups))
        first = np.isin(groups, drawn[::2])
        folds.append((train, valid[first], valid[~first]))
    return folds


def judge(name: str, task: Task, X: Any, y: Any, folds: Sequence[Fold], n_seeds: int) -> dict[str, Any]:
    """Fit a head on all folds with all seeds, and measure it on each fold's last rows."""
    started = time.perf_counter()
    asked = [(fold, seed) for seed in range(n_seeds) for fold in folds]
    fitted = make_head(name, (task,)).fit_folds(X, y, [fold for fold, _ in asked], seeds=[seed for _, seed in asked])
    seconds = time.perf_counter() - started
    each = [
        task.evaluate(y[rows], head.net_.predict(X[rows])[task.name])
        for head, ((_, _, rows), _) in zip(fitted, asked, strict=True)
    ]
    found = pd.DataFrame(each)[list(task.metrics)]
    first = found[task.metrics[0]].to_numpy().reshape(n_seeds, len(folds)).mean(axis=1)
    return {"head": name, **found.mean(), "over seeds": float(first.std()), "seconds per seed": seconds / n_seeds}


if __name__ == "__main__":
    main()
