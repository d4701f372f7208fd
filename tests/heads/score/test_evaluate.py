"""Scores against labels: the figures of `compare`, whatever way they are come by."""

import numpy as np
import pandas as pd
import pytest

from data.manifest import Manifest, write_manifest
from data.sources import list_sources
from heads.dataset import SplitPlan, make_dataset
from heads.score.evaluate import EvaluateError, evaluate, evaluation_lines, read_labels
from heads.score.outputs import Table, read_table
from heads.score.rows import Scorer
from heads.train import train
from tests.fakes import fake_backbone
from tests.heads.score.scoring import scored, write


@pytest.fixture(scope="module")
def held_out(world, tmp_path_factory):
    """Return what `train` said of the test rows of a holdout, its bundle, and the manifest of those rows alone."""
    place = tmp_path_factory.mktemp("held out")
    frame = pd.concat([world.manifest.frame, world.test.frame.assign(image_id=lambda f: "t" + f["image_id"])])
    manifest = Manifest(frame.reset_index(drop=True))
    data = make_dataset(manifest, world.store, [world.specs[0]], world.tasks, plan=SplitPlan(folds=1))
    training = train(world.specs[0], world.tasks, data, place / "bundle", head="linear")
    _, _, test = data.split.indices(0)
    ids = set(data.rows.frame["image_id"].iloc[test])
    own = manifest.frame[manifest.frame["image_id"].isin(ids)]
    write_manifest(Manifest(own), place / "test.csv")
    return training, str(place / "test.csv"), world.tasks


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_figures_of_held_out_rows_are_those_of_compare(held_out, tmp_path, suffix):
    training, source, tasks = held_out
    images, _ = list_sources([source])
    rows = scored(images, training.bundle, fake_backbone())
    write(rows, tmp_path / f"out{suffix}")
    table = Table(suffix[1:], Scorer(training.bundle, fake_backbone()).columns)
    found = evaluate(read_table(tmp_path / f"out{suffix}", table), read_labels([source], images), tasks)
    assert found.left_out == 0
    ours = found.figures[found.figures["of"] == ""].set_index(["task", "metric"])["value"]
    theirs = training.comparison.figures.query("head == 'linear'").set_index(["task", "metric"])["value"]
    shared = ours.index.intersection(theirs.index)
    assert {"mae", "cs5", "bias", "balanced_mae", "accuracy", "balanced_accuracy", "macro_f1"} <= {m for _, m in shared}
    np.testing.assert_allclose(ours[shared], theirs[shared], atol=1e-4)


def tables(n: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and labels: ages three too high for women and right for men."""
    names = [f"{number}.png" for number in range(n)]
    ages = np.arange(n, dtype=float)
    gender = np.where(np.arange(n) % 2, "female", "male")
    labels = pd.DataFrame({"image_id": names, "age": ages, "gender": gender}, index=pd.Index(names))
    rows = pd.DataFrame({"path": names, "sha256": names, "face": 1, "status": "ok", "reason": ""})
    rows["age"] = ages + 3 * (gender == "female")
    rows["age_low"], rows["age_high"] = rows["age"] - 1, rows["age"] + 1
    rows["gender"], rows["gender_proba"] = "male", 0.75
    return rows, labels


def test_groups_of_people_have_figures_of_their_own(world):
    rows, labels = tables()
    found = evaluate([rows[:13], rows[13:]], labels, world.tasks)
    mae = found.figures.query("task == 'age' and metric == 'mae'").set_index(["of", "group"])
    assert mae.loc[("", ""), ["value", "n"]].tolist() == [1.5, 40]
    assert mae.loc[("gender", "male"), "value"] == 0
    assert mae.loc[("gender", "female"), ["value", "n"]].tolist() == [3, 20]
    assert ("age_group", "Adult") in mae.index
    assert ("age_group", "Baby") not in mae.index  # too few
    coverage = found.figures.query("metric == 'coverage' and of == 'gender'").set_index("group")["value"]
    assert coverage.to_dict() == {"male": 1, "female": 0}
    lines = [*evaluation_lines(found)]
    assert lines[0].startswith("age, 40 images: MAE 1.50 [")
    assert "  female, 20: 3.00 [3.00, 3.00]" in lines
    assert any(line.startswith("gender, 40 images: accuracy 50.0%") for line in lines)


def test_first_face_counts_and_images_without_a_score_are_counted(world):
    rows, labels = tables()
    second = rows.assign(face=2, age=99.0)
    both = pd.concat([rows, second]).sort_values(["path", "face"], kind="stable")
    both.loc[both["path"] == "7.png", "status"] = "no_face"
    found = evaluate([both], labels, world.tasks)
    assert found.left_out == 1
    assert found.figures.query("metric == 'mae' and of == ''")[["value", "n"]].iloc[0].tolist() == [57 / 39, 39]


def test_ages_that_were_not_given_are_left_out_of_ages_alone(world):
    rows, labels = tables()
    rows.loc[rows["gender"].index % 2 == 1, ["age", "age_low", "age_high"]] = np.nan
    figures = evaluate([rows], labels, world.tasks).figures.query("of == ''").set_index("metric")
    assert figures.loc["mae", ["value", "n"]].tolist() == [0, 20]
    assert figures.loc["accuracy", "n"] == 40


def test_names_of_utkface_tell_labels():
    images = pd.DataFrame({"image_id": ["a/30_1_2_2017.jpg.chip.jpg", "b.jpg"]})
    labels = read_labels(["faces"], images)
    assert labels["age"].tolist()[0] == 30
    assert labels["gender"].tolist()[0] == "female"
    assert labels["age"].isna().tolist() == [False, True]


def test_images_without_labels_are_refused():
    with pytest.raises(EvaluateError, match="no image has any: score a manifest"):
        read_labels(["faces"], pd.DataFrame({"image_id": ["a.jpg"]}))


def test_scores_without_any_label_in_common_are_refused(world):
    rows, labels = tables()
    with pytest.raises(EvaluateError, match="no image with both a score and a label"):
        evaluate([rows.assign(status="no_face")], labels, world.tasks)
