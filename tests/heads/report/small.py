"""A comparison of a few made-up rows, small enough to check by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from data.labels import AGE_GROUPS
from data.split import make_folds
from heads.cell import TEST
from heads.compare import Comparison
from heads.dataset import Dataset, Rows
from heads.figures import judge
from heads.leakage import Leakage
from heads.report.run import Run
from heads.tasks import METRICS, Task

AGE = Task("age", "age", "age", tuple(range(101)))
GENDER = Task("gender", "gender", "class", ("male", "female"))
HEIGHT = Task("height", "height", "number")
GROUP = Task("age_group", "age", "class", AGE_GROUPS["ten"].names, AGE_GROUPS["ten"].edges)

DUMMY, NET = ("-", "dummy"), ("net", "dense")
COLUMNS = {"y": float, "predicted": float, "low": float, "high": float, "confidence": float}


def facts_of(name: str, *, seeded: bool = False, embed_ms: float = 5.0) -> dict[str, Any]:
    """What `backbone_facts` says of a backbone."""
    part = {
        "name": name,
        "fingerprint": f"{len(name):016x}",
        "weights_sha256": "ab" * 32,
        "licence": "ours",
        "library": "none 1.0",
        "seeded": seeded,
    }
    costs = {"embed_ms": embed_ms, "dim": 12, "weights_bytes": 1_000_000}
    return {**costs, "fingerprint": part["fingerprint"], "licence": "ours", "seeded": seeded, "parts": [part]}


def run_of(tasks: Sequence[Task], names: Sequence[str] = ("net",), **changes: Any) -> Run:
    given = {name: facts_of(name) for name in names}
    fixed = {"machine": {"python": "3.99"}, "date": "2001-02-03", "seed": 7, "backbones": given}
    return Run(**{"tasks": tasks, "age_groups": AGE_GROUPS["ten"], **fixed, **changes})


def predicted(task: Task, model: tuple[str, str], y: Sequence[float], said: Sequence[float], **columns: Any) -> Any:
    """Predictions of one model on rows "0", "1", ... in two folds by turns, as in `Comparison.predictions`.

    Ages have intervals of 5 years to both sides, classes a confidence of 80%.
    """
    names = {"backbone": model[0], "head": model[1], "task": task.name, "seed": 0}
    ids, folds = [f"{i}" for i in range(len(y))], [str(i % 2) for i in range(len(y))]
    frame = pd.DataFrame({**names, "fold": folds, "image_id": ids, "y": y, "predicted": said})
    half = 5 if task.kind == "age" else np.nan
    sure = 0.8 if task.kind == "class" else np.nan
    bounds = {"low": frame["predicted"] - half, "high": frame["predicted"] + half, "confidence": sure}
    return frame.assign(**bounds, **columns).astype(COLUMNS)


def comparison_of(*predictions: pd.DataFrame, tasks: Sequence[Task], history: Mapping[Any, Any] = {}) -> Comparison:
    """The results that follow from predictions; `history` by model."""
    everything = pd.concat(predictions, ignore_index=True)
    kinds = {task.name: task.kind for task in tasks}
    results, cells = [], []
    for (task, backbone, head, fold), rows in everything.groupby(["task", "backbone", "head", "fold"], sort=False):
        names = {"task": task, "backbone": backbone, "head": head}
        for metric, function in METRICS[kinds[task]].items():
            value = function(rows["y"].to_numpy(), rows["predicted"].to_numpy())
            results.append({**names, "fold": fold, "metric": metric, "value": value, "n": len(rows)})
        cells.append({**names, "seconds": 1.5, "bytes": 10, "history": history.get((backbone, head), [])})
    keys = ["task", "backbone", "head"]
    unique = pd.DataFrame(cells).drop_duplicates(keys, ignore_index=True)
    unique["metric"] = unique["task"].map({task.name: task.metrics[0] for task in tasks})
    means = pd.DataFrame(results).groupby([*keys, "metric"])["value"].mean().rename("validation")
    unique = unique.merge(means.reset_index(), on=[*keys, "metric"])  # as good on validation rows as on test rows
    ids = everything["image_id"].unique()
    judged = judge(tasks, everything[everything["fold"] != TEST], pd.Series(ids, index=ids), None)
    return Comparison(pd.DataFrame(results), unique, everything, 0, judged.figures, judged.verdicts)


def dataset_of(frame: pd.DataFrame, *, test: pd.DataFrame | None = None, **counts: Any) -> Dataset:
    """A dataset of these rows, numbered; `counts` are dropped and left_out."""
    frames = [rows_with_ids(each) for each in (frame, test) if each is not None]
    parts = [Rows(each, {}, {}, counts.get("dropped", {}), counts.get("left_out", {})) for each in frames]
    n = len(frame)
    split = make_folds(frames[0]["image_id"], np.arange(n), np.zeros(n), folds=2, seed=7)
    return Dataset(parts[0], split, parts[1] if test is not None else None)


def rows_with_ids(frame: pd.DataFrame) -> pd.DataFrame:
    ids = [f"{i}" for i in range(len(frame))]
    made = {"image_id": ids, "path": [f"/nowhere/{i}.png" for i in ids], "sha256": [f"{i:0>64}" for i in ids]}
    return frame.assign(**{name: values for name, values in made.items() if name not in frame})


def people(n: int = 24) -> pd.DataFrame:
    """Labels of n people: ages 0, 4, 8 ..., genders and ethnicities by turns, heights."""
    at = np.arange(n)
    return pd.DataFrame(
        {
            "age": 4.0 * at % 100,
            "gender": np.where(at % 2, "female", "male"),
            "ethnicity": np.array(["white", "black", "asian"])[at % 3],
            "height": 150 + at / 2,
        }
    )


HISTORY = [
    {
        "train_loss": [[3.0, 4.0], [1.0, 2.0]],
        "valid_loss": [[5.0, 3.0], [2.0, 2.0]],
        "age mae": [[9.0, 7.0], [5.0, 5.0]],
    },
    {
        "train_loss": [[1.0, 4.0], [1.0, 4.0]],
        "valid_loss": [[4.0, 4.0], [1.0, 3.0]],
        "age mae": [[8.0, 8.0], [6.0, 4.0]],
    },
]


def whole(n: int = 24, *, net: str = "net", test: bool = False) -> tuple[Comparison, Dataset, Run]:
    """A comparison with every kind of task and section: the dummy, a dense head with a history, and a linear one."""
    frame = people(n)
    tasks = (AGE, GENDER, HEIGHT, GROUP)
    y = {
        "age": frame["age"],
        "gender": (frame["gender"] == "female").astype(float),
        "height": frame["height"],
        "age_group": pd.Series(AGE_GROUPS["ten"].assign(frame["age"])).astype(float),
    }
    parts = []
    for task in tasks:
        true = y[task.name].to_numpy()
        limit = len(task.classes) - 1 if task.classes else 1e9
        for step, model in enumerate([DUMMY, (net, "dense"), (net, "linear")]):
            off = np.where(np.arange(n) % (5 + step), 0, 1 + step) if step else np.median(true).round() - true
            parts.append(predicted(task, model, true, np.clip(true + off, 0, limit)))
        if test:
            parts += [each.assign(fold=TEST) for each in parts[-3:]]
    metrics = [f"{task.name} {task.metrics[0]}" for task in tasks]
    history = [{**fold, **dict.fromkeys(metrics, fold["age mae"])} for fold in HISTORY]
    comparison = comparison_of(*parts, tasks=tasks, history={(net, "dense"): history})
    cka = pd.DataFrame({"first": [net], "second": ["other"], "value": [0.5]})
    comparison = replace(comparison, leakage=leakage_of(net), robustness=robustness_of(net), cka=cka)
    data = dataset_of(frame, test=frame if test else None)
    vectors = {facts_of(net)["fingerprint"]: np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32)}
    return comparison, replace(data, rows=replace(data.rows, vectors=vectors)), run_of(tasks, [net])


def leakage_of(net: str) -> Leakage:
    """A random split that makes MAE 0.5 years and accuracy 2 points better; images 0 and 1 are one with two ages."""
    names = {"backbone": net, "head": "dense"}
    figures = [
        {"task": "age", **names, "metric": "mae", "grouped": 4.5, "random": 4.0},
        {"task": "gender", **names, "metric": "accuracy", "grouped": 0.9, "random": 0.92},
    ]
    near = [
        {"backbone": net, "split": split, "share": share, "median": 0.7}
        for split, share in (("grouped", 0.0), ("random", 0.1))
    ]
    nearest = pd.DataFrame({"backbone": net, "split": ["grouped"] * 4 + ["random"] * 4})
    nearest["similarity"] = [0.5, 0.6, 0.7, 0.8, 0.5, 0.6, 0.7, 1.0]
    conflicts = {"image_id": "0", "other_id": "1", "found_by": net, "similarity": 0.99, "differs": "age", "years": 9.0}
    return Leakage("by hand", pd.DataFrame(figures), pd.DataFrame(near), nearest, pd.DataFrame([conflicts]))


def robustness_of(net: str) -> pd.DataFrame:
    """Ages a year worse by each level of blur, and two by each of noise."""
    names = {"backbone": net, "head": "dense", "task": "age", "metric": "mae", "n": 9}
    return pd.DataFrame(
        [
            {**names, "corruption": corruption, "level": level, "value": 4.0 + step * level}
            for corruption, step in (("blur", 1), ("noise", 2))
            for level in range(3)
        ]
    )
