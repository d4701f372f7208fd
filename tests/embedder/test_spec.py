import dataclasses
from pathlib import Path

import pytest

from data.errors import FingerprintMismatch
from embedder.preprocess import FITS, NORMALIZATIONS
from embedder.spec import BACKBONES, HASHED, WHOLE, EmbeddingSpec, difference
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


def test_only_an_onnx_file_given_by_hand_is_ones_own():
    row, file = BACKBONES["ArcFace"], Path("net.onnx")
    assert dataclasses.replace(row, weights=file, given=True).own_file == file
    assert dataclasses.replace(row, weights=file).own_file is None
    assert dataclasses.replace(row, weights=file, given=True, runtime="keras").own_file is None


def test_seed_is_told_and_is_none_where_nobody_wrote_it_down():
    assert FAKE_SPEC.seeded is None
    assert dataclasses.replace(FAKE_SPEC, recorded={"seeded": 0}).seeded == 0


@pytest.mark.parametrize("row", BACKBONES.values(), ids=lambda row: row.name)
def test_row_names_things_that_are_there(row):
    assert row.normalization in NORMALIZATIONS
    seen, _, fit = row.crop.partition(", ")
    assert (seen, fit in FITS) == (WHOLE, True)
    assert bool(row.graph) == any(file.endswith(".h5") for file in row.files)
