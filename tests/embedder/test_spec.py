import dataclasses

import pytest

from data.errors import FingerprintMismatch
from embedder.spec import HASHED, EmbeddingSpec, difference
from tests.fakes import FAKE_SPEC

OTHER_VALUES = {"weights_sha256": "00" * 32, "dim": (13,), "input_size": (64, 64)}


@pytest.mark.parametrize("field", HASHED)
def test_fingerprint_changes_with_everything_that_changes_a_vector(field):
    changed = dataclasses.replace(FAKE_SPEC, **{field: OTHER_VALUES.get(field, "something else")})
    assert changed.fingerprint != FAKE_SPEC.fingerprint


def test_fingerprint_ignores_what_does_not_change_a_vector():
    renamed = dataclasses.replace(FAKE_SPEC, name="other", recorded={"licence": "other", "runtime": "other"})
    assert renamed.fingerprint == FAKE_SPEC.fingerprint


def test_fingerprint_is_the_same_in_every_version_of_the_program():
    # A store outlives the program that wrote it: if this value must change, every store must be extracted again.
    assert FAKE_SPEC.fingerprint == "8e6cbeec5ed45ebd"


def test_spec_survives_json():
    restored = EmbeddingSpec.from_json(FAKE_SPEC.to_json())
    assert restored == FAKE_SPEC
    assert restored.recorded == FAKE_SPEC.recorded


def test_spec_changed_in_its_file_is_refused():
    fields = {**FAKE_SPEC.to_json(), "normalization": "base"}
    with pytest.raises(FingerprintMismatch, match="altered"):
        EmbeddingSpec.from_json(fields)


def test_difference_names_each_field_with_both_values():
    other = dataclasses.replace(FAKE_SPEC, normalization="base", channel_order="BGR", name="other")
    assert difference(FAKE_SPEC, other) == [("channel_order", "RGB", "BGR"), ("normalization", "raw", "base")]
