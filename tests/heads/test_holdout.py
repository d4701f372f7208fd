"""A bundle is calibrated on what its heads did not train on, and its card says how well intervals hold."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data.split import make_folds
from heads.bundle import load_bundle
from heads.calibrate import Temperature, calibrate
from heads.cell import Cell
from heads.dataset import Dataset, Rows
from heads.holdout import calibrate_heads
from heads.net import Layer, Net
from heads.train import train
from tests.fakes import FAKE_SPEC
from tests.heads.faces import AGE, GENDER, HEIGHT, make_faces

CELL = Cell(FAKE_SPEC, "linear", (AGE, GENDER, HEIGHT))


def dataset(n=600, *, folds=5, seed=0) -> Dataset:
    """Make up rows with labels of all tasks, in folds."""
    faces = make_faces(n, seed=seed)
    names = [f"{row}.png" for row in range(n)]
    frame = pd.DataFrame({"image_id": names, "path": names, "sha256": names, "age": faces.y["age"]})
    rows = Rows(frame, {FAKE_SPEC.fingerprint: faces.X}, faces.y, {}, {})
    return Dataset(rows, make_folds(names, np.arange(n), faces.y["gender"], folds=folds))


def numbered_nets(n):
    """Make heads of which the i-th says i years and a gender of that share, whatever the row."""
    nets = []
    for number in range(n):
        age = Layer(np.zeros((1, 16, 1), np.float32), np.full((1, 1), number, np.float32), "linear")
        logits = np.log([[1 + number, n]]).astype(np.float32)
        nets.append(Net((), {"age": age, "gender": Layer(np.zeros((1, 16, 2), np.float32), logits, "softmax")}))
    return nets


def test_calibration_is_that_of_rows_averaged_over_the_heads_that_did_not_train_on_them():
    data = dataset()
    nets = numbered_nets(5)
    roles = data.split.roles
    twice = (roles > 0).sum(axis=1) == 2  # tested by one fold, validated by another
    assert 200 < twice.sum() < 400
    said = np.array([np.flatnonzero(row > 0).mean() for row in roles[twice]])
    found = calibrate_heads(Cell(FAKE_SPEC, "ridge", (AGE,)), nets, data)
    assert found == {"age": calibrate(AGE, data.rows.labels["age"][twice], said.astype(np.float32))}


def test_all_rows_calibrate_where_each_is_held_out_once():
    data = dataset(200, folds=2)
    once = Dataset(data.rows, type(data.split)(data.split.ids, data.split.groups, data.split.roles[:, :1], "one fold"))
    found = calibrate_heads(Cell(FAKE_SPEC, "ridge", (AGE,)), numbered_nets(1), once)
    assert sum(found["age"].n) == (once.split.roles > 0).sum()


def test_numbers_and_tasks_with_too_few_rows_are_left_out():
    data = dataset()
    data.rows.labels["gender"][40:] = np.nan
    nets = [Net((), {**net.outputs, "height": net.outputs["age"]}) for net in numbered_nets(5)]
    assert [*calibrate_heads(CELL, nets, data)] == ["age"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a bundle of 600 rows, and its folder."""
    folder = tmp_path_factory.mktemp("holdout") / "bundle"
    train(FAKE_SPEC, [AGE, GENDER, HEIGHT], dataset(), folder, head="linear")
    return load_bundle(folder), folder


def test_bundle_carries_calibration_whose_intervals_hold_on_strangers(tmp_path):
    everyone = dataset(2600)
    known, strangers = np.arange(600), np.arange(600, 2600)
    rows = everyone.rows
    frame = rows.frame.iloc[known]
    X, age = rows.vectors[FAKE_SPEC.fingerprint], rows.labels["age"]
    labels = {task: y[known] for task, y in rows.labels.items()}
    split = make_folds(frame["image_id"], known, labels["gender"])
    own = Dataset(Rows(frame, {FAKE_SPEC.fingerprint: X[known]}, labels, {}, {}), split)
    bundle = train(FAKE_SPEC, [AGE, GENDER], own, tmp_path / "bundle", head="linear").bundle
    assert isinstance(bundle.calibration["gender"], Temperature)
    predicted = bundle.predict(X[strangers])
    held = predicted["age_low"].le(age[strangers]) & predicted["age_high"].ge(age[strangers])
    assert 0.86 < held.mean() < 0.96  # 300 rows for the quantiles: 0.9 give or take 0.02, and rather more than less


def test_card_says_how_many_ages_the_intervals_held(trained):
    bundle, folder = trained
    measured = bundle.facts["intervals"]
    low, high = stats.binom.ppf([0.001, 0.999], 600, 0.9) / 600
    assert low < measured["coverage"] < high + 0.02  # 60 validation rows: up to 1 in 61 more than promised
    assert (measured["level"], measured["n"]) == (0.9, 600)
    text = f"one fold's held {measured['coverage']:.1%} of 600 it had not seen"
    assert text in (folder / "README.md").read_text()


def test_card_of_few_rows_says_why_there_are_no_intervals(tmp_path):
    bundle = train(FAKE_SPEC, [AGE], dataset(80), tmp_path / "bundle", head="ridge").bundle
    assert bundle.calibration == {}
    assert "**Intervals**: none: an age task with 50 or more" in (tmp_path / "bundle" / "README.md").read_text()
