"""Every cell on the same rows, each row judged by a head that has not seen it, nothing trained twice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.manifest import Manifest
from data.split import make_folds
from heads import compare as compare_module
from heads import metrics
from heads.compare import TEST, Cell, cells_of, compare, groups_of, measure, predict_folds, run_cell
from heads.dataset import Concatenation, Dataset, SplitPlan, make_dataset
from heads.net import HeadError, Layer, Net
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


def constant_net(task: str, value: float) -> Net:
    """Make a net that says the same number whatever the row."""
    return Net((), {task: Layer(np.zeros((1, 12, 1), np.float32), np.full((1, 1), value, np.float32), "linear")})


# ---- cells


def test_dummy_is_there_once_per_task_and_other_heads_once_per_backbone(world):
    cells = cells_of(world.specs, ["linear", "dummy", "linear"], world.tasks)
    found = [(cell.backbone, cell.head, *(task.name for task in cell.tasks)) for cell in cells]
    names = ["age", "gender", "height"]
    assert found == [
        *(("-", "dummy", name) for name in names),
        *(("fake", "linear", name) for name in names),
        *(("other", "linear", name) for name in names),
    ]


def test_ridge_is_for_ages_and_numbers_alone(world):
    assert [[task.name for task in group] for group in groups_of("ridge", world.tasks)] == [["age"], ["height"]]


def test_shared_head_learns_all_tasks_in_one_cell(world):
    assert groups_of("shared", world.tasks) == [tuple(world.tasks)]


def test_unknown_head_is_refused_with_those_known(world):
    with pytest.raises(HeadError, match=r"dense, shared, searched, linear, ridge, svm, knn, dummy.*forest"):
        cells_of(world.specs, ["forest"], world.tasks)


# ---- who predicts what


def test_every_labelled_row_is_predicted_once_by_a_head_that_was_not_given_it(world, monkeypatch):
    labels = world.data.rows.labels["height"].copy()
    labels[::7] = np.nan
    data = replace(world.data, rows=replace(world.data.rows, labels={"height": labels}), test=None)
    given_folds = []

    def spy(X, y, folds):
        given_folds.extend(folds)
        return [SimpleNamespace(net_=constant_net("height", fold)) for fold in range(len(folds))]

    monkeypatch.setattr(compare_module, "make_head", lambda *args, **options: SimpleNamespace(fit_folds=spy))
    task = world.tasks[2]
    predictions = run_cell(Cell(world.specs[0], "linear", (task,)), data).to_pandas()
    labelled = data.rows.frame["image_id"][np.isfinite(labels)]
    assert sorted(predictions["image_id"]) == sorted(labelled)
    position = pd.Series(data.rows.frame.index, index=data.rows.frame["image_id"])
    for row in predictions.itertuples():
        train, valid, _ = given_folds[int(row.predicted)]  # the net says which fold's it is
        assert position[row.image_id] not in {*train, *valid}
        assert row.fold == str(int(row.predicted))
        assert row.y == labels[position[row.image_id]]


def test_rows_of_the_test_manifest_are_predicted_by_all_heads_together(world):
    nets = [constant_net("height", value) for value in (150, 160, 200)]
    cell = Cell(world.specs[0], "linear", (world.tasks[2],))
    predictions = predict_folds(cell, nets, world.data)
    tested = predictions[predictions["fold"] == TEST]
    assert tested["image_id"].tolist() == world.data.test.frame["image_id"].tolist()
    assert set(tested["predicted"]) == {170}


def test_no_copy_of_a_test_row_was_trained_on(world):
    frame = world.data.rows.frame
    for fold in range(3):
        train, valid, test = (set(frame["sha256"][rows]) for rows in world.data.split.indices(fold))
        assert not test & (train | valid)


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
    columns = {"task": "gender", "fold": "0", "image_id": frame["image_id"], "y": y, "predicted": predicted}
    cell = Cell(SimpleNamespace(name="fake"), "linear", (task,))
    return {result.metric: (result.value, result.n) for result in measure(cell, pd.DataFrame(columns), data, 0)}


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


# ---- nothing twice


def test_second_run_trains_nothing_and_says_the_same(world, finished, monkeypatch):
    monkeypatch.setattr(compare_module, "fit_folds", lambda *args, **options: pytest.fail("a cell was trained again"))
    done = []
    again = compare(finished.cells, world.data, finished.folder, on_progress=done.append)
    pd.testing.assert_frame_equal(again.results, finished.comparison.results)
    pd.testing.assert_frame_equal(again.cells, finished.comparison.cells)
    assert (finished.comparison.reused, again.reused) == (0, len(finished.cells))
    assert sum(done) == len(finished.cells)


def test_interrupted_run_keeps_its_finished_cells(world, tmp_path, monkeypatch):
    cells = cells_of(world.specs[:1], ["ridge"], world.tasks)
    original = compare_module.fit_folds

    def stop_in_the_third(cell, data, *, seed):
        if cell is cells[2]:
            raise KeyboardInterrupt
        return original(cell, data, seed=seed)

    monkeypatch.setattr(compare_module, "fit_folds", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        compare(cells, world.data, tmp_path)
    monkeypatch.undo()
    resumed = compare(cells, world.data, tmp_path)
    assert resumed.reused == 2
    assert len(list((tmp_path / "cells").iterdir())) == len(cells)


def test_further_head_trains_its_own_cells_alone(world, finished, tmp_path, monkeypatch):
    trained = []
    original = compare_module.fit_folds
    monkeypatch.setattr(
        compare_module, "fit_folds", lambda cell, *args, **kw: trained.append(cell.head) or original(cell, *args, **kw)
    )
    compare(cells_of(world.specs[:1], ["ridge"], world.tasks), world.data, tmp_path)
    assert trained == ["dummy", "dummy", "dummy", "ridge", "ridge"]
    trained.clear()
    compare(cells_of(world.specs, ["ridge"], world.tasks), world.data, tmp_path)
    assert trained == ["ridge", "ridge"]


def test_order_of_backbones_changes_no_key_and_no_figure(world, finished, monkeypatch):
    monkeypatch.setattr(compare_module, "fit_folds", lambda *args, **options: pytest.fail("a cell was trained again"))
    specs = world.specs[::-1]
    data = make_dataset(world.manifest, world.store, specs, world.tasks, plan=SplitPlan(folds=3), test=world.test)
    again = compare(cells_of(specs, ["ridge", "linear"], world.tasks), data, finished.folder)
    keys = ["task", "backbone", "head", "fold", "metric"]
    first, second = (
        results.sort_values(keys, ignore_index=True) for results in (finished.comparison.results, again.results)
    )
    pd.testing.assert_frame_equal(first, second)


def other_folds(data: Dataset, seed: int) -> Dataset:
    rows = data.rows
    n = len(rows)
    return replace(data, split=make_folds(rows.frame["image_id"], np.arange(n), np.zeros(n), folds=3, seed=seed))


def with_age(data: Dataset, row: int, *, test: bool = False) -> Dataset:
    """Change one label, of the rows or of the test manifest's."""
    part = data.parts[test]
    labels = part.labels["age"].copy()
    labels[row % len(labels)] += 1
    changed = replace(part, labels={**part.labels, "age": labels})
    return replace(data, test=changed) if test else replace(data, rows=changed)


def with_other_bytes(data: Dataset, row: int) -> Dataset:
    frame = data.rows.frame.copy()
    frame.loc[row % len(frame), "sha256"] = "0" * 64
    return replace(data, rows=replace(data.rows, frame=frame))


CHANGES = {
    "a label": lambda data, row: with_age(data, row),
    "a label of the test manifest": lambda data, row: with_age(data, row, test=True),
    "the bytes of an image": with_other_bytes,
    "the split": lambda data, row: other_folds(data, row),
    "no test manifest": lambda data, row: replace(data, test=None),
}


@given(st.integers(0, 1000), st.sampled_from(sorted(CHANGES)))
def test_key_changes_with_whatever_changes_the_outcome(world, row, change):
    cell = Cell(world.specs[0], "linear", (world.tasks[0],))
    assert cell.key(CHANGES[change](world.data, row), 0) != cell.key(world.data, 0)


def test_key_tells_backbone_head_task_and_seed_apart(world):
    age, gender, height = world.tasks
    older = make_task("age", world.manifest.frame, age_range=(0, 110))
    cells = [Cell(world.specs[0], "linear", tasks) for tasks in [(age,), (gender,), (height,), (older,), (age, gender)]]
    cells += [Cell(world.specs[1], "linear", (age,)), Cell(world.specs[0], "ridge", (age,))]
    keys = [cell.key(world.data, 0) for cell in cells] + [cells[0].key(world.data, 1)]
    assert len(set(keys)) == len(keys)


def test_key_looks_at_the_labels_of_its_own_tasks_alone(world):
    cell = Cell(world.specs[0], "linear", (world.tasks[1],))
    assert cell.key(with_age(world.data, 3), 0) == cell.key(world.data, 0)


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
    assert [*cells] == ["task", "backbone", "head", "seconds", "bytes", "history", "trials"]
    ridge = cells.query("head == 'ridge' and task == 'height'")
    assert ridge["bytes"].tolist() == [4 * 13, 4 * 13]  # 12 weights and a bias of float32


def test_predictions_on_disk_are_for_their_owner_alone(finished):
    modes = {file.stat().st_mode & 0o777 for file in (finished.folder / "cells").iterdir()}
    assert modes == {0o600}


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
