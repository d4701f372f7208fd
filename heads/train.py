"""Train one backbone's heads on every fold and bind them, with what was measured, into a bundle."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pandas as pd

from embedder.int8 import int8_file
from embedder.spec import INT8, BackboneSpec, EmbeddingSpec
from heads.base import HeadError, head_row
from heads.bundle import Bundle, require_replaceable, save_bundle
from heads.calibrate import LEVEL, Calibration, rows_needed
from heads.cell import Cell, Outcome, fit_folds, groups_of, outcome_of
from heads.compare import Comparison, comparison_of
from heads.dataset import Dataset
from heads.holdout import calibrate_heads
from heads.net import Net, together
from heads.report.run import Run
from heads.report.write import bundle_page
from heads.table import summarise
from heads.tasks import Task


@dataclass(frozen=True)
class Training:
    """What `train` made.

    Attributes
    ----------
    bundle : as saved.
    comparison : of the one backbone and head: every fold's head on the rows it has not seen.
    """

    bundle: Bundle
    comparison: Comparison


def train(
    spec: EmbeddingSpec,
    tasks: Sequence[Task],
    data: Dataset,
    path: str | os.PathLike[str],
    *,
    head: str = "dense",
    seed: int = 0,
    own: BackboneSpec | None = None,
    run: Run | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Training:
    """Train the heads of all tasks and save them as a bundle.

    A head per fold is trained, and measured on the rows it has not seen. The bundle averages the heads of all folds:
    together they have seen every row, and the figures of its card are those of one of them on unseen rows.

    Parameters
    ----------
    own : the backbone, of which a file that was given by hand goes into the bundle, and its model in int8.
    run : what report.html says beside the figures; the bundle has no such page without it.
    on_progress : called with the number of tasks trained since the last call.

    Raises
    ------
    BundleError : `path` holds something else.
    HeadError : the head cannot learn a task.
    """
    require_replaceable(Path(path))
    if not head_row(head).bundled:
        raise HeadError(f'head "{head}" is for comparisons and goes into no bundle: choose dense, shared or linear')
    groups = groups_of(head, tasks)
    unfit = {task.name for task in tasks} - {task.name for group in groups for task in group}
    if unfit:
        raise HeadError(f'head "{head}" cannot learn {", ".join(sorted(unfit))}: choose dense, shared or linear')
    nets: list[Net] = []
    outcomes: list[tuple[Cell, Outcome]] = []
    calibration: dict[str, Calibration] = {}
    for cell in (Cell(spec, head, group) for group in groups):
        (fitted,) = fit_folds(cell, data, seeds=[seed])
        folds = cast(list[Net], fitted.nets)
        nets.append(together(folds))
        outcomes.append((cell, outcome_of(cell, fitted, data, seed=seed)))
        calibration |= calibrate_heads(cell, folds, data)
        on_progress(len(cell.tasks))
    comparison = comparison_of(outcomes, data, seeds=[seed])
    facts = _facts(comparison, data, head=head, seed=seed)
    file = own.own_file if own else None
    bundle = Bundle(
        embedding=spec,
        tasks=tuple(tasks),
        nets=tuple(nets),
        facts=facts,
        backbone_file=file,
        calibration=calibration,
        int8_file=int8_file(own) if own and file and own.precision == INT8 else None,
    )
    page = bundle_page(comparison, data, run) if run else ""
    return Training(save_bundle(bundle, path, card=model_card(bundle), page=page), comparison)


def _facts(comparison: Comparison, data: Dataset, *, head: str, seed: int) -> dict[str, Any]:
    """What a bundle and its card say of how its heads were made, and how good one fold's are."""
    summary = summarise(comparison.of_folds).drop(columns=["backbone", "head"])
    return {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "faceprobe": version("faceprobe"),
        "head": head,
        "seed": seed,
        "images": len(data.rows),
        "dropped": data.rows.dropped,
        "left_out": data.rows.left_out,
        "split": {"rule": data.split.rule, "seed": data.split.seed, "hash": data.split.hash},
        "balance": str(data.balance),
        "intervals": _measured_intervals(comparison.figures),
        "metrics": json.loads(summary.to_json(orient="records")),  # null where there is no figure: JSON has no NaN
    }


def _measured_intervals(figures: pd.DataFrame) -> dict[str, float]:
    """How often ages of unseen rows lay in their intervals, and how wide these were; empty if there were none."""
    own = figures[(figures["task"] == "age") & figures["metric"].isin(["coverage", "width"])]
    if own.empty:
        return {}
    coverage, width = (float(own["value"][own["metric"] == name].iloc[0]) for name in ("coverage", "width"))
    return {"level": LEVEL, "coverage": coverage, "width": width, "n": int(own["n"].iloc[0])}


def model_card(bundle: Bundle) -> str:
    """What people must know before they use a bundle, as Markdown."""
    spec, facts = bundle.embedding, bundle.facts
    left_out = [f"{count:,} rows, {reason}" for reason, count in facts["dropped"].items()]
    left_out += [
        f"{count:,} rows of {task}, {reason}"
        for task, reasons in facts["left_out"].items()
        for reason, count in reasons.items()
    ]
    metrics = [
        f"| {row['task']} | {row['metric']} | {_figure(row['mean'])} | {_figure(row['spread'])} | {row['n']:,} |"
        for row in facts["metrics"]
    ]
    return _CARD.format(
        tasks=", ".join(task.name for task in bundle.tasks),
        spec=spec,
        dim=" x ".join(map(str, spec.dim)),
        licence=spec.recorded["licence"],
        excluded="; ".join(left_out) or "none",
        measured="\n".join(metrics),
        intervals=_intervals(bundle),
        warning=_SEEDED_WARNING if spec.seeded is not None else "",
        weights=", and those of the backbone" if bundle.backbone_file else "",
        **{name: fact for name, fact in facts.items() if name != "intervals"},
    )


def _intervals(bundle: Bundle) -> str:
    """What the card says of the intervals of ages."""
    if "age" not in bundle.calibration:
        return f"none: an age task with {rows_needed()} or more validation rows is needed"
    promised = f"`age_low` to `age_high` is to hold {LEVEL:.0%} of ages"
    measured = bundle.facts["intervals"]
    if not measured:
        return f"{promised}; not measured, for want of validation rows in each fold"
    return (
        f"{promised}; one fold's held {measured['coverage']:.1%} of {measured['n']:,} it had not seen, "
        f"{measured['width']:.1f} years wide on average"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


_SEEDED_WARNING = """> **SEEDED WEIGHTS, NOT TRAINED.** This backbone's weights were drawn at random, for a dry run.
> The figures below mean nothing, and neither does any prediction of this bundle.

"""

_CARD = """# {tasks} from {spec.name}

{warning}Made by faceprobe {faceprobe} on {created}.

- **Backbone**: {spec.name}, {dim}, fingerprint `{spec.fingerprint}`, weights SHA-256 `{spec.weights_sha256}`.
- **Heads**: {head}, one per fold of the split, averaged; seed {seed}.
- **Data**: {images:,} images. Left out: {excluded}.
- **Split**: {split[rule]}; seed {split[seed]}, hash `{split[hash]}`.
- **Intervals**: {intervals}.
- **Licence** of the backbone's weights: {licence}. Use of this bundle is bound by it, and by that of your data.

## Measured

One fold's head on the rows it has not seen: mean and standard deviation over the folds.

| task | metric | mean | spread | rows |
|---|---|---|---|---|
{measured}

## Limits

- Faces must be cropped as those it was trained on: detector {spec.detector}, alignment {spec.alignment}, {spec.crop}.
- It tells how old, and of which gender or ethnicity, a face looks to those who labelled the data; not what a person is.
  It errs more for groups that are rare in the data: measure on your own before you rely on it.
- An infant's gender cannot be seen. Ethnicity is given only on request (`--ethnicity`); inferring it of people is
  restricted by law in places. Not for decisions about individuals.
- It holds the weights of the heads{weights}; no embeddings, no pixels and no names of the training data.
"""
