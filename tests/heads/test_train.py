"""A bundle predicts what was compared, and its card says what was measured."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data.errors import BundleError
from data.labels import AGE_GROUPS
from data.manifest import Manifest
from heads.bundle import load_bundle
from heads.cell import TEST, cells_of
from heads.compare import compare
from heads.dataset import SplitPlan, make_dataset
from heads.metrics import mae
from heads.net import HeadError
from heads.report.run import Run
from heads.table import backbone_facts
from heads.tasks import make_tasks
from heads.train import train


@pytest.fixture(scope="module")
def linear(world, tmp_path_factory):
    """Return what `train` made of the linear head, and where."""
    path = tmp_path_factory.mktemp("train") / "bundle"
    backbones = backbone_facts(world.store, world.specs[:1])
    run = Run(world.tasks, AGE_GROUPS["ten"], backbones, 0, "2001-02-03")
    training = train(world.specs[0], world.tasks, world.data, path, head="linear", run=run)
    return SimpleNamespace(path=path, training=training)


def test_bundle_gives_the_figures_that_compare_gives_for_another_manifest(world, linear, tmp_path):
    cells = cells_of(world.specs[:1], ["linear"], world.tasks)
    results = compare(cells, world.data, tmp_path).results
    bundle, test = load_bundle(linear.path), world.data.test
    predicted = bundle.predict(test.vectors[bundle.embedding.fingerprint])
    compared = results[(results["fold"] == TEST) & (results["head"] == "linear")].set_index(["task", "metric"])["value"]
    for task in ("age", "height"):
        assert mae(test.labels[task], predicted[task].to_numpy()) == pytest.approx(compared[task, "mae"], rel=1e-5)
    right = (predicted["gender"] == test.frame["gender"]).mean()
    assert right == pytest.approx(compared["gender", "accuracy"])


def test_figures_of_the_folds_are_those_of_compare(world, linear, tmp_path):
    results = compare(cells_of(world.specs[:1], ["linear"], world.tasks), world.data, tmp_path).results
    wanted = results[results["head"] == "linear"].reset_index(drop=True)
    pd.testing.assert_frame_equal(linear.training.comparison.results, wanted, rtol=1e-5)


def test_facts_say_what_the_heads_were_made_of(world, linear):
    facts = load_bundle(linear.path).facts
    assert (facts["head"], facts["seed"], facts["images"]) == ("linear", 0, 60)
    assert facts["split"]["hash"] == world.data.split.hash
    assert facts["dropped"] == {}


def test_facts_and_card_measure_unseen_rows_of_the_folds_alone(linear):
    results = linear.training.comparison.results
    folds = results[(results["task"] == "age") & (results["metric"] == "mae") & (results["fold"] != TEST)]["value"]
    facts = load_bundle(linear.path).facts
    (row,) = (row for row in facts["metrics"] if (row["task"], row["metric"]) == ("age", "mae"))
    assert (row["mean"], row["spread"], row["n"]) == (pytest.approx(folds.mean()), pytest.approx(folds.std()), 60)
    card = (linear.path / "README.md").read_text()
    assert f"| age | mae | {folds.mean():.3f} | {folds.std():.3f} | 60 |" in card


def test_card_names_data_split_licence_and_limits(world, linear):
    card = (linear.path / "README.md").read_text()
    assert card.startswith("# age, gender, height from fake\n")
    for part in (
        f"fingerprint `{world.specs[0].fingerprint}`",
        f"hash `{world.data.split.hash}`",
        "60 images. Left out: none.",
        "weights: ours.",
        "Ethnicity is given only on request",
        "Not for decisions about individuals.",
        "It holds the weights of the heads; no embeddings",
    ):
        assert part in card


def test_card_of_trained_weights_warns_of_no_seed_and_that_of_seeded_ones_does_first_of_all(world, linear, tmp_path):
    assert "SEEDED" not in (linear.path / "README.md").read_text()
    seeded = replace(world.specs[0], recorded={**world.specs[0].recorded, "seeded": 0})
    train(seeded, world.tasks[:1], world.data, tmp_path / "bundle", head="ridge")
    card = (tmp_path / "bundle" / "README.md").read_text().splitlines()
    assert card[2].startswith("> **SEEDED WEIGHTS, NOT TRAINED.**")
    assert "figures below mean nothing" in card[3]


def test_card_counts_the_rows_without_a_label(world, tmp_path):
    ages = world.manifest.frame["age"].where(world.manifest.frame.index % 10 > 0)
    manifest = Manifest(world.manifest.frame.assign(age=ages))
    tasks = make_tasks(["age"], manifest.frame, kinds={})
    data = make_dataset(manifest, world.store, world.specs[:1], tasks, plan=SplitPlan(folds=3))
    train(world.specs[0], tasks, data, tmp_path / "bundle", head="ridge")
    assert "Left out: 6 rows of age, no age label." in (tmp_path / "bundle" / "README.md").read_text()


def test_figure_that_cannot_be_computed_is_null_in_json_and_a_dash_on_the_card(world, tmp_path):
    manifest = Manifest(world.manifest.frame.assign(age=5.0))  # children alone: no figure of gender from 14
    tasks = make_tasks(["gender"], manifest.frame, kinds={})
    data = make_dataset(manifest, world.store, world.specs[:1], tasks, plan=SplitPlan(folds=3))
    train(world.specs[0], tasks, data, tmp_path / "bundle", head="linear")
    text = (tmp_path / "bundle" / "bundle.json").read_text()
    facts = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["facts"]
    (row,) = (row for row in facts["metrics"] if row["metric"] == "accuracy_from_14")
    assert (row["mean"], row["spread"], row["n"]) == (None, None, 0)
    assert "| gender | accuracy_from_14 | - | - | 0 |" in (tmp_path / "bundle" / "README.md").read_text()


def test_bundle_knows_nobody_it_was_trained_on(world, linear):
    written = b"".join(path.read_bytes() for path in linear.path.iterdir())
    for column in ("sha256", "path", "image_id"):
        assert not any(value.encode() in written for value in world.data.rows.frame[column])


def test_bundle_has_a_page_with_the_figures_of_its_card(linear):
    page = (linear.path / "report.html").read_text("utf-8")
    figures = linear.training.comparison.figures.set_index(["task", "metric"])
    mae = figures.loc[("age", "mae")]
    assert f"{mae['value']:.2f}" in page
    assert f"{mae['low']:.2f} to {mae['high']:.2f}" in page
    titles = re.findall("<h2[^>]*>([^<]*)", page)
    assert "Results" in titles
    assert "Worst mistakes" not in titles  # they name images


def test_page_shows_the_curves_of_training(world, tmp_path):
    run = Run(world.tasks[:1], AGE_GROUPS["ten"], backbone_facts(world.store, world.specs[:1]), 0, "2001-02-03")
    train(world.specs[0], world.tasks[:1], world.data, tmp_path / "bundle", head="dense", run=run)
    page = (tmp_path / "bundle" / "report.html").read_text("utf-8")
    assert "Loss and MAE by round of training" in page


def test_head_that_cannot_learn_a_task_is_refused_and_nothing_is_written(world, tmp_path):
    with pytest.raises(HeadError, match='head "ridge" cannot learn gender: choose dense, shared or linear'):
        train(world.specs[0], world.tasks, world.data, tmp_path / "bundle", head="ridge")
    assert not (tmp_path / "bundle").exists()


def test_place_of_something_else_is_refused_and_left_as_it_was(world, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="choose another place"):
        train(world.specs[0], world.tasks[:1], world.data, tmp_path, head="ridge")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_one_dense_net_for_all_tasks_is_bundled_and_beats_the_dummy(world, tmp_path):
    data = replace(world.data, test=None)
    training = train(world.specs[0], world.tasks[:2], data, tmp_path / "bundle", head="shared")
    bundle = load_bundle(tmp_path / "bundle")
    assert len(bundle.nets) == 1
    predicted = bundle.predict(data.rows.vectors[world.specs[0].fingerprint])
    assert [*predicted] == ["age", "age_low", "age_high", "gender", "gender_proba"]
    age = training.comparison.results.query("task == 'age' and metric == 'mae'")["value"].mean()
    labels = data.rows.labels["age"]
    assert age < 0.7 * mae(labels, np.full(len(labels), np.median(labels)))


@pytest.mark.parametrize("head", ["svm", "knn", "sklearn.svm.LinearSVR", "searched"])
def test_head_that_cannot_go_into_a_bundle_is_refused(world, tmp_path, head):
    with pytest.raises(HeadError, match=f'"{head}" is for comparisons and goes into no bundle'):
        train(world.specs[0], world.tasks, world.data, tmp_path / "bundle", head=head)
    assert not (tmp_path / "bundle").exists()
