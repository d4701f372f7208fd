"""The NumPy net: what it computes, what it refuses, and that it survives being taken apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heads.net import ACTIVATIONS, HeadError, Layer, Net, coral, corn, expected_value, gelu, softmax, together


def random_layer(rng, members, n_in, n_out, activation):
    kernel = rng.normal(size=(members, n_in, n_out)).astype(np.float32)
    return Layer(kernel, rng.normal(size=(members, n_out)).astype(np.float32), activation)


def random_net(*, members=2, seed=0):
    rng = np.random.default_rng(seed)
    trunk = (random_layer(rng, members, 6, 5, "gelu"),)
    outputs = {
        "age": random_layer(rng, members, 5, 11, "softmax"),
        "height": random_layer(rng, members, 5, 1, "linear"),
    }
    return Net(trunk, outputs)


def vectors(n=7, seed=1):
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def test_output_is_the_mean_of_the_members_probabilities():
    net, X = random_net(), vectors()
    hidden, last = net.trunk[0], net.outputs["age"]
    each = [softmax(gelu(X @ hidden.kernel[m] + hidden.bias[m]) @ last.kernel[m] + last.bias[m]) for m in range(2)]
    np.testing.assert_allclose(net.predict(X)["age"], np.mean(each, axis=0), rtol=1e-5)


def test_softmax_task_gives_probabilities_and_linear_task_gives_numbers():
    output = random_net().predict(vectors(n=3))
    assert output["age"].shape == (3, 11)
    assert output["height"].shape == (3,)
    np.testing.assert_allclose(output["age"].sum(axis=1), 1, rtol=1e-5)


@given(st.integers(0, 3))
def test_net_survives_arrays_and_json(seed):
    net = random_net(seed=seed)
    arrays, structure = net.to_arrays()
    again = Net.from_arrays(arrays, json.loads(json.dumps(structure)))
    for task, output in net.predict(vectors()).items():
        np.testing.assert_array_equal(again.predict(vectors())[task], output)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_nets_together_give_the_mean_of_what_each_gives():
    one, other = random_net(seed=0), random_net(seed=9)
    outputs, apart = together([one, other]).predict(vectors()), [net.predict(vectors()) for net in (one, other)]
    for task, output in outputs.items():
        np.testing.assert_allclose(output, (apart[0][task] + apart[1][task]) / 2, rtol=1e-5)


def test_pixels_are_flattened_and_rows_beyond_a_block_are_kept():
    net = random_net()
    pixels = np.random.default_rng(0).integers(0, 256, size=(5000, 2, 3), dtype=np.uint8)
    flat = net.predict(pixels.reshape(5000, 6).astype(np.float32))
    np.testing.assert_array_equal(net.predict(pixels)["age"], flat["age"])
    assert len(flat["age"]) == 5000


def test_unit_rows_do_not_depend_on_their_length():
    net = replace(random_net(), normalise=True)
    X = vectors()
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict(7 * X)["age"], random_net().predict(unit)["age"], rtol=1e-4)
    assert np.isfinite(net.predict(np.zeros((1, 6)))["age"]).all()


def test_rows_are_normalised_after_arrays_and_json_and_not_in_nets_of_format_1():
    net = replace(random_net(), normalise=True)
    arrays, structure = net.to_arrays()
    again = Net.from_arrays(arrays, json.loads(json.dumps(structure)))
    np.testing.assert_array_equal(again.predict(vectors())["age"], net.predict(vectors())["age"])
    assert together([net, net]).normalise
    del structure["normalise"]
    older = Net.from_arrays(arrays, structure)
    np.testing.assert_array_equal(older.predict(vectors())["age"], random_net().predict(vectors())["age"])


@pytest.mark.parametrize("activation", ["coral", "corn"])
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_cumulative_logits_give_probabilities_of_years(activation, logits):
    proba = ACTIVATIONS[activation](np.array([logits], dtype=np.float32))
    assert proba.shape == (1, len(logits) + 1)
    assert (proba >= 0).all()
    assert proba.sum() == pytest.approx(1, rel=1e-5)


def test_expected_age_of_cumulative_logits_is_the_sum_of_being_older():
    logits = np.array([[4.0, -1.0, 2.0]], dtype=np.float32)
    older = 1 / (1 + np.exp(-logits))
    assert expected_value(coral(logits), np.arange(4.0)) == pytest.approx(older.sum(), rel=1e-5)
    assert expected_value(corn(logits), np.arange(4.0)) == pytest.approx(older.cumprod().sum(), rel=1e-5)


def test_no_rows_give_no_rows():
    assert random_net().predict(np.zeros((0, 6), dtype=np.float32))["age"].shape == (0, 11)


def test_rows_of_another_size_are_refused():
    with pytest.raises(HeadError, match="expected rows of 6 numbers; found 4"):
        random_net().predict(np.zeros((2, 4)))


def test_missing_or_misshapen_arrays_are_refused():
    arrays, structure = random_net().to_arrays()
    with pytest.raises(HeadError, match=r"outputs\.age\.bias"):
        Net.from_arrays({name: array for name, array in arrays.items() if name != "outputs.age.bias"}, structure)
    with pytest.raises(HeadError, match="expected the arrays of a head"):
        Net.from_arrays(arrays | {"outputs.age.kernel": np.zeros((2, 4, 11), np.float32)}, structure)
    with pytest.raises(HeadError, match="swish"):
        Net.from_arrays(arrays, {**structure, "trunk": ["swish"]})


def test_expected_value_weighs_ages_by_probability():
    proba = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5]], dtype=np.float32)
    np.testing.assert_allclose(expected_value(proba, np.array([10, 20, 40])), [20, 25, 27.5])
