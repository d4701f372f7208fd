"""Our heads are scikit-learn estimators, as far as what never makes its own validation rows can be one."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from heads.base import HEADS, make_head
from heads.linear import RidgeHead
from heads.recipe import Recipe
from tests.heads.faces import AGE, GENDER, HEIGHT, make_faces

each_head = pytest.mark.parametrize("name", HEADS)
QUICK = {"recipe": Recipe(hidden=(8,), rounds=2, steps=3, batch_size=64), "trials": 1}


def quick_head(name, task=AGE, seed=3):
    head = make_head(name, (task,), seed=seed)
    return head.set_params(**{key: value for key, value in QUICK.items() if key in head.get_params()})


def fit(head, X, y):
    """Fit on 60 rows, with 30 to validate; a shared head takes its labels by task."""
    labels = y if hasattr(head, "task") else {AGE.name: y}
    if isinstance(labels, dict):
        train, valid = ({name: each[rows] for name, each in labels.items()} for rows in (slice(60), slice(60, 90)))
    else:
        train, valid = labels[:60], labels[60:90]
    return head.fit(X[:60], train, X_valid=X[60:90], y_valid=valid)


def predicted(head, X):
    found = head.predict(X)
    return found[AGE.name] if isinstance(found, dict) else found


@each_head
def test_parameters_survive_get_set_and_clone(name):
    head = quick_head(name)
    params = head.get_params()
    assert clone(head).get_params() == params
    assert head.set_params(seed=9).get_params() == {**params, "seed": 9}
    assert not [attribute for attribute in vars(head) if attribute.endswith("_")]


@each_head
def test_unfitted_head_says_so(name):
    head = quick_head(name)
    with pytest.raises(NotFittedError):
        head.predict(make_faces(30).X)
    with pytest.raises(NotFittedError):
        head.n_features_in_  # noqa: B018 - reading it is the test


@each_head
def test_fitted_head_is_itself_and_fitted_again_the_same(name):
    faces, head = make_faces(100), quick_head(name)
    assert fit(head, faces.X, faces.y["age"]) is head
    assert head.n_features_in_ == 16
    first = predicted(head, faces.X)
    np.testing.assert_array_equal(predicted(fit(head, faces.X, faces.y["age"]), faces.X), first)
    assert head.get_params()["seed"] == 3


@each_head
def test_a_single_feature_is_enough(name):
    faces, head = make_faces(100), quick_head(name)
    fit(head, faces.X[:, :1], faces.y["age"])
    assert head.n_features_in_ == 1
    assert np.isfinite(predicted(head, faces.X[:, :1])).all()


@pytest.mark.parametrize(("task", "has"), [(GENDER, True), (HEIGHT, False)], ids=["class", "number"])
def test_probabilities_are_there_for_classes_alone(task, has):
    faces, head = make_faces(100), quick_head("linear", task)
    assert hasattr(head, "predict_proba") == has
    fit(head, faces.X, faces.y[task.name])
    assert hasattr(head, "predict_proba") == hasattr(head, "classes_") == has


# ---- scikit-learn's own checks, of the one head that learns as they expect: numbers, by a linear model


class Ridge(RidgeHead):
    """Ridge with what the checks cannot give: a task, and validation rows, here the training rows."""

    def __init__(self, task=HEIGHT, *, seed=0):
        super().__init__(task, seed=seed)

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight, X_valid=X, y_valid=y)


NOT_FOR_HEADS = {
    "check_parameters_default_constructible": "a head has a task, which no default can be",
    "check_sample_weights_shape": "weights may be (folds, n), so two dimensions can be right",
    "check_sample_weights_not_an_array": "rows come from the store, as arrays",
    "check_complex_data": "no backbone gives complex numbers",
    "check_estimator_sparse_array": "embeddings are dense",
    "check_estimator_sparse_matrix": "embeddings are dense",
    "check_estimators_nan_inf": "predict looks at no row twice: the store refuses what is not finite",
    "check_fit1d": "rows may have any shape, so one number per row is one feature",
    "check_fit2d_predict1d": "the same",
    "check_n_features_in_after_fitting": "the message says which backbone's embeddings are wanted instead",
    "check_methods_sample_order_invariance": "float32 gives the seventh digit",
    "check_sample_weight_equivalence_on_dense_data": "standardisation counts rows, not weights",
}


@parametrize_with_checks([Ridge()], expected_failed_checks=lambda head: NOT_FOR_HEADS)
def test_ridge_head_passes_the_checks_of_sklearn(estimator, check):
    check(estimator)
