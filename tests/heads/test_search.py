"""The search: nested, repeatable, bounded, with every trial written down."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from heads import search
from heads.net import HeadError
from heads.recipe import Recipe
from heads.search import SearchedHead, draw_recipe
from tests.heads.faces import AGE, GENDER, HEIGHT, make_faces

RECIPES = [Recipe(hidden=(8,), rounds=2, steps=3, batch_size=64), Recipe(hidden=(24,), rounds=6, batch_size=64)]


@pytest.fixture(scope="module")
def faces():
    return make_faces()


@pytest.fixture(scope="module", autouse=True)
def small():
    """Draw small recipes, the second far better than the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "draw_recipe", lambda task, *, seed, trial: replace(RECIPES[trial % 2], sigma=1 + trial))
        yield


@pytest.fixture(scope="module")
def found(faces, small):
    """Return what three trials find for each of two folds."""
    return searched(faces)


def folds_of(faces):
    train, valid, test = faces.fold
    return [(train[:200], valid, test), (train[200:], test, valid)]


def searched(faces, *, X=None, y=None, folds=None, **options):
    head = SearchedHead(GENDER, **{"trials": 3, **options})
    X, y = faces.X if X is None else X, faces.y["gender"] if y is None else y
    return head.fit_folds(X, y, folds_of(faces) if folds is None else folds)


def table(head):
    return head.trials_.drop(columns="seconds")


def test_best_final_of_each_fold_is_what_predicts(faces, found):
    for head, (_, valid, _) in zip(found, folds_of(faces), strict=True):
        finals = head.trials_[head.trials_["final"]]
        best = finals.loc[finals["validation"].idxmin()]
        assert (best["hidden"], best["sigma"]) == (head.recipe_.hidden, head.recipe_.sigma)
        proba = head.predict_proba(faces.X[valid])[np.arange(len(valid)), faces.y["gender"][valid].astype(int)]
        assert -np.log(proba).mean() == pytest.approx(best["validation"], rel=1e-4)
        assert head.recipe_.hidden == (24,)
        assert len(head.net_.trunk[0].kernel) == Recipe.members


def test_every_trial_of_a_fold_is_in_its_table(found):
    head = found[1]
    screened = head.trials_[~head.trials_["final"]]
    assert screened["trial"].tolist() == [0, 1, 2]
    assert screened["members"].tolist() == [1, 1, 1]
    assert sorted(head.trials_.loc[head.trials_["final"], "trial"]) == [0, 1, 2]
    assert (head.trials_["seconds"] > 0).all()
    assert np.isfinite(head.trials_["validation"]).all()
    assert set(head.trials_["loss"]) == {"dldl"}


def test_same_number_of_trials_gives_the_same_again(faces, found):
    for one, other in zip(found, searched(faces), strict=True):
        assert table(one).equals(table(other))
        np.testing.assert_array_equal(one.predict_proba(faces.X), other.predict_proba(faces.X))


def test_nothing_of_a_fold_depends_on_its_test_rows_or_on_another_fold(faces, found):
    """Every row beyond the first fold's training and validation rows is made nonsense; the second fold goes as well."""
    train, valid, _ = folds_of(faces)[0]
    others = np.setdiff1d(np.arange(len(faces.X)), np.concatenate([train, valid]))
    X, y = faces.X.copy(), faces.y["gender"].copy()
    X[others], y[others] = 50, 1 - y[others]
    alone = searched(faces, X=X, y=y, folds=folds_of(faces)[:1])[0]
    first = found[0]
    assert (table(first)["trial"].tolist(), alone.recipe_) == (table(alone)["trial"].tolist(), first.recipe_)
    np.testing.assert_allclose(table(first)["validation"], table(alone)["validation"], rtol=1e-3)
    np.testing.assert_allclose(first.predict_proba(faces.X[valid]), alone.predict_proba(X[valid]), atol=1e-3)


def test_time_bounds_the_trials_and_one_is_always_done(faces):
    head = searched(faces, trials=None, seconds=0.001)[0]
    assert head.trials_["trial"].tolist() == [0, 0]
    assert head.trials_["final"].tolist() == [False, True]


def test_age_is_judged_in_years(faces):
    head = SearchedHead(AGE, trials=1).fit_folds(faces.X, faces.y["age"], folds_of(faces)[:1])[0]
    valid = faces.fold[1]
    error = np.abs(head.predict(faces.X[valid]) - faces.y["age"][valid]).mean()
    assert head.trials_.loc[head.trials_["final"], "validation"].min() == pytest.approx(error, rel=1e-4)


def test_fit_on_given_rows_is_the_search_of_a_fold(faces):
    train, valid, _ = faces.fold
    y = faces.y["gender"]
    head = SearchedHead(GENDER, trials=1)
    alone = head.fit(faces.X[train], y[train], X_valid=faces.X[valid], y_valid=y[valid])
    of_fold = searched(faces, folds=[faces.fold], trials=1)[0]
    np.testing.assert_allclose(alone.predict_proba(faces.X), of_fold.predict_proba(faces.X), atol=1e-5)
    with pytest.raises(HeadError, match="expected X_valid and y_valid; found none"):
        clone(head).fit(faces.X, y)


@pytest.mark.parametrize("task", [AGE, GENDER, HEIGHT], ids=lambda task: task.name)
def test_recipes_drawn_differ_and_the_first_is_the_default(task):
    drawn = [draw_recipe(task, seed=3, trial=trial) for trial in range(30)]
    assert drawn[0] == Recipe()
    assert len(set(drawn)) == 30
    assert drawn == [draw_recipe(task, seed=3, trial=trial) for trial in range(30)]
    assert draw_recipe(task, seed=4, trial=1) != drawn[1]
    assert {recipe.loss for recipe in drawn} == ({*search.AGE_LOSSES} if task is AGE else {"dldl"})
