"""What people read: figures with their intervals, to the character."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from heads.dataset import Concatenation
from heads.table import backbone_facts, costs, format_table, seeded_note, summarise
from tests.fakes import fake_backbone

FAKE = {"embed_ms": 12.345, "dim": 16384, "weights_bytes": 12_300_000, "seeded": False, "parts": []}


def results_of(rows) -> pd.DataFrame:
    """Results from (task, backbone, head, metric, values by fold)."""
    flat = [
        {"task": task, "backbone": backbone, "head": head, "fold": str(fold), "metric": metric, "value": value, "n": 10}
        for task, backbone, head, metric, values in rows
        for fold, value in enumerate(values)
    ]
    return pd.DataFrame(flat)


def figures_of(rows) -> pd.DataFrame:
    """Figures from (task, backbone, head, metric, (value, low, high))."""
    columns = ["task", "backbone", "head", "metric", "value", "low", "high"]
    return pd.DataFrame([(*names, *values) for *names, values in rows], columns=columns).assign(n=10)


def cells_for(results: pd.DataFrame) -> pd.DataFrame:
    cells = results[["task", "backbone", "head"]].drop_duplicates(ignore_index=True)
    return cells.assign(seconds=[0.25 + i for i in range(len(cells))], bytes=100)


def test_summary_has_mean_sample_deviation_and_rows_in_the_order_of_the_results():
    results = results_of([("b", "x", "h", "mae", [1, 2, 6]), ("a", "x", "h", "mae", [5, 5, 5])])
    summary = summarise(results)
    assert summary["task"].tolist() == ["b", "a"]
    assert summary["mean"].tolist() == [3, 5]
    assert summary["spread"].tolist() == [pytest.approx(math.sqrt(7)), 0]
    assert summary["n"].tolist() == [30, 30]


def test_one_fold_has_no_spread():
    summary = summarise(results_of([("age", "x", "h", "mae", [4])]))
    assert summary["mean"].tolist() == [4]
    assert np.isnan(summary["spread"][0])


def test_fold_without_a_figure_is_not_counted_as_zero():
    summary = summarise(results_of([("age", "x", "h", "mae", [4, np.nan, 6])]))
    assert summary["mean"].tolist() == [5]


def test_table_has_a_block_per_task_with_its_own_columns():
    figures = figures_of(
        [
            ("age", "-", "dummy", "mae", (21, 20.5, 21.456)),
            ("age", "-", "dummy", "cs5", (0.1, 0.09, 0.11)),
            ("age", "-", "dummy", "bias", (-2, -2.1, -1.9)),
            ("age", "net", "dense", "bias", (0.5, 0.4, 0.6)),
            ("age", "net", "dense", "mae", (4.6, 4.5, 4.7)),
            ("age", "net", "dense", "cs5", (0.75, 0.7, 0.8)),
            ("age", "net", "dense", "coverage", (0.9, 0.8, 0.95)),
            ("gender", "net", "dense", "accuracy", (0.9, 0.875, 0.925)),
            ("gender", "net", "dense", "accuracy_from_14", (0.97, 0.96, 0.98)),
            ("gender", "net", "dense", "macro_f1_from_14", (0.5, 0.4, 0.6)),
        ]
    )
    assert format_table(figures, cells_for(figures), {"net": FAKE}).splitlines() == [
        "age  head                    MAE   CS@5   bias  train s  embed ms     dim    MB",
        "-    dummy  21.00 [20.50, 21.46]  10.0%  -2.00      0.2         -       -     -",
        "net  dense     4.60 [4.50, 4.70]  75.0%  +0.50      1.2      12.3  16,384  12.3",
        "",
        "gender  head             accuracy          from 14 up  train s  embed ms     dim    MB",
        "net     dense  90.0% [87.5, 92.5]  97.0% [96.0, 98.0]      2.2      12.3  16,384  12.3",
    ]


def test_figure_without_interval_stands_alone_and_a_missing_one_is_a_dash():
    nothing = (np.nan, np.nan, np.nan)
    figures = figures_of(
        [
            ("gender", "x", "linear", "accuracy", (0.5, np.nan, np.nan)),
            ("gender", "x", "linear", "accuracy_from_14", nothing),
        ]
    )
    assert format_table(figures, cells_for(figures), {"x": FAKE}).splitlines() == [
        "gender  head    accuracy  from 14 up  train s  embed ms     dim    MB",
        "x       linear     50.0%           -      0.2      12.3  16,384  12.3",
    ]


def test_seeds_of_a_fold_are_averaged_before_folds_are_compared():
    first, second = (results_of([("age", "x", "h", "mae", values)]) for values in ([1, 2], [3, 6]))
    summary = summarise(pd.concat([first.assign(seed=0), second.assign(seed=1)]))
    assert (summary["mean"][0], summary["spread"][0]) == (3, pytest.approx(np.std([2, 4], ddof=1)))
    assert summary["n"].tolist() == [20]


def test_facts_of_backbones_come_from_the_store(world):
    facts = backbone_facts(world.store, world.specs)
    assert [*facts] == ["fake", "other"]
    fake = facts["fake"]
    assert (fake["dim"], fake["weights_bytes"], fake["licence"]) == (12, 0, "ours")
    assert fake["fingerprint"] == world.specs[0].fingerprint
    assert fake["embed_ms"] == 1000 * world.store.seconds_per_row(fake["fingerprint"]) > 0
    assert not fake["seeded"]
    assert fake["parts"] == [
        {
            "name": "fake",
            "fingerprint": fake["fingerprint"],
            "weights_sha256": "fa" * 32,
            "licence": "ours",
            "library": "unknown",
            "seeded": False,
        }
    ]


def test_backbone_is_seeded_if_any_of_its_parts_is():
    trained = fake_backbone().spec
    recorded = {**trained.recorded, "seeded": 0}  # seed 0 is a seed
    seeded = replace(trained, name="net seeded:0", weights_sha256="00" * 32, recorded=recorded)
    both = Concatenation((trained, seeded))
    store = SimpleNamespace(seconds_per_row=lambda fingerprint: 0.001)
    facts = backbone_facts(store, [trained, seeded, both])
    assert [each["seeded"] for each in facts.values()] == [False, True, True]
    assert [part["seeded"] for part in facts["fake+net seeded:0"]["parts"]] == [False, True]
    assert facts["fake+net seeded:0"]["embed_ms"] == 2


def seeded_facts(name: str) -> dict:
    return {**FAKE, "seeded": True, "parts": [{"name": name, "seeded": True}]}


def test_seeded_backbone_is_marked_in_the_table_and_explained_below_it():
    values = [("-", "dummy", "mae", (9, 8, 10)), ("ArcFace seeded:0", "dense", "mae", (4, 3, 5))]
    figures = figures_of([("age", *each) for each in values])
    table = format_table(figures, cells_for(figures), {"ArcFace seeded:0": seeded_facts("ArcFace seeded:0")})
    _, dummy, net, _, note = table.splitlines()
    assert net.startswith("ArcFace seeded:0 †  dense")
    assert "†" not in dummy
    assert note == ("† ArcFace seeded:0: weights drawn at random, not trained; figures say nothing about ArcFace")


def test_every_seeded_part_is_named_once_in_the_note():
    names = ["ArcFace seeded:0", "Facenet seeded:1"]
    both = {**FAKE, "seeded": True, "parts": [{"name": name, "seeded": True} for name in names]}
    mixed = {**both, "parts": [{"name": "fake", "seeded": False}, *both["parts"]]}
    note = seeded_note({names[0]: seeded_facts(names[0]), "+".join(names): both, "mixed": mixed})
    assert note.startswith("† ArcFace seeded:0, Facenet seeded:1: weights")
    assert note.endswith("nothing about ArcFace, Facenet")
    assert seeded_note({"fake": FAKE}) == ""


def test_unknown_cost_is_a_dash():
    assert costs({**FAKE, "embed_ms": math.nan}) == ["-", "16,384", "12.3"]
