"""The dense heads: that they learn, from their own rows alone, the same each time, and export what they validated."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from heads.dense import DenseHead, SharedDenseHead
from heads.losses import AGE_LOSSES, objective_of
from heads.net import HeadError, Net
from heads.recipe import Recipe
from heads.tasks import Task
from tests.heads.faces import AGE, GENDER, HEIGHT, make_faces

SMALL = Recipe(hidden=(24,), members=2, rounds=6, steps=12, batch_size=64, input_dropout=0.0, dropout=0.1)
YOUNG = Task("young", "young", "class", ("no", "yes"))  # as wide as gender: mixed up, they would fit


@pytest.fixture(scope="module")
def faces():
    return make_faces()


def fit_fold(task, faces, *, y=None, X=None, recipe=SMALL, seed=0, **options):
    y, X = faces.y[task.name] if y is None else y, faces.X if X is None else X
    return DenseHead(task, recipe=recipe, seed=seed).fit_folds(X, y, [faces.fold], **options)[0]


def weights_of(head):
    return np.concatenate([array.ravel() for array in head.net_.to_arrays()[0].values()])


def test_age_is_learned_as_an_expected_value_over_years(faces):
    test = faces.fold[2]
    head = fit_fold(AGE, faces)
    error = np.abs(head.predict(faces.X[test]) - faces.y["age"][test]).mean()
    assert error < 12  # the median is 25 years off
    proba = head.predict_proba(faces.X[test])
    np.testing.assert_allclose(proba @ head.classes_, head.predict(faces.X[test]), rtol=1e-4)


def test_gender_is_learned(faces):
    test = faces.fold[2]
    head = fit_fold(GENDER, faces)
    assert (head.predict(faces.X[test]) == faces.y["gender"][test]).mean() > 0.95
    assert set(head.predict(faces.X[test])) == set(head.classes_)


def test_number_is_learned_in_its_own_unit(faces):
    test = faces.fold[2]
    head = fit_fold(HEIGHT, faces)
    assert np.abs(head.predict(faces.X[test]) - faces.y["height"][test]).mean() < 4  # the mean is 8 cm off
    with pytest.raises(AttributeError, match="has no"):
        head.predict_proba(faces.X)


@pytest.mark.parametrize("task", [AGE, GENDER, HEIGHT], ids=lambda task: task.name)
def test_exported_net_has_the_weights_of_the_best_validation_round(faces, task):
    """The figure in the history, computed by Keras while training, is what NumPy computes from each member's arrays."""
    valid = faces.fold[1]
    head = fit_fold(task, faces)
    for member, best in enumerate(head.history_["valid_loss"].argmin(axis=0)):
        arrays, structure = head.net_.to_arrays()
        alone = Net.from_arrays({name: array[[member]] for name, array in arrays.items()}, structure)
        first = task.metrics[0]
        measured = task.evaluate(faces.y[task.name][valid], alone.predict(faces.X[valid])[task.name])[first]
        assert head.history_[f"{task.name} {first}"][best, member] == pytest.approx(measured, rel=1e-3)


def test_same_seed_gives_the_same_weights_bit_for_bit(faces):
    np.testing.assert_array_equal(weights_of(fit_fold(AGE, faces)), weights_of(fit_fold(AGE, faces)))


def test_another_seed_gives_other_weights(faces):
    assert not np.array_equal(weights_of(fit_fold(AGE, faces)), weights_of(fit_fold(AGE, faces, seed=1)))


def test_members_differ(faces):
    kernel = fit_fold(GENDER, faces).net_.trunk[0].kernel
    assert not np.array_equal(kernel[0], kernel[1])


def test_test_rows_leave_no_trace(faces):
    test = faces.fold[2]
    X, y = faces.X.copy(), faces.y["age"].copy()
    X[test], y[test] = 1e6, 0
    np.testing.assert_array_equal(weights_of(fit_fold(AGE, faces)), weights_of(fit_fold(AGE, faces, X=X, y=y)))


def test_a_fold_does_not_depend_on_the_rows_of_another(faces):
    train, valid, test = faces.fold
    folds = [(train[:200], valid[:30], test), (train[200:400], valid[30:], test)]
    X = faces.X.copy()
    X[folds[1][0]] = 0
    head = DenseHead(GENDER, recipe=SMALL)
    first, second = (head.fit_folds(each, faces.y["gender"], folds) for each in (faces.X, X))
    np.testing.assert_array_equal(weights_of(first[0]), weights_of(second[0]))
    assert not np.array_equal(weights_of(first[1]), weights_of(second[1]))


def test_rows_without_a_label_leave_no_trace(faces):
    unlabelled = faces.fold[0][:100]
    y, X = faces.y["age"].copy(), faces.X.copy()
    y[unlabelled] = np.nan
    X[unlabelled] = 1e6
    np.testing.assert_array_equal(weights_of(fit_fold(AGE, faces, y=y)), weights_of(fit_fold(AGE, faces, X=X, y=y)))


def test_row_of_weight_zero_teaches_nothing(faces):
    train, _, test = faces.fold
    y, weight = faces.y["gender"].copy(), np.ones(len(faces.X))
    wrong = train[: len(train) * 6 // 10]
    y[wrong], weight[wrong] = 1 - y[wrong], 0
    head = fit_fold(GENDER, faces, y=y, sample_weight=weight)
    assert (head.predict(faces.X[test]) == faces.y["gender"][test]).mean() > 0.9


def test_weights_are_of_each_fold_and_rows_of_weight_zero_are_not_even_looked_at(faces):
    train, valid, test = faces.fold
    X = faces.X.copy()
    X[train[:200]] = 1e6
    weights = np.ones((2, len(X)))
    weights[0, train[:200]] = 0
    head = DenseHead(GENDER, recipe=SMALL)
    weighted, plain = head.fit_folds(X, faces.y["gender"], [faces.fold] * 2, sample_weight=weights)
    dropped = head.fit_folds(X, faces.y["gender"], [(train[200:], valid, test), faces.fold])
    np.testing.assert_array_equal(weights_of(weighted), weights_of(dropped[0]))
    np.testing.assert_array_equal(weights_of(plain), weights_of(dropped[1]))


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((3, 600)), np.full(600, -1.0), np.full(600, np.nan)])
def test_weights_of_another_shape_or_below_zero_are_refused(faces, wrong):
    with pytest.raises(HeadError, match=r"expected weights of shape|expected finite weights"):
        fit_fold(GENDER, faces, sample_weight=wrong)


def test_seeds_trained_together_are_those_trained_alone(faces):
    head = DenseHead(GENDER, recipe=SMALL)
    together = head.fit_folds(faces.X, faces.y["gender"], [faces.fold] * 2, seeds=[3, 4])
    assert [each.seed for each in together] == [3, 4]
    for each in together:
        np.testing.assert_allclose(weights_of(each), weights_of(fit_fold(GENDER, faces, seed=each.seed)), atol=1e-5)
    assert not np.allclose(weights_of(together[0]), weights_of(together[1]), atol=1e-2)


def test_another_number_of_seeds_than_folds_is_refused(faces):
    with pytest.raises(HeadError, match="expected one seed per fold, 1; found 2"):
        fit_fold(GENDER, faces, seeds=[0, 1])


@pytest.mark.parametrize("loss", AGE_LOSSES)
def test_every_age_loss_learns_and_its_net_is_what_was_validated(faces, loss):
    test, valid = faces.fold[2], faces.fold[1]
    recipe = replace(SMALL, loss=loss, members=1, rounds=12, learning_rate=0.03)
    head = fit_fold(AGE, faces, recipe=recipe)
    assert np.abs(head.predict(faces.X[test]) - faces.y["age"][test]).mean() < 15  # the median is 25 years off
    by_metric = objective_of(AGE, recipe).by_metric
    best = head.history_["age mae" if by_metric else "valid_loss"].argmin()
    assert by_metric == (loss in ("crossentropy", "corn"))
    measured = np.abs(head.predict(faces.X[valid]) - faces.y["age"][valid]).mean()
    assert head.history_["age mae"][best, 0] == pytest.approx(measured, rel=1e-3)
    output = head.net_.predict(faces.X[test])["age"]
    if output.ndim == 2:
        assert (output >= 0).all()
        np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-4)
        assert output.shape == (len(test), 101)


@pytest.mark.parametrize("hidden", [(), (16, 8)])
def test_depth_is_any(faces, hidden):
    head = fit_fold(GENDER, faces, recipe=replace(SMALL, hidden=hidden, learning_rate=0.03))
    assert [layer.kernel.shape[2] for layer in head.net_.trunk] == [*hidden]
    assert (head.predict(faces.X[faces.fold[2]]) == faces.y["gender"][faces.fold[2]]).mean() > 0.9


@pytest.mark.parametrize(("how", "alike"), [("l2", True), ("raw", False), ("standard", False)])
def test_unit_rows_are_alike_however_long(faces, how, alike):
    head = fit_fold(GENDER, faces, recipe=replace(SMALL, input=how))
    assert (head.predict(faces.X[faces.fold[2]]) == faces.y["gender"][faces.fold[2]]).mean() > 0.9
    first, longer = head.predict_proba(faces.X), head.predict_proba(3 * faces.X)
    assert np.allclose(first, longer, atol=1e-5) == alike


def test_net_stops_when_validation_gets_no_better(faces):
    """With validation labels turned round, learning makes the loss worse from the first rounds on."""
    y = faces.y["gender"].copy()
    y[faces.fold[1]] = 1 - y[faces.fold[1]]
    recipe = Recipe(hidden=(24,), members=1, rounds=12, steps=12, batch_size=64, patience=2)
    history = fit_fold(GENDER, faces, y=y, recipe=recipe).history_["valid_loss"]
    assert len(history) == history.argmin() + 1 + 2
    assert len(history) < 12


def test_fit_on_given_rows_is_the_fit_of_a_fold(faces):
    train, valid, _ = faces.fold
    y = faces.y["age"]
    head = DenseHead(AGE, recipe=SMALL).fit(faces.X[train], y[train], X_valid=faces.X[valid], y_valid=y[valid])
    assert head.n_features_in_ == 16
    np.testing.assert_array_equal(weights_of(head), weights_of(fit_fold(AGE, faces)))


def test_fit_without_validation_rows_is_refused(faces):
    with pytest.raises(HeadError, match="expected X_valid and y_valid; found none"):
        DenseHead(GENDER).fit(faces.X, faces.y["gender"])
    with pytest.raises(HeadError, match="expected X_valid and y_valid; found none"):
        SharedDenseHead((GENDER,)).fit(faces.X, faces.y)


def test_head_can_be_cloned_unfitted(faces):
    head = fit_fold(GENDER, faces, seed=3)
    copy = clone(head)
    assert (copy.task, copy.recipe, copy.seed) == (GENDER, SMALL, 3)
    assert not hasattr(copy, "net_")


def test_pixels_are_reduced_and_the_net_still_takes_pixels():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300).astype(np.float64)
    pixels = rng.integers(0, 60, size=(300, 40, 40), dtype=np.uint8)  # 1,600 numbers: more than heads train on
    pixels[y == 1, :20] += 60
    rows = np.arange(300)
    head = DenseHead(GENDER, recipe=SMALL).fit_folds(pixels, y, [(rows[:200], rows[200:240], rows[240:])])[0]
    assert head.net_.trunk[0].kernel.shape == (2, 1600, 24)
    assert (head.predict(pixels[240:]) == y[240:]).mean() > 0.95


def test_shared_head_learns_all_tasks_from_the_labels_each_row_has(faces):
    train, _, test = faces.fold
    y = {name: labels.copy() for name, labels in faces.y.items()}
    y["young"] = (faces.y["age"] < 40).astype(np.float64)
    y["gender"][train[:100]], y["age"][train[100:200]] = np.nan, np.nan
    head = SharedDenseHead((HEIGHT, YOUNG, GENDER, AGE), recipe=SMALL).fit_folds(faces.X, y, [faces.fold])[0]
    predicted = head.predict(faces.X[test])
    assert np.abs(predicted["age"] - faces.y["age"][test]).mean() < 15
    assert (predicted["gender"] == faces.y["gender"][test]).mean() > 0.9
    assert (predicted["young"] == y["young"][test]).mean() > 0.9
    assert np.abs(predicted["height"] - faces.y["height"][test]).mean() < 5
    assert {name: proba.shape for name, proba in head.predict_proba(faces.X[test]).items()} == {
        "age": (len(test), 101),
        "gender": (len(test), 2),
        "young": (len(test), 2),
    }
    assert set(head.history_) == {
        "train_loss",
        "valid_loss",
        "age mae",
        "gender accuracy",
        "height mae",
        "young accuracy",
    }
