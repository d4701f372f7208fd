"""One row per image, in input order, with a prediction or a reason."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.manifest import list_images
from embedder.preprocess import decode, read_file
from heads.bundle import Bundle
from heads.calibrate import Intervals
from heads.net import HeadError, Layer, Net
from heads.score.outputs import FORMATS
from tests.fakes import embedded, fake_backbone
from tests.heads.score.scoring import ETHNICITY, OK, height_only, read_back, scored, write

CHECKOUT = Path(__file__).resolve().parents[3]


SUFFIXES = [f".{each}" for each in FORMATS]


def test_every_image_has_one_row_in_input_order(images, bundle):
    rows = scored(images, bundle, fake_backbone())
    assert rows["path"].tolist() == images["image_id"].tolist()
    assert rows["path"][rows["status"] == "ok"].tolist() == OK
    assert rows["status"].value_counts().to_dict() == {"ok": 5, "unreadable": 1, "missing": 1, "too_small": 1}
    assert set(rows["bundle"]) == {bundle.id}


def test_columns_stand_in_the_order_promised(images, bundle):
    rows = scored(images, bundle, fake_backbone())
    ages = ["age", "age_low", "age_high", "age_group", "age_group_proba"]
    predicted = [*ages, "gender", "gender_proba", "height"]
    assert [*rows] == ["path", "sha256", "face", "status", "reason", *predicted, "bundle", "fingerprint"]


def test_failure_has_a_reason_and_no_prediction_and_a_success_the_reverse(images, bundle):
    rows = scored(images, bundle, fake_backbone())
    ok = rows["status"] == "ok"
    assert rows["reason"][~ok].str.len().min() > 0
    assert set(rows["reason"][ok]) == {""}
    predicted = rows[["face", "age", "gender", "gender_proba", "height"]]
    assert predicted[~ok].isna().all(axis=None)
    assert predicted[ok].notna().all(axis=None)
    assert set(rows["face"][ok]) == {0}


def test_age_has_an_interval_where_the_bundle_has_one_and_none_where_not(images, bundle, tmp_path):
    plain = scored(images, bundle, fake_backbone())
    assert plain[["age_low", "age_high"]].isna().all(axis=None)
    calibrated = replace(bundle, calibration={"age": Intervals(0.9, (0.0,), (1 / 3,), (60,))})
    rows = scored(images, calibrated, fake_backbone())
    ok = rows["status"] == "ok"
    assert (rows["age_low"][ok] < rows["age"][ok]).all()
    assert (rows["age"][ok] < rows["age_high"][ok]).all()
    assert rows[["age_low", "age_high"]][~ok].isna().all(axis=None)
    write(rows, tmp_path / "out.csv")
    written = read_back(tmp_path / "out.csv")["age_low"].replace("", None).dropna().astype(float)
    np.testing.assert_allclose(written, rows["age_low"][ok].astype(float).round(4))


def test_prediction_is_that_of_the_image_itself(images, bundle):
    backbone = fake_backbone()
    rows = scored(images, bundle, backbone)
    for row, path in zip(rows.itertuples(), images["path"], strict=True):
        if row.status == "ok":
            alone = bundle.predict(backbone.embed([decode(read_file(path)[1])]))
            assert row.age == pytest.approx(alone["age"][0], rel=1e-5)
            assert row.gender == alone["gender"][0]
            assert row.gender_proba == pytest.approx(alone["gender_proba"][0], rel=1e-5)


def test_order_of_the_input_changes_no_prediction(images, bundle):
    rows = scored(images, bundle, fake_backbone())
    turned = scored(images[::-1], bundle, fake_backbone())
    pd.testing.assert_frame_equal(turned[::-1].reset_index(drop=True), rows, rtol=1e-6)


def test_copies_get_equal_predictions_and_are_embedded_once(images, bundle):
    backbone = fake_backbone()
    rows = scored(images, bundle, backbone)
    predicted = rows.set_index("path")[["age", "gender", "gender_proba", "height"]]
    assert predicted.loc["b.png"].equals(predicted.loc["copy of b.png"])
    assert embedded(backbone) == 4


def test_folder_without_a_single_face_is_accounted_for_too(images, bundle):
    rows = scored(images[images["image_id"].isin(["text.png", "gone.png"])], bundle, fake_backbone())
    assert rows["status"].tolist() == ["unreadable", "missing"]
    assert rows[["age", "gender", "gender_proba", "height"]].isna().all(axis=None)


def test_name_that_is_not_utf8_is_scored_and_written_as_escapes(images, bundle, tmp_path):
    folder = tmp_path / "latin"
    folder.mkdir()
    shutil.copyfile(images["path"][0], os.fsencode(folder) + b"/caf\xe9.png")
    rows = scored(list_images(folder)[0], bundle, fake_backbone())
    assert rows[["path", "status"]].to_numpy().tolist() == [["caf\\udce9.png", "ok"]]
    for suffix in SUFFIXES:
        write(rows, tmp_path / f"out{suffix}")
        assert read_back(tmp_path / f"out{suffix}")["path"].tolist() == rows["path"].tolist()


# ---- ethnicity


def test_ethnicity_is_given_on_request_alone(images, bundle):
    silent = scored(images, bundle, fake_backbone())
    assert not any("ethnicity" in column for column in silent)
    asked = scored(images, bundle, fake_backbone(), ethnicity=True)
    assert set(asked["ethnicity"].dropna()) <= set(ETHNICITY.classes)
    assert asked["ethnicity_proba"][asked["status"] == "ok"].between(0.2, 1).all()
    pd.testing.assert_frame_equal(asked[[*silent]], silent)


def test_ethnicity_from_a_bundle_without_it_is_refused_before_any_work(images):
    backbone = fake_backbone()
    with pytest.raises(HeadError, match="bundle has no head for it: train one with --task ethnicity"):
        scored(images, height_only(backbone.spec), backbone, ethnicity=True)
    assert embedded(backbone) == 0


def test_bundle_of_ethnicity_alone_does_not_give_it_unasked(images):
    backbone = fake_backbone()
    layer = Layer(np.zeros((1, 12, 5), np.float32), np.zeros((1, 5), np.float32), "softmax")
    bundle = Bundle(backbone.spec, (ETHNICITY,), (Net((), {"ethnicity": layer}),), {}, id="0" * 16)
    with pytest.raises(HeadError, match="only on request: add --ethnicity"):
        scored(images, bundle, backbone)
    assert "ethnicity" in scored(images, bundle, backbone, ethnicity=True)


# ---- the schema

SCHEMA = json.loads((CHECKOUT / "docs" / "score-row.schema.json").read_text("utf-8"))
TYPES = {"string": str, "integer": int, "number": (int, float), "null": type(None)}


def faults(row: dict, schema: dict = SCHEMA) -> list[str]:
    """Say what a row breaks of a schema, as far as ours uses JSON Schema."""
    found = [f"{name} is missing" for name in schema["required"] if name not in row]
    for name, value in row.items():
        rules = [schema["properties"][name]] if name in schema["properties"] else []
        rules += [rule for pattern, rule in schema["patternProperties"].items() if re.search(pattern, name)]
        for rule in rules or [schema["additionalProperties"]]:
            known = set(rule) <= {"type", "description", "enum", "minimum", "maximum", "minLength", "pattern"}
            kinds = rule.get("type", [])
            checks = {
                "rule is understood": known,
                "type": isinstance(
                    value, tuple(TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
                ),
                "enum": value in rule.get("enum", [value]),
                "minimum": value is None or value >= rule.get("minimum", value),
                "maximum": value is None or value <= rule.get("maximum", value),
                "pattern": not isinstance(value, str) or bool(re.search(rule.get("pattern", ""), value)),
            }
            found += [f"{name} = {value!r}: {check}" for check, holds in checks.items() if not holds]
    return found


def test_every_row_of_jsonl_is_as_the_schema_says(images, bundle, tmp_path):
    calibrated = replace(bundle, calibration={"age": Intervals(0.9, (0.0,), (1 / 3,), (60,))})
    seeded = replace(bundle.embedding, recorded={**bundle.embedding.recorded, "seeded": 0})
    for made in (bundle, calibrated, replace(bundle, embedding=seeded)):
        rows = scored(images, made, fake_backbone(), ethnicity=True)
        write(rows, tmp_path / "out.jsonl")
        for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines():
            assert faults(json.loads(line)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"status": "good"}, "status = 'good': enum"),
        ({"path": None}, "path = None: type"),
        ({"age": -1.0}, "age = -1.0: minimum"),
        ({"gender": "man"}, "gender = 'man': enum"),
        ({"hat_proba": 1.5}, "hat_proba = 1.5: maximum"),
        ({"bundle": "mine"}, "bundle = 'mine': pattern"),
    ],
    ids=str,
)
def test_schema_refuses_what_is_no_row(images, bundle, tmp_path, change, fault):
    rows = scored(images, bundle, fake_backbone())
    write(rows, tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert faults({**row, **change}) == [fault]
    assert faults({name: value for name, value in row.items() if name != "reason"}) == ["reason is missing"]


def test_schema_explains_every_column(images, bundle):
    rows = scored(images, bundle, fake_backbone(), ethnicity=True)
    explained = SCHEMA["properties"].keys()
    assert {column for column in rows if column not in explained and not column.endswith("_proba")} == {"height"}
    assert all(rule["description"] for rule in SCHEMA["properties"].values())
