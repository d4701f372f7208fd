"""Heads of scikit-learn's own kind: the same numbers as scikit-learn, chosen on validation rows, never in a bundle."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from heads import peers
from heads.base import make_head
from heads.cell import TEST, cells_of
from heads.compare import compare
from heads.net import HeadError
from heads.peers import EstimatorHead, NeighboursHead, SVMHead
from heads.tasks import Task
from tests.heads.faces import AGE, GENDER, HEIGHT, make_faces

TREES = "sklearn.ensemble.ExtraTreesRegressor"

each_peer = pytest.mark.parametrize("head_class", [SVMHead, NeighboursHead])


@pytest.fixture(scope="module")
def faces():
    return make_faces()


def fit_fold(head, faces, y=None, **options):
    return head.fit_folds(faces.X, faces.y[head.task.name] if y is None else y, [faces.fold], **options)[0]


def standardised(faces):
    train, _, test = faces.fold
    scaler = StandardScaler().fit(faces.X[train])
    return scaler.transform(faces.X[train]), faces.y["age"][train], scaler.transform(faces.X[test])


@each_peer
def test_age_number_and_class_are_learned(head_class, faces):
    test = faces.fold[2]
    age, gender, height = (fit_fold(head_class(task), faces) for task in (AGE, GENDER, HEIGHT))
    assert np.abs(age.predict(faces.X[test]) - faces.y["age"][test]).mean() < 12  # the median is 25 years off
    assert np.abs(height.predict(faces.X[test]) - faces.y["height"][test]).mean() < 4  # the mean is 8 cm off
    assert (gender.predict(faces.X[test]) == faces.y["gender"][test]).mean() > 0.95
    assert gender.n_features_in_ == 16


@each_peer
def test_classes_have_probabilities_and_ages_have_none(head_class, faces):
    proba = fit_fold(head_class(GENDER), faces).predict_proba(faces.X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(AttributeError, match="has no"):
        fit_fold(head_class(AGE), faces).predict_proba(faces.X)


def test_svm_is_sklearns_own_in_deviations_of_the_labels(faces, monkeypatch):
    monkeypatch.setattr(peers, "SVM_CS", (3.0,))
    Z, y, Z_test = standardised(faces)
    oracle = SVR(C=3.0, epsilon=peers.SVM_EPSILON).fit(Z, y / y.std())
    predicted = fit_fold(SVMHead(AGE), faces).predict(faces.X[faces.fold[2]])
    np.testing.assert_allclose(predicted, oracle.predict(Z_test) * y.std(), atol=0.1)


def test_neighbours_are_sklearns_own(faces, monkeypatch):
    monkeypatch.setattr(peers, "NEIGHBOURS", (5,))
    Z, y, Z_test = standardised(faces)
    oracle = KNeighborsRegressor(5, weights="distance").fit(Z, y)
    predicted = fit_fold(NeighboursHead(AGE), faces).predict(faces.X[faces.fold[2]])
    np.testing.assert_allclose(predicted, oracle.predict(Z_test), rtol=1e-3)


def test_candidate_is_chosen_by_the_validation_rows(faces, monkeypatch):
    monkeypatch.setattr(peers, "NEIGHBOURS", (400, 5, 300))
    chosen = fit_fold(NeighboursHead(AGE), faces).predict(faces.X)
    monkeypatch.setattr(peers, "NEIGHBOURS", (5,))
    np.testing.assert_array_equal(chosen, fit_fold(NeighboursHead(AGE), faces).predict(faces.X))


def test_any_estimator_is_fitted_with_its_settings_and_seed(faces):
    Z, y, Z_test = standardised(faces)
    oracle = ExtraTreesRegressor(n_estimators=10, random_state=4).fit(Z, y)
    predicted = fit_fold(make_head(f"{TREES}:n_estimators=10", (AGE,), seed=4), faces).predict(faces.X[faces.fold[2]])
    np.testing.assert_allclose(predicted, oracle.predict(Z_test), rtol=0.2)  # a threshold may fall between equal rows
    assert np.abs(predicted - oracle.predict(Z_test)).mean() < 0.5


def test_test_rows_leave_no_trace(faces):
    test, X, y = faces.fold[2], faces.X.copy(), faces.y["age"].copy()
    X[test], y[test] = 1e6, 0
    changed = SVMHead(AGE).fit_folds(X, y, [faces.fold])[0]
    np.testing.assert_array_equal(changed.predict(faces.X), fit_fold(SVMHead(AGE), faces).predict(faces.X))


def test_class_without_training_rows_is_never_predicted(faces):
    task = Task("group", "group", "class", ("a", "b", "c"))
    proba = fit_fold(SVMHead(task), faces, faces.y["gender"] * 2).predict_proba(faces.X)
    assert proba.shape == (len(faces.X), 3)
    assert (proba[:, 1] == 0).all()


def test_weights_reach_the_estimator_or_are_refused(faces):
    y, weight = faces.y["gender"].copy(), np.ones(len(faces.X))
    light = faces.fold[0][:250]
    y[light], weight[light] = 1 - y[light], 1e-6
    head = fit_fold(SVMHead(GENDER), faces, y, sample_weight=weight)
    assert (head.predict(faces.X[faces.fold[2]]) == faces.y["gender"][faces.fold[2]]).mean() > 0.9
    with pytest.raises(HeadError, match="KNeighborsClassifier knows nothing"):
        fit_fold(NeighboursHead(GENDER), faces, sample_weight=weight)


def test_estimator_of_another_kind_of_task_is_refused():
    with pytest.raises(HeadError, match=f'head "{TREES}" learns age and number; found task gender'):
        make_head(TREES, (GENDER,))


def test_head_can_be_cloned_unfitted():
    copy = clone(EstimatorHead(AGE, path=TREES, settings={"n_estimators": 3}, seed=2))
    assert (copy.path, copy.settings, copy.seed) == (TREES, {"n_estimators": 3}, 2)


def test_comparison_takes_peers_beside_our_heads(world, tmp_path):
    cells = cells_of(world.specs[:1], ["knn"], world.tasks)
    comparison = compare(cells, world.data, tmp_path)
    knn = comparison.results.query("head == 'knn'")
    assert set(knn["task"]) == {"age", "gender", "height"}
    assert set(knn["fold"]) == {"0", "1", "2", TEST}
    assert knn["value"].notna().all()
    own = comparison.predictions.query(f"head == 'knn' and task == 'age' and fold == '{TEST}'")
    folds = [world.data.split.indices(fold) for fold in range(3)]
    X, y = world.data.rows.vectors[world.specs[0].fingerprint], world.data.rows.labels["age"]
    X_test = world.data.test.vectors[world.specs[0].fingerprint]
    each = [head.predict(X_test) for head in NeighboursHead(world.tasks[0]).fit_folds(X, y, folds)]
    np.testing.assert_allclose(own["predicted"], np.mean(each, axis=0), rtol=1e-5)
