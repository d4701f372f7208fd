"""What comes before the first layer, and that folding it in changes nothing."""

import numpy as np
import pytest

from heads import inputs
from heads.inputs import learn_projection, project


@pytest.mark.parametrize("shape", [(5,), (2, 3), (33, 33)])
def test_folded_layer_computes_the_same_from_the_rows_themselves(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, size=(40, *shape)).astype(np.float32)
    projection = learn_projection(X, seed=0)
    Z = projection(X)
    kernel, bias = rng.normal(size=(2, Z.shape[1], 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    folded_kernel, folded_bias = projection.fold(kernel, bias)
    folded = X.reshape(40, -1) @ folded_kernel + folded_bias[:, None]
    np.testing.assert_allclose(folded, Z @ kernel + bias[:, None], atol=0.02)


def test_features_get_mean_zero_and_deviation_one():
    X = np.random.default_rng(0).normal(50, 7, size=(200, 9)).astype(np.float32)
    Z = learn_projection(X, seed=0)(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-4)


def test_raw_rows_are_left_as_they_are():
    X = np.random.default_rng(0).normal(50, 7, size=(20, 9)).astype(np.float32)
    np.testing.assert_array_equal(project(X, None, how="raw")(X), X)


def test_principal_components_keep_their_proportions():
    X = np.random.default_rng(0).normal(size=(60, 33, 33)).astype(np.float32)
    X[:, :10] += 20 * np.random.default_rng(1).normal(size=(60, 1, 1)).astype(np.float32)
    deviation = learn_projection(X, seed=0)(X).std(axis=0)
    assert deviation[0] > 10 * deviation[1]
    np.testing.assert_allclose(np.square(deviation).mean(), 1, rtol=1e-3)


def test_constant_feature_stays_finite():
    X = np.ones((10, 3), dtype=np.float32)
    np.testing.assert_array_equal(learn_projection(X, seed=0)(X), 0)


@pytest.mark.parametrize(("n", "components"), [(5, 5), (40, 10)])
def test_wide_rows_are_reduced_to_at_most_as_many_components_as_rows(monkeypatch, n, components):
    monkeypatch.setattr(inputs, "COMPONENTS", 10)
    X = np.random.default_rng(0).integers(0, 256, size=(n, 33, 33), dtype=np.uint8)
    assert learn_projection(X, seed=0)(X).shape == (n, components)
