"""What people read: mean and spread, to the character."""

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
    results = results_of(
        [
            ("age", "-", "dummy", "mae", [20, 22]),
            ("age", "-", "dummy", "cs5", [0.1, 0.1]),
            ("age", "-", "dummy", "bias", [-2, 2]),
            ("age", "net", "dense", "bias", [0.5, 1.5]),
            ("age", "net", "dense", "mae", [4.5, 4.7]),
            ("age", "net", "dense", "cs5", [0.7, 0.8]),
            ("gender", "net", "dense", "accuracy", [0.88, 0.92]),
            ("gender", "net", "dense", "accuracy_from_14", [0.97, 0.97]),
            ("gender", "net", "dense", "macro_f1_from_14", [0.5, 0.5]),
        ]
    )
    assert format_table(results, cells_for(results), {"net": FAKE}).splitlines() == [
        "age  head            MAE          CS@5          bias  train s  embed ms     dim    MB",
        "-    dummy  21.00 ± 1.41  10.0% ± 0.0%  +0.00 ± 2.83      0.2         -       -     -",
        "net  dense   4.60 ± 0.14  75.0% ± 7.1%  +1.00 ± 0.71      1.2      12.3  16,384  12.3",
        "",
        "gender  head       accuracy    from 14 up  train s  embed ms     dim    MB",
        "net     dense  90.0% ± 2.8%  97.0% ± 0.0%      2.2      12.3  16,384  12.3",
    ]


def test_table_of_one_fold_has_no_spread_and_a_missing_figure_is_a_dash():
    results = results_of(
        [("gender", "x", "linear", "accuracy", [0.5]), ("gender", "x", "linear", "accuracy_from_14", [np.nan])]
    )
    assert format_table(results, cells_for(results), {"x": FAKE}).splitlines() == [
        "gender  head    accuracy  from 14 up  train s  embed ms     dim    MB",
        "x       linear     50.0%           -      0.2      12.3  16,384  12.3",
    ]


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
    results = results_of([("age", "-", "dummy", "mae", [9]), ("age", "ArcFace seeded:0", "dense", "mae", [4])])
    table = format_table(results, cells_for(results), {"ArcFace seeded:0": seeded_facts("ArcFace seeded:0")})
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
