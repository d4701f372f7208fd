"""The registry of heads, what it does not load, and the rows that no head takes."""

import subprocess
import sys

import numpy as np
import pytest

from heads.base import HEADS, check_rows, make_head
from heads.net import HeadError
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


def test_unknown_head_is_refused_with_those_known():
    with pytest.raises(HeadError, match='dense, shared, linear, ridge, dummy; found "forest"'):
        make_head("forest", (AGE,))


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
