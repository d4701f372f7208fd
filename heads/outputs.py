"""A comparison as files: tables for spreadsheets and a summary for machines."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from data.files import PRIVATE, write_text
from data.split_file import write_split
from heads.compare import Comparison
from heads.dataset import Dataset
from heads.table import summarise


def write_comparison(
    folder: Path, comparison: Comparison, data: Dataset, backbones: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write results.csv, figures.csv, verdicts.csv, split.csv, summary.json, and whatever else there is.

    trials.csv is of a search, leakage.csv and conflicts.csv of the leakage meter, robustness.csv of corrupted images.
    split.csv and conflicts.csv name images; conflicts.csv is for its owner alone.
    """
    leakage = comparison.leakage
    tables = {"results": comparison.results, "figures": comparison.figures, "verdicts": comparison.verdicts}
    tables |= {"trials": comparison.trials} if len(comparison.trials) else {}
    tables |= {"leakage": leakage.figures} if leakage else {}
    tables |= {"robustness": comparison.robustness} if comparison.robustness is not None else {}
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    if leakage:
        conflicts = leakage.conflicts.to_csv(index=False, lineterminator="\n")
        write_text(folder / "conflicts.csv", conflicts, mode=PRIVATE)
    write_split(data.split, folder / "split.csv")
    write_text(folder / "summary.json", json.dumps(summary_of(comparison, data, backbones), indent=1))


def summary_of(comparison: Comparison, data: Dataset, backbones: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Say everything but single rows in what JSON can hold; null stands for a figure that there is not."""
    split, leakage = data.split, comparison.leakage
    summary = {
        "rows": len(data.rows),
        "dropped": data.rows.dropped,
        "left_out": data.rows.left_out,
        "balance": str(data.balance),
        "seeds": sorted(map(int, comparison.results["seed"].unique())),
        "split": {"rule": split.rule, "seed": split.seed, "hash": split.hash, "file": "split.csv"},
        "backbones": backbones,
        "cells": _records(comparison.cells.drop(columns=["history", "trials"])),
        "metrics": _records(summarise(comparison.of_folds)),
        "figures": _records(comparison.figures),
        "verdicts": _records(comparison.verdicts),
        "cka": _records(comparison.cka),
    }
    if leakage:
        summary["leakage"] = {"near": _records(leakage.near), "conflicts": len(leakage.conflicts)}
    if data.test is not None:
        summary["test"] = {
            "rows": len(data.test),
            "dropped": data.test.dropped,
            "left_out": data.test.left_out,
            "metrics": _records(summarise(comparison.of_test).drop(columns="spread")),
        }
    return summary


def split_before(folder: Path) -> str | None:
    """Hash of the split that an earlier comparison in a folder was of, if there was one."""
    try:
        return str(json.loads((folder / "summary.json").read_text("utf-8"))["split"]["hash"])
    except (OSError, ValueError, KeyError):
        return None


def _records(table: pd.DataFrame) -> Any:
    return json.loads(table.to_json(orient="records"))
