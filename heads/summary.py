"""A comparison as lines for a terminal: what is best, what can be shown, what leaks, what intervals hold."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from heads.calibrate import LEVEL
from heads.compare import Comparison
from heads.leakage import Leakage
from heads.measures import MEASURES
from heads.table import COLUMNS, figure, with_interval

RIVALS = 3  # verdicts printed of each task; verdicts.csv has all


def best_models(comparison: Comparison) -> list[dict[str, Any]]:
    """Choose each task's best model by validation rows: its row of `Comparison.best_heads`."""
    best = comparison.best_heads
    order = best["validation"] * [-MEASURES[metric].better for metric in best["metric"]]
    chosen = _records(best.loc[order.sort_values(kind="stable").index].drop_duplicates("task"))
    tasks = comparison.cells["task"].unique().tolist()
    return sorted(chosen, key=lambda row: tasks.index(row["task"]))


def best_lines(comparison: Comparison) -> Iterator[str]:
    """Yield the model that validation rows choose for each task, beside its figure on test rows."""
    for best in best_models(comparison):
        metric, found = best["metric"], _figures_of(comparison, best)
        heading, judged = COLUMNS[metric][0], figure(metric, best["validation"])
        yield (
            f"{best['task']}, best by validation rows: {best['backbone']} {best['head']}, {heading} {judged} there, "
            f"{with_interval(metric, *found.loc[metric])} on test rows"
        )


def verdict_lines(comparison: Comparison) -> Iterator[str]:
    """Yield for each task how its best model by validation rows compares with those nearest to it on test rows."""
    for best in best_models(comparison):
        own = comparison.verdicts[comparison.verdicts["task"] == best["task"]]
        is_first, is_second = (
            (own[f"{side}_backbone"] == best["backbone"]) & (own[f"{side}_head"] == best["head"])
            for side in ("first", "second")
        )
        found = own[is_first | is_second].sort_values("difference", key=abs, kind="stable")
        yield from (f"{best['task']}: {words}" for words in found["words"].head(RIVALS))


def coverage_lines(comparison: Comparison) -> Iterator[str]:
    """Yield how often ages of test rows lie in their intervals, for the model that validation rows choose."""
    for best in best_models(comparison):
        found = _figures_of(comparison, best)
        if "coverage" in found.index:
            yield (
                f"intervals of {best['backbone']} {best['head']} that are to hold {LEVEL:.0%} of ages held "
                f"{with_interval('coverage', *found.loc['coverage'])}, "
                f"{figure('width', *found.loc[['width'], 'value'])} years wide on average"
            )


def leakage_lines(leakage: Leakage) -> Iterator[str]:
    """Yield what a plain random split would make of the same heads, and how many near copies it would let through."""
    for name in map(str, leakage.near["backbone"].unique()):
        own = leakage.near[leakage.near["backbone"] == name]
        shares = own.set_index("split")["share"]
        first = leakage.figures[leakage.figures["backbone"] == name].drop_duplicates("task")
        changes = ", ".join(
            f"{row['task']} {COLUMNS[row['metric']][0]} {figure(row['metric'], row['random'])} for "
            f"{figure(row['metric'], row['grouped'])}"
            for row in _records(first)
        )
        yield (
            f"a plain random split would say of {name}: {changes}; training rows would hold a near copy of "
            f"{shares['random']:.1%} of test rows, {shares['grouped']:.1%} as they were split"
        )
    if len(leakage.conflicts):
        pairs = "1 pair" if len(leakage.conflicts) == 1 else f"{len(leakage.conflicts):,} pairs"
        yield f"near copies with labels that cannot both be right: {pairs}, in conflicts.csv"


def robustness_lines(robustness: pd.DataFrame) -> Iterator[str]:
    """Yield each model's figure on images as they are and at the worst of each corruption."""
    for keys, own in robustness.groupby(["task", "backbone", "head", "metric"], sort=False):
        task, backbone, head, metric = map(str, keys)
        clean = own["value"][own["level"] == 0].iloc[0]
        worst = own[own["level"] == own["level"].max()].set_index("corruption")["value"]
        values = ", ".join(f"{name} {figure(metric, value)}" for name, value in worst.items())
        yield (
            f"{backbone} {head}, {task} {COLUMNS[metric][0]} on {own['n'].iloc[0]:,} test images: "
            f"{figure(metric, clean)}; at the worst level {values}"
        )


def _figures_of(comparison: Comparison, model: dict[str, Any]) -> pd.DataFrame:
    """One model's value, low and high on test rows, by metric."""
    keys = ["task", "backbone", "head"]
    own = comparison.figures[(comparison.figures[keys] == [model[key] for key in keys]).all(axis=1)]
    return own.set_index("metric")[["value", "low", "high"]]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
