"""Results as people read them: mean and spread over folds, one row per backbone and head."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from embedder.store import EmbeddingStore
from heads.dataset import AnySpec, parts_of

# metric: (heading, format); in the order of the columns
COLUMNS = {
    "mae": ("MAE", "{:.2f}"),
    "cs5": ("CS@5", "{:.1%}"),
    "bias": ("bias", "{:+.2f}"),
    "balanced_mae": ("balanced MAE", "{:.2f}"),
    "rmse": ("RMSE", "{:.3f}"),
    "r2": ("R2", "{:.3f}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "balanced_accuracy": ("balanced", "{:.1%}"),
    "macro_f1": ("macro F1", "{:.3f}"),
    "accuracy_from_14": ("from 14 up", "{:.1%}"),
}


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (n - 1) over folds of every metric.

    Returns
    -------
    DataFrame with columns task, backbone, head, metric, mean, spread (NaN for one fold), n (rows in all folds).
    """
    keys = ["task", "backbone", "head", "metric"]
    grouped = results.groupby(keys, sort=False)
    summary = grouped.agg(mean=("value", "mean"), spread=("value", "std"), n=("n", "sum"))
    return summary.reset_index()


def backbone_facts(store: EmbeddingStore, specs: Iterable[AnySpec]) -> dict[str, dict[str, Any]]:
    """What a table says of each backbone beside accuracy: milliseconds per image to embed, numbers per row, bytes."""
    return {
        spec.name: {
            "fingerprint": spec.fingerprint,
            "embed_ms": sum(store.seconds_per_row(part.fingerprint) * 1000 for part in parts_of(spec)),
            "dim": math.prod(spec.dim),
            "weights_bytes": sum(part.recorded["weights_bytes"] for part in parts_of(spec)),
            "licence": "; ".join(dict.fromkeys(part.recorded["licence"] for part in parts_of(spec))),
        }
        for spec in specs
    }


def format_table(results: pd.DataFrame, cells: pd.DataFrame, backbones: dict[str, dict[str, Any]]) -> str:
    """The comparison as text: a block per task with its own metrics, a line per backbone and head.

    Parameters
    ----------
    results, cells : of a `Comparison`.
    backbones : of `backbone_facts`.
    """
    summary = summarise(results)
    blocks = []
    for task in summary["task"].unique():
        own = summary[summary["task"] == task]
        metrics = [metric for metric in COLUMNS if metric in set(own["metric"])]
        header = [str(task), "head", *(COLUMNS[metric][0] for metric in metrics), "train s", "embed ms", "dim", "MB"]
        lines = [header]
        for backbone, head in own[["backbone", "head"]].drop_duplicates().itertuples(index=False):
            cell = own[(own["backbone"] == backbone) & (own["head"] == head)].set_index("metric")
            timing = cells[(cells["task"] == task) & (cells["backbone"] == backbone) & (cells["head"] == head)]
            values = [_value(metric, *cell.loc[metric, ["mean", "spread"]]) for metric in metrics]
            lines.append(
                [backbone, head, *values, f"{timing['seconds'].iloc[0]:.1f}", *_backbone(backbones.get(backbone))]
            )
        blocks.append(_aligned(lines))
    return "\n\n".join(blocks)


def _value(metric: str, mean: float, spread: float) -> str:
    form = COLUMNS[metric][1]
    if math.isnan(mean):
        return "-"
    return form.format(mean) if math.isnan(spread) else f"{form.format(mean)} ± {form.format(spread).lstrip('+')}"


def _backbone(facts: dict[str, Any] | None) -> list[str]:
    if facts is None:
        return ["-", "-", "-"]
    return [f"{facts['embed_ms']:.1f}", f"{facts['dim']:,}", f"{facts['weights_bytes'] / 1e6:.1f}"]


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first two to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = (
        [
            field.ljust(width) if i < 2 else field.rjust(width)
            for i, (field, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in padded)
