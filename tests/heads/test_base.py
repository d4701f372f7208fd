"""The registry of heads, what it does not load, and the rows that no head takes."""

import subprocess
import sys

import numpy as np
import pytest

from heads.base import HEADS, check_rows, head_row, make_head
from heads.net import HeadError
from heads.recipe import Recipe
from tests.heads.faces import AGE, GENDER, make_faces


def test_registry_loads_neither_tensorflow_nor_sklearn():
    code = "import sys, heads.base; print([name for name in ('tensorflow', 'keras', 'sklearn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", HEADS)
def test_every_head_of_the_registry_is_made_for_its_task(name):
    head = make_head(name, (AGE,), seed=5)
    assert type(head).__name__ == HEADS[name].name
    assert vars(head)["seed"] == 5


@pytest.mark.parametrize("name", ["dense", "shared"])
def test_settings_after_the_name_make_the_recipe(name):
    head = make_head(f"{name}:loss=coral,hidden=512x256,dropout=0.3,members=3", (AGE,))
    assert vars(head)["recipe"] == Recipe(loss="coral", hidden=(512, 256), dropout=0.3, members=3)


def test_head_without_settings_has_the_default_recipe():
    assert vars(make_head("dense", (AGE,)))["recipe"] == Recipe()


def test_estimator_is_found_by_its_import_path():
    head = make_head(
        "sklearn.ensemble.ExtraTreesRegressor:n_estimators=20,max_features=None,criterion=squared_error", (AGE,)
    )
    assert (vars(head)["path"], vars(head)["settings"]) == (
        "sklearn.ensemble.ExtraTreesRegressor",
        {"n_estimators": 20, "max_features": None, "criterion": "squared_error"},
    )


def test_only_heads_that_end_as_nets_can_be_bundled():
    assert [name for name, row in HEADS.items() if not row.bundled] == ["searched", "svm", "knn"]
    assert not head_row("sklearn.svm.LinearSVR").bundled


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("forest", 'dense, shared, searched, linear, ridge, svm, knn, dummy, .*; found "forest"'),
        ("searched:seconds=long", 'expected seconds to be a number; found "long"'),
        ("searched:dropout=0.1", 'settings out of seconds, trials for head "searched"; found dropout'),
        ("dense:depth=3", "expected settings out of loss, input, hidden, .*; found depth"),
        ("dense:dropout=much", 'expected dropout to be a number; found "much"'),
        ("dense:hidden=512,256", 'such as dense, or dense:loss=l1,dropout=0.3; found "dense:hidden=512,256"'),
        ("dense:=3", "expected a head such as dense"),
        ("ridge:alpha=3", 'expected no settings for head "ridge"; found alpha'),
        ("sklearn.svm.Nothing", "import path of a scikit-learn estimator; found sklearn.svm.Nothing"),
        ("nowhere.Nothing", "import path of a scikit-learn estimator; found nowhere.Nothing"),
        ("json.dumps", "expected a scikit-learn estimator; found json.dumps, which is none"),
        ("sklearn.svm.SVR:size=3", "expected settings that sklearn.svm.SVR takes; found size"),
        ("sklearn.decomposition.PCA", "expected a classifier or a regressor; found sklearn.decomposition.PCA"),
    ],
)
def test_head_or_setting_that_there_is_not_is_refused_with_those_known(name, message):
    with pytest.raises(HeadError, match=message):
        head_row(name)


def test_task_or_number_of_tasks_that_a_head_cannot_learn_is_refused():
    with pytest.raises(HeadError, match='head "ridge" learns age and number; found task gender'):
        make_head("ridge", (GENDER,))
    with pytest.raises(HeadError, match='head "dense" learns one task; found 2'):
        make_head("dense", (AGE, GENDER))


def test_fold_without_labelled_rows_is_refused():
    faces = make_faces(30)
    y = np.full(30, np.nan)
    y[faces.fold[0]] = 1
    with pytest.raises(HeadError, match="expected validation rows with a label of age; found none"):
        check_rows(faces.X, {"age": y}, faces.fold[:2], np.ones(30))
    with pytest.raises(HeadError, match="expected training rows"):
        check_rows(faces.X, {"age": np.full(30, np.nan)}, faces.fold[:2], np.ones(30))


def test_embeddings_that_are_not_finite_are_refused():
    faces = make_faces(30)
    faces.X[faces.fold[0][0], 0] = np.nan
    with pytest.raises(HeadError, match="expected finite embeddings"):
        check_rows(faces.X, faces.y, faces.fold[:2], np.ones(30))


def test_labels_of_another_length_are_refused():
    faces = make_faces(30)
    with pytest.raises(HeadError, match='expected one label of "age" per row, 30; found 29'):
        check_rows(faces.X, {"age": faces.y["age"][:-1]}, faces.fold[:2], np.ones(30))
