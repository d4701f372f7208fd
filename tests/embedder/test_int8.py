"""Embeddings of two calibrations are not mixed in a store."""

import dataclasses

import pytest

from data.errors import FingerprintMismatch
from embedder.int8 import require_one_int8
from tests.fakes import FAKE_SPEC


def in_precision(precision, **changes):
    return dataclasses.replace(FAKE_SPEC, precision=precision, **changes)


def test_other_calibration_of_the_same_backbone_is_refused():
    with pytest.raises(FingerprintMismatch, match=r"store holds fake in int8 nncf aa, the model here is int8 nncf bb"):
        require_one_int8(in_precision("int8 nncf bb"), [FAKE_SPEC, in_precision("int8 nncf aa")])


@pytest.mark.parametrize(
    "held",
    [
        in_precision("int8 nncf bb"),
        in_precision("fp32"),
        in_precision("fp16"),
        in_precision("int8 nncf aa", crop="central 80%, letterbox, bilinear"),
        in_precision("int8 nncf aa", weights_sha256="bb" * 32),
    ],
)
def test_what_is_the_same_or_another_backbone_is_no_obstacle(held):
    require_one_int8(in_precision("int8 nncf bb"), [held])
    require_one_int8(in_precision("fp32"), [held])
