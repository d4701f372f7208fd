"""Each row judged by a head that has not seen it, nothing trained twice, and nothing taken for what it is not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.split import make_folds
from heads import cell as cell_module
from heads.cell import TEST, Cell, cells_of, fit_folds, groups_of, outcome_of, predict_folds
from heads.compare import compare
from heads.dataset import Dataset, SplitPlan, make_dataset
from heads.net import HeadError, Layer, Net
from heads.tasks import make_task


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """Return the folder and the outcome of a comparison, with its cells."""
    folder = tmp_path_factory.mktemp("runs")
    cells = cells_of(world.specs, ["linear", "ridge"], world.tasks)
    return SimpleNamespace(folder=folder, cells=cells, comparison=compare(cells, world.data, folder))


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

    def spy(X, y, folds, *, seeds):
        given_folds.extend(folds)
        return [SimpleNamespace(net_=constant_net("height", fold)) for fold in range(len(folds))]

    monkeypatch.setattr(cell_module, "make_head", lambda *args, **options: SimpleNamespace(fit_folds=spy))
    task = world.tasks[2]
    cell = Cell(world.specs[0], "linear", (task,))
    predictions = outcome_of(cell, fit_folds(cell, data)[0], data).predictions
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
    predictions, _ = predict_folds(cell, nets, world.data)
    tested = predictions[predictions["fold"] == TEST]
    assert tested["image_id"].tolist() == world.data.test.frame["image_id"].tolist()
    assert set(tested["predicted"]) == {170}


def test_no_copy_of_a_test_row_was_trained_on(world):
    frame = world.data.rows.frame
    for fold in range(3):
        train, valid, test = (set(frame["sha256"][rows]) for rows in world.data.split.indices(fold))
        assert not test & (train | valid)


# ---- nothing twice


def test_second_run_trains_nothing_and_says_the_same(world, finished, monkeypatch):
    monkeypatch.setattr(cell_module, "fit_folds", lambda *args, **options: pytest.fail("a cell was trained again"))
    done = []
    again = compare(finished.cells, world.data, finished.folder, on_progress=done.append)
    pd.testing.assert_frame_equal(again.results, finished.comparison.results)
    pd.testing.assert_frame_equal(again.cells, finished.comparison.cells)
    assert (finished.comparison.reused, again.reused) == (0, len(finished.cells))
    assert sum(done) == len(finished.cells)


def test_interrupted_run_keeps_its_finished_cells(world, tmp_path, monkeypatch):
    cells = cells_of(world.specs[:1], ["ridge"], world.tasks)
    original = cell_module.fit_folds

    def stop_in_the_third(cell, data, *, seeds):
        if cell is cells[2]:
            raise KeyboardInterrupt
        return original(cell, data, seeds=seeds)

    monkeypatch.setattr(cell_module, "fit_folds", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        compare(cells, world.data, tmp_path)
    monkeypatch.undo()
    resumed = compare(cells, world.data, tmp_path)
    assert resumed.reused == 2
    assert len(list((tmp_path / "cells").iterdir())) == len(cells)


def test_further_head_trains_its_own_cells_alone(world, finished, tmp_path, monkeypatch):
    trained = []
    original = cell_module.fit_folds
    monkeypatch.setattr(
        cell_module, "fit_folds", lambda cell, *args, **kw: trained.append(cell.head) or original(cell, *args, **kw)
    )
    compare(cells_of(world.specs[:1], ["ridge"], world.tasks), world.data, tmp_path)
    assert trained == ["dummy", "dummy", "dummy", "ridge", "ridge"]
    trained.clear()
    compare(cells_of(world.specs, ["ridge"], world.tasks), world.data, tmp_path)
    assert trained == ["ridge", "ridge"]


def test_order_of_backbones_changes_no_key_and_no_figure(world, finished, monkeypatch):
    monkeypatch.setattr(cell_module, "fit_folds", lambda *args, **options: pytest.fail("a cell was trained again"))
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


def test_predictions_on_disk_are_for_their_owner_alone(finished):
    modes = {file.stat().st_mode & 0o777 for file in (finished.folder / "cells").iterdir()}
    assert modes == {0o600}
