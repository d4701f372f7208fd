"""Linear probes against scikit-learn's own predictions, and dummies against plain statistics."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from heads import linear
from heads.linear import DummyHead, LinearHead, RidgeHead
from heads.net import HeadError
from heads.tasks import Task
from tests.heads.faces import AGE, GENDER, HEIGHT, make_faces


@pytest.fixture(scope="module")
def faces():
    return make_faces()


def fit_fold(head, faces, y=None):
    return head.fit_folds(faces.X, faces.y[head.task.name] if y is None else y, [faces.fold])[0]


def test_folded_ridge_predicts_what_sklearn_does(faces, monkeypatch):
    monkeypatch.setattr(linear, "RIDGE_ALPHAS", (10.0,))
    train, _, test = faces.fold
    scaler = StandardScaler().fit(faces.X[train])
    oracle = Ridge(alpha=10.0).fit(scaler.transform(faces.X[train]), faces.y["age"][train])
    predicted = fit_fold(RidgeHead(AGE), faces).predict(faces.X[test])
    np.testing.assert_allclose(predicted, oracle.predict(scaler.transform(faces.X[test])), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_folded_logistic_regression_predicts_what_sklearn_does(faces, monkeypatch, n_classes):
    monkeypatch.setattr(linear, "CLASS_CS", (0.1,))
    train, _, test = faces.fold
    y = (faces.y["age"] * n_classes // 100.001).astype(np.float64)
    task = Task("group", "group", "class", tuple("abc"[:n_classes]))
    scaler = StandardScaler().fit(faces.X[train])
    oracle = LogisticRegression(C=0.1).fit(scaler.transform(faces.X[train]), y[train])
    proba = fit_fold(LinearHead(task), faces, y).predict_proba(faces.X[test])
    np.testing.assert_allclose(proba, oracle.predict_proba(scaler.transform(faces.X[test])), atol=2e-3)


def test_strength_is_chosen_by_the_validation_rows(faces, monkeypatch):
    monkeypatch.setattr(linear, "RIDGE_ALPHAS", (1e7, 1.0, 1e6))
    valid = faces.fold[1]
    chosen = fit_fold(RidgeHead(HEIGHT), faces).predict(faces.X[valid])
    monkeypatch.setattr(linear, "RIDGE_ALPHAS", (1.0,))
    np.testing.assert_array_equal(chosen, fit_fold(RidgeHead(HEIGHT), faces).predict(faces.X[valid]))


def test_linear_age_is_an_expected_value_over_years(faces):
    test = faces.fold[2]
    head = fit_fold(LinearHead(AGE), faces)
    assert np.abs(head.predict(faces.X[test]) - faces.y["age"][test]).mean() < 12  # the median is 25 years off
    np.testing.assert_allclose(head.predict_proba(faces.X[test]).sum(axis=1), 1, rtol=1e-5)


def test_class_without_training_rows_is_never_predicted(faces):
    y = faces.y["gender"] * 2  # of three classes, the middle one has no rows
    head = fit_fold(LinearHead(Task("group", "group", "class", ("a", "b", "c"))), faces, y)
    assert (head.predict_proba(faces.X)[:, 1] == 0).all()
    assert (head.predict(faces.X) == y).mean() > 0.95


def test_weights_and_seeds_are_of_each_fold(faces):
    train, valid, test = faces.fold
    weights = np.ones((2, len(faces.X)))
    weights[0, train[:200]] = 0
    head, y = RidgeHead(AGE), faces.y["age"]
    weighted, plain = head.fit_folds(faces.X, y, [faces.fold] * 2, seeds=[3, 4], sample_weight=weights)
    assert (weighted.seed, plain.seed) == (3, 4)
    fewer = head.fit_folds(faces.X, y, [(train[200:], valid, test)])[0]
    np.testing.assert_array_equal(weighted.predict(faces.X), fewer.predict(faces.X))
    np.testing.assert_array_equal(plain.predict(faces.X), fit_fold(head, faces).predict(faces.X))


def test_single_class_in_the_training_rows_is_refused(faces):
    with pytest.raises(HeadError, match="expected two or more classes among the training rows"):
        fit_fold(LinearHead(GENDER), faces, np.zeros(len(faces.X)))


def test_linear_number_is_a_regression_without_classes(faces):
    test = faces.fold[2]
    head = fit_fold(LinearHead(HEIGHT), faces)
    assert np.abs(head.predict(faces.X[test]) - faces.y["height"][test]).mean() < 2
    with pytest.raises(AttributeError, match="has no"):
        _ = head.classes_


def test_ridge_on_age_has_no_probabilities(faces):
    with pytest.raises(AttributeError, match="has no"):
        fit_fold(RidgeHead(AGE), faces).predict_proba(faces.X)


def test_dummy_says_the_median_age_of_the_training_rows_between_years_too(faces):
    y = faces.y["age"].copy()
    y[faces.fold[0]] = 30.25
    np.testing.assert_allclose(fit_fold(DummyHead(AGE), faces, y).predict(faces.X[:3]), 30.25, rtol=1e-5)


def test_dummy_says_the_median_number_and_the_class_frequencies(faces):
    train = faces.fold[0]
    np.testing.assert_allclose(
        fit_fold(DummyHead(HEIGHT), faces).predict(faces.X[:3]), np.median(faces.y["height"][train]), rtol=1e-5
    )
    share = faces.y["gender"][train].mean()
    proba = fit_fold(DummyHead(GENDER), faces).predict_proba(faces.X[:3])
    np.testing.assert_allclose(proba, [[1 - share, share]] * 3, rtol=1e-5)


@pytest.mark.parametrize(
    "head", [LinearHead(GENDER), RidgeHead(AGE), DummyHead(GENDER)], ids=lambda h: type(h).__name__
)
def test_test_rows_leave_no_trace(faces, head):
    test = faces.fold[2]
    X, y = faces.X.copy(), faces.y[head.task.name].copy()
    X[test], y[test] = 1e6, 0
    seen, unseen = (head.fit_folds(a, b, [faces.fold])[0].net_ for a, b in ((faces.X, faces.y[head.task.name]), (X, y)))
    np.testing.assert_array_equal(seen.outputs[head.task.name].kernel, unseen.outputs[head.task.name].kernel)
    np.testing.assert_array_equal(seen.outputs[head.task.name].bias, unseen.outputs[head.task.name].bias)


def test_fit_on_given_rows_is_the_fit_of_a_fold(faces):
    train, valid, _ = faces.fold
    y = faces.y["gender"]
    head = LinearHead(GENDER).fit(faces.X[train], y[train], X_valid=faces.X[valid], y_valid=y[valid])
    np.testing.assert_array_equal(
        head.predict_proba(faces.X), fit_fold(LinearHead(GENDER), faces).predict_proba(faces.X)
    )


def test_fit_without_validation_rows_is_refused(faces):
    with pytest.raises(HeadError, match="expected X_valid and y_valid; found none"):
        LinearHead(GENDER).fit(faces.X, faces.y["gender"])


def test_stopping_early_warns_in_no_thread(faces, recwarn, monkeypatch):
    monkeypatch.setattr(linear, "AGE_ITERATIONS", 2)
    LinearHead(AGE).fit_folds(faces.X, faces.y["age"], [faces.fold] * 4)
    assert not recwarn.list
