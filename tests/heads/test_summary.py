"""What a terminal says of a comparison: chosen on validation rows, shown on test rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from heads import summary
from heads.cell import cells_of
from heads.compare import compare


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """Return a comparison whose test rows would choose another model than its validation rows."""
    cells = cells_of(world.specs, ["linear", "ridge"], world.tasks)
    found = compare(cells, world.data, tmp_path_factory.mktemp("runs"))
    chosen = (found.cells["backbone"] == "other") & (found.cells["head"] == "linear")
    validation = found.cells["validation"].mask(chosen & (found.cells["task"] == "age"), 0.125)
    figures = found.figures.copy()
    own = (figures[["task", "backbone", "head", "metric"]] == ["age", "other", "linear", "mae"]).all(axis=1)
    figures.loc[own, ["value", "low", "high"]] = [77.0, 76.0, 78.0]
    return replace(found, cells=found.cells.assign(validation=validation), figures=figures)


def test_best_model_is_chosen_by_validation_rows_and_shown_on_test_rows(finished):
    line, *_ = summary.best_lines(finished)
    assert line == "age, best by validation rows: other linear, MAE 0.12 there, 77.00 [76.00, 78.00] on test rows"


def test_accuracy_is_best_where_it_is_greatest(finished):
    gender = finished.cells[(finished.cells["task"] == "gender") & (finished.cells["head"] != "dummy")]
    (best,) = (model for model in summary.best_models(finished) if model["task"] == "gender")
    assert best["validation"] == gender["validation"].max()


def test_verdicts_are_of_the_best_model_and_its_nearest_rivals(finished):
    said = [line for line in summary.verdict_lines(finished) if line.startswith("age: ")]
    assert len(said) == 3
    assert all("other linear" in line for line in said)
    own = finished.verdicts[finished.verdicts["task"] == "age"].set_index("words")["difference"].abs()
    sizes = [own[line.removeprefix("age: ")] for line in said]
    assert sizes == sorted(sizes)


def test_coverage_is_said_where_there_are_intervals(finished):
    assert list(summary.coverage_lines(finished)) == []  # 60 rows are too few to calibrate
    rows = [
        ("age", "other", "linear", "coverage", 0.912, 0.9, 0.92, 60),
        ("age", "other", "linear", "width", 19.2, 18, 20, 60),
    ]
    more = pd.DataFrame(rows, columns=finished.figures.columns)
    said = list(summary.coverage_lines(replace(finished, figures=pd.concat([finished.figures, more]))))
    assert said == [
        "intervals of other linear that are to hold 90% of ages held 91.2% [90.0, 92.0], 19.2 years wide on average"
    ]


def test_robustness_is_said_at_the_worst_level_of_each_corruption():
    levels = [
        (name, level, 4.0 + level * step) for step, name in enumerate(["blur", "mask"], start=1) for level in (0, 5)
    ]
    table = pd.DataFrame(levels, columns=["corruption", "level", "value"])
    table = table.assign(backbone="net", head="dense", task="age", metric="mae", n=np.int64(1200))
    assert list(summary.robustness_lines(table)) == [
        "net dense, age MAE on 1,200 test images: 4.00; at the worst level blur 9.00, mask 14.00"
    ]
