"""Every cell on the same rows, each row judged by a head that has not seen it, nothing trained twice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data.manifest import Manifest
from heads import metrics
from heads.cell import TEST, Cell, cells_of
from heads.compare import compare, measure
from heads.dataset import Concatenation, SplitPlan, make_dataset
from heads.tasks import make_task


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """Return the folder and the outcome of a comparison, with its cells."""
    folder = tmp_path_factory.mktemp("runs")
    cells = cells_of(world.specs, ["linear", "ridge"], world.tasks)
    return SimpleNamespace(folder=folder, cells=cells, comparison=compare(cells, world.data, folder))


def values(results: pd.DataFrame, **wanted) -> dict[str, float]:
    """One metric by fold."""
    rows = results[(results[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    assert rows["fold"].is_unique
    return dict(zip(rows["fold"], rows["value"], strict=True))


# ---- figures


def test_dummy_is_what_numpy_says(world, finished):
    results, data = finished.comparison.results, world.data
    age, gender = data.rows.labels["age"], data.rows.labels["gender"]
    mae, accuracy = {}, {}
    for fold in range(3):
        train, _, test = data.split.indices(fold)
        mae[str(fold)] = np.abs(np.median(age[train]) - age[test]).mean()
        accuracy[str(fold)] = (np.bincount(gender[train].astype(int)).argmax() == gender[test]).mean()
    found = values(results, task="age", head="dummy", metric="mae")
    medians = [np.median(age[data.split.indices(fold)[0]]) for fold in range(3)]
    mae[TEST] = np.abs(np.mean(medians) - data.test.labels["age"]).mean()
    assert found == pytest.approx(mae, rel=1e-5)
    found = values(results, task="gender", head="dummy", metric="accuracy")
    assert {fold: found[fold] for fold in accuracy} == pytest.approx(accuracy)


@pytest.mark.parametrize(("head", "task", "metric"), [("linear", "age", "mae"), ("ridge", "height", "rmse")])
def test_heads_learn_what_the_colours_say(finished, head, task, metric):
    results = finished.comparison.results
    dummy = np.mean([*values(results, task=task, head="dummy", metric=metric).values()])
    for backbone in ("fake", "other"):
        own = values(results, task=task, head=head, metric=metric, backbone=backbone)
        assert set(own) == {"0", "1", "2", TEST}
        assert max(own.values()) < dummy / 2


def test_gender_is_learned_and_no_row_is_lost(world, finished):
    own = values(finished.comparison.results, task="gender", head="linear", backbone="fake", metric="accuracy")
    assert min(own.values()) > 0.9
    rows = finished.comparison.results.query("task == 'gender' and head == 'linear' and metric == 'accuracy'")
    assert rows[rows["fold"] == TEST]["n"].tolist() == [15, 15]
    assert rows[rows["fold"] != TEST].groupby("backbone")["n"].sum().tolist() == [60, 60]


def measured(frame: pd.DataFrame, y: list[int], predicted: list[int]) -> dict[str, tuple[float, int]]:
    """Measure hand-made predictions of gender in one fold: metric to (value, n)."""
    task = make_task("gender", pd.DataFrame({"gender": ["male", "female"]}))
    rows = SimpleNamespace(frame=frame)
    data = SimpleNamespace(rows=rows, test=None, split=SimpleNamespace(hash="h"))
    columns = {"task": "gender", "fold": "0", "seed": 0, "image_id": frame["image_id"], "y": y, "predicted": predicted}
    cell = Cell(SimpleNamespace(name="fake"), "linear", (task,))
    return {result.metric: (result.value, result.n) for result in measure(cell, pd.DataFrame(columns), data)}


def test_gender_is_measured_again_on_those_of_14_and_over():
    frame = pd.DataFrame({"image_id": list("abcdef"), "age": [3, 13.9, 14, 30, 80, np.nan]})
    found = measured(frame, y=[0, 1, 0, 1, 1, 1], predicted=[1, 0, 0, 1, 0, 1])
    assert found["accuracy"] == (0.5, 6)
    assert found["accuracy_from_14"] == (pytest.approx(2 / 3), 3)
    assert found["balanced_accuracy_from_14"] == (0.75, 3)
    assert found["macro_f1_from_14"] == (pytest.approx(metrics.macro_f1(np.array([0, 1, 1]), np.array([0, 1, 0]))), 3)


def test_ages_of_the_test_manifest_are_its_own(world, finished):
    rows = finished.comparison.results.query("metric == 'accuracy_from_14' and fold == 'test' and head == 'dummy'")
    own = world.data.test.frame
    of_the_same_names = world.data.rows.frame.set_index("image_id")["age"][own["image_id"]]
    assert rows["n"].tolist() == [(own["age"] >= 14).sum()] != [(of_the_same_names >= 14).sum()]


def test_gender_of_children_alone_has_no_figure_from_14():
    found = measured(pd.DataFrame({"image_id": ["a", "b"], "age": [3, 4]}), y=[0, 1], predicted=[0, 0])
    value, n = found["accuracy_from_14"]
    assert np.isnan(value)
    assert n == 0
    assert found["accuracy"] == (0.5, 2)


def test_gender_without_ages_is_measured_once():
    found = measured(pd.DataFrame({"image_id": ["a", "b"]}), y=[0, 1], predicted=[0, 0])
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1"}


def test_other_tasks_have_no_figures_from_14(finished):
    with_age = finished.comparison.results["metric"].str.endswith("_from_14")
    assert set(finished.comparison.results["task"][with_age]) == {"gender"}


def test_corrected_age_moves_the_figures_from_14_of_a_finished_cell(world, finished):
    frame = world.data.rows.frame.assign(age=50.0)  # the heads of gender do not look at ages
    data = replace(world.data, rows=replace(world.data.rows, frame=frame))
    cells = [cell for cell in finished.cells if cell.tasks[0].name == "gender"]
    again = compare(cells, data, finished.folder)
    assert again.reused == len(cells)
    rows = again.results.query("metric == 'accuracy_from_14' and fold != 'test' and head == 'dummy'")
    assert rows["n"].sum() == 60


def test_results_name_every_field_and_cells_their_cost(world, finished):
    results, cells = finished.comparison.results, finished.comparison.cells
    assert [*results] == ["task", "backbone", "head", "split", "fold", "metric", "value", "n", "seed"]
    assert set(results["split"]) == {world.data.split.hash}
    assert not results.duplicated(["task", "backbone", "head", "fold", "metric"]).any()
    facts = ["seconds", "bytes", "history", "trials", "metric", "validation"]
    assert [*cells] == ["task", "backbone", "head", *facts]
    ridge = cells.query("head == 'ridge' and task == 'height'")
    assert ridge["bytes"].tolist() == [4 * 13, 4 * 13]  # 12 weights and a bias of float32


def test_manifest_in_another_order_gives_the_same_figures_for_ridge(world, finished, tmp_path):
    manifest = Manifest(world.manifest.frame.sample(frac=1, random_state=3))
    data = make_dataset(manifest, world.store, world.specs, world.tasks, plan=SplitPlan(folds=3), test=world.test)
    again = compare([Cell(world.specs[0], "ridge", (world.tasks[0],))], data, tmp_path)
    wanted = {"task": "age", "head": "ridge", "backbone": "fake", "metric": "mae"}
    assert values(again.results, **wanted) == pytest.approx(values(finished.comparison.results, **wanted), rel=1e-4)


def test_predictions_of_a_comparison_are_those_its_results_measure(finished):
    keys = ["backbone", "head", "task", "fold"]
    measured = dict(iter(finished.comparison.results.groupby(keys)))
    for key, rows in finished.comparison.predictions.groupby(keys):
        named = measured[key]
        errors = named[named["metric"].isin(["mae", "accuracy", "rmse"])].set_index("metric")["value"]
        wrong = rows["predicted"] - rows["y"]
        expected = {"mae": wrong.abs().mean(), "accuracy": (wrong == 0).mean(), "rmse": (wrong**2).mean() ** 0.5}
        assert errors.to_dict() == pytest.approx({metric: expected[metric] for metric in errors.index})


def test_history_of_a_dense_head_is_kept_and_found_again(world, tmp_path):
    cells = [Cell(world.specs[0], "dense", (world.tasks[0],)), Cell(world.specs[0], "ridge", (world.tasks[0],))]
    first = compare(cells, world.data, tmp_path).cells
    again = compare(cells, world.data, tmp_path).cells
    dense, ridge = first["history"]
    assert len(dense) == world.data.split.n_folds
    assert {*dense[0]} == {"train_loss", "valid_loss", "age mae"}
    rounds, members = np.shape(dense[0]["valid_loss"])
    assert (rounds > 1, members) == (True, 2)
    assert dense[0]["train_loss"][-1][0] < dense[0]["train_loss"][0][0]
    assert ridge == []
    assert again["history"].tolist() == first["history"].tolist()


def test_trials_of_a_search_are_kept_and_found_again(world, tmp_path):
    cells = [
        Cell(world.specs[0], "searched:trials=1", (world.tasks[1],)),
        Cell(world.specs[0], "ridge", (world.tasks[0],)),
    ]
    first = compare(cells, world.data, tmp_path).trials
    assert first[["head", "fold", "final"]].values.tolist() == [
        ["searched:trials=1", fold, final] for fold in range(3) for final in (False, True)
    ]
    pd.testing.assert_frame_equal(compare(cells, world.data, tmp_path).trials, first)


def test_backbones_side_by_side_are_learned_together(world, tmp_path):
    both = Concatenation(tuple(world.specs))
    data = make_dataset(world.manifest, world.store, [both], world.tasks, plan=SplitPlan(folds=3))
    comparison = compare(cells_of([both], ["ridge"], world.tasks[:1]), data, tmp_path)
    assert set(comparison.results["backbone"]) == {"-", "fake+other"}
    assert comparison.cells.query("head == 'ridge'")["bytes"].tolist() == [4 * 25]  # 12 weights of each, and a bias
