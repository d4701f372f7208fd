"""Results as people read them: figures with intervals, one row per backbone and head."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from embedder.spec import EmbeddingSpec
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
    "ece": ("ECE", "{:.1%}"),
    "coverage": ("in interval", "{:.1%}"),
    "width": ("interval width", "{:.1f}"),
    "aurc": ("AURC", "{:.2f}"),
}
TERMINAL = [*COLUMNS][: [*COLUMNS].index("ece")]  # the columns that a terminal has room for
WITH_INTERVAL = ("mae", "accuracy", "accuracy_from_14")  # there; figures.csv has an interval of every metric

COSTS = ("embed ms", "dim", "MB")

SEEDED_MARK = "†"  # follows the name of a backbone whose weights were drawn at random, wherever it stands


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (n - 1) over folds of every metric; within a fold seeds are averaged.

    Returns
    -------
    DataFrame with columns task, backbone, head, metric, mean, spread (NaN for one fold), n (rows in all folds).
    """
    keys = ["task", "backbone", "head", "metric"]
    by_fold = results.groupby([*keys, "fold"], sort=False).agg(value=("value", "mean"), n=("n", "first"))
    grouped = by_fold.groupby(keys, sort=False)
    summary = grouped.agg(mean=("value", "mean"), spread=("value", "std"), n=("n", "sum"))
    return summary.reset_index()


def backbone_facts(store: EmbeddingStore, specs: Iterable[AnySpec]) -> dict[str, dict[str, Any]]:
    """What is said of each backbone beside its figures, by its name.

    Returns
    -------
    dict of str to dict : fingerprint, embed_ms (milliseconds per image), dim (numbers per row), weights_bytes, licence,
        seeded (whether weights were drawn at random instead of trained), and parts: what each backbone of a
        concatenation, else the one itself, was recorded with.
    """
    return {
        spec.name: {
            "fingerprint": spec.fingerprint,
            "embed_ms": sum(store.seconds_per_row(part.fingerprint) * 1000 for part in parts_of(spec)),
            "dim": math.prod(spec.dim),
            "weights_bytes": sum(part.recorded["weights_bytes"] for part in parts_of(spec)),
            "licence": "; ".join(dict.fromkeys(part.recorded["licence"] for part in parts_of(spec))),
            "seeded": any(part.seeded is not None for part in parts_of(spec)),
            "parts": [_part(part) for part in parts_of(spec)],
        }
        for spec in specs
    }


def _part(spec: EmbeddingSpec) -> dict[str, Any]:
    """One backbone, as it must be to give the same embeddings."""
    return {
        "name": spec.name,
        "fingerprint": spec.fingerprint,
        "weights_sha256": spec.weights_sha256,
        "licence": spec.recorded["licence"],
        "library": spec.recorded.get("library", "unknown"),
        "seeded": spec.seeded is not None,
    }


def marked(backbone: str, backbones: Mapping[str, Mapping[str, Any]]) -> str:
    """A backbone's name, with SEEDED_MARK if its weights are random; `backbones` as of `backbone_facts`."""
    return f"{backbone} {SEEDED_MARK}" if backbone in backbones and backbones[backbone]["seeded"] else backbone


def seeded_note(backbones: Mapping[str, Mapping[str, Any]]) -> str:
    """What SEEDED_MARK means, in one sentence; nothing where no backbone bears it."""
    parts = [part for facts in backbones.values() for part in facts["parts"]]
    names = [*dict.fromkeys(part["name"] for part in parts if part["seeded"])]
    if not names:
        return ""
    architectures = dict.fromkeys(re.sub(r" seeded:\d+", "", name) for name in names)
    return (
        f"{SEEDED_MARK} {', '.join(names)}: weights drawn at random, not trained; "
        f"figures say nothing about {', '.join(architectures)}"
    )


def format_table(figures: pd.DataFrame, cells: pd.DataFrame, backbones: Mapping[str, Mapping[str, Any]]) -> str:
    """The comparison as text: a block per task with its own metrics, a line per backbone and head.

    Backbones whose weights are random are marked, and a last line says so.

    Parameters
    ----------
    figures : of a `Comparison`, or its `figures_of_test`.
    cells : of a `Comparison`.
    backbones : of `backbone_facts`.
    """
    blocks = []
    for task in figures["task"].unique():
        own = figures[figures["task"] == task]
        metrics = [metric for metric in TERMINAL if metric in set(own["metric"])]
        header = [str(task), "head", *(COLUMNS[metric][0] for metric in metrics), "train s", *COSTS]
        lines = [header]
        for backbone, head in own[["backbone", "head"]].drop_duplicates().itertuples(index=False):
            cell = own[(own["backbone"] == backbone) & (own["head"] == head)].set_index("metric")
            timing = cells[(cells["task"] == task) & (cells["backbone"] == backbone) & (cells["head"] == head)]
            values = [
                with_interval(metric, *cell.loc[metric, ["value", "low", "high"]])
                if metric in WITH_INTERVAL
                else figure(metric, cell.loc[metric, "value"])
                for metric in metrics
            ]
            name, seconds = marked(backbone, backbones), f"{timing['seconds'].iloc[0]:.1f}"
            lines.append([name, head, *values, seconds, *costs(backbones.get(backbone))])
        blocks.append(_aligned(lines))
    return "\n\n".join([*blocks, *filter(None, [seeded_note(backbones)])])


def with_interval(metric: str, value: float, low: float, high: float) -> str:
    """A metric as people read it, with its interval where there is one: 88.9% [88.1, 89.7]."""
    bounds = [figure(metric, bound).rstrip("%") for bound in (low, high)]
    return figure(metric, value) if math.isnan(low) else f"{figure(metric, value)} [{', '.join(bounds)}]"


def figure(metric: str, mean: float, spread: float = math.nan) -> str:
    """A metric as people read it, with its spread where there is one."""
    form = COLUMNS[metric][1]
    if math.isnan(mean):
        return "-"
    return form.format(mean) if math.isnan(spread) else f"{form.format(mean)} ± {form.format(spread).lstrip('+')}"


def costs(facts: Mapping[str, Any] | None) -> list[str]:
    """The fields of COSTS for a backbone; dashes for the dummy, which has none."""
    if facts is None:
        return ["-", "-", "-"]
    milliseconds = "-" if math.isnan(facts["embed_ms"]) else f"{facts['embed_ms']:.1f}"
    return [milliseconds, f"{facts['dim']:,}", f"{facts['weights_bytes'] / 1e6:.1f}"]


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
