"""Embeddings that are the same up to a turn are alike, and noise is not, however wide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.cka import linear_cka
from heads.net import HeadError


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def by_definition(X, Y):
    """Compute the debiased CKA from the (n, n) kernels, term by term."""
    n = len(X)

    def independence(K, L):
        K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
        one = np.ones(n)
        middle = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
        return (np.trace(K @ L) + middle - 2 * (one @ K @ L @ one) / (n - 2)) / (n * (n - 3))

    K, L = X @ X.T, Y @ Y.T
    return independence(K, L) / np.sqrt(independence(K, K) * independence(L, L))


@pytest.mark.parametrize(("n", "dim"), [(40, 6), (20, 200)])
def test_agrees_with_its_definition(n, dim):
    X = draw(n, dim)
    Y = np.tanh(X @ draw(dim, 9, seed=1)) + 3
    assert linear_cka(X, Y) == pytest.approx(by_definition(X, Y))


@given(st.floats(0.01, 100), st.integers(0, 50))
def test_turned_scaled_and_shifted_embedding_is_the_same(scale, seed):
    X = draw(60, 8, seed=seed)
    turn, _ = np.linalg.qr(draw(8, 8, seed=seed + 1))
    assert linear_cka(X, scale * X @ turn + 5) == pytest.approx(1)


@pytest.mark.parametrize(("n", "dim"), [(2000, 16), (200, 512)])
def test_independent_embeddings_are_near_0_also_where_they_are_wider_than_the_rows_are_many(n, dim):
    values = [linear_cka(draw(n, dim, seed=2 * seed), draw(n, dim, seed=2 * seed + 1)) for seed in range(10)]
    assert abs(np.mean(values)) < 0.01


def test_shared_half_of_the_features_counts_half():
    shared = draw(4000, 8)
    X, Y = (np.hstack([shared, draw(4000, 8, seed=seed)]) for seed in (1, 2))
    assert linear_cka(X, Y) == pytest.approx(0.5, abs=0.03)
    assert linear_cka(X, Y) == pytest.approx(linear_cka(Y, X))


def test_rows_of_any_shape_and_dtype():
    X = draw(30, 4, 3)
    assert linear_cka(X.astype(np.float32), X.reshape(30, 12)) == pytest.approx(1)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 5, 5)).astype(np.uint8)
    assert linear_cka(pixels, pixels.astype(float)) == pytest.approx(1)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (10, 9)])
def test_rows_that_do_not_pair_or_are_too_few_are_refused(n, m):
    with pytest.raises(HeadError, match=f"4 or more common rows; found {n} and {m}"):
        linear_cka(draw(n, 2), draw(m, 2))


def test_embedding_that_is_the_same_for_every_row_is_refused():
    with pytest.raises(HeadError, match="found equal ones"):
        linear_cka(np.ones((10, 3)), draw(10, 3))
