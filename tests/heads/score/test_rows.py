"""One row per image, in input order, with a prediction or a reason."""

import hashlib
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
from heads.score.rows import UNIT, Scorer, age_groups
from heads.score.run import score
from heads.tasks import Task
from tests.fakes import embedded, fake_backbone
from tests.heads.faces import AGE
from tests.heads.score.scoring import ETHNICITY, FOUND, OK, finder_for, height_only, read_back, scored, write

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


# ---- faces


def test_every_face_has_a_row_and_every_picture_without_one_too(photos, of_faces):
    rows = scored(photos, of_faces, fake_backbone(**FOUND), finder=finder_for(faces="all"))
    assert rows["path"].tolist() == ["0.png", "0.png", "1.png", "2.png", "2.png", "2.png", "3.png"]
    assert rows["face"].tolist() == [1, 2, pd.NA, 1, 2, 3, pd.NA]
    assert rows["status"].tolist() == ["ok", "ok", "no_face", "ok", "ok", "ok", "unreadable"]
    assert [*rows][5:12] == ["left", "top", "right", "bottom", "confidence", "quality", "turned"]
    assert rows[["left", "top", "right", "bottom"]].iloc[1].tolist() == [100, 0.25, 150, 50.25]
    assert rows["confidence"].tolist()[:2] == [1.5, 0.5]
    assert rows["turned"].tolist() == [90, 90, pd.NA, 90, 90, 90, pd.NA]
    assert rows["age"].notna().tolist() == (rows["status"] == "ok").tolist()
    assert rows.loc[rows["path"] == "2.png", "age"].nunique() == 3


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({"faces": "largest"}, [("0.png", 1, "ok"), ("1.png", 0, "no_face"), ("2.png", 1, "ok")]),
        ({"faces": "all", "min_confidence": 1}, [("0.png", 1, "ok"), ("1.png", 0, "no_face"), ("2.png", 1, "ok")]),
        (
            {"faces": "all", "min_face": 99},
            [("0.png", 0, "face_too_small"), ("1.png", 0, "no_face"), ("2.png", 0, "face_too_small")],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("known", [False, True])
def test_only_faces_that_are_wanted_have_rows_whatever_the_store_knows(
    photos, of_faces, tmp_path, choice, found, known
):
    store = tmp_path / "store"
    if known:
        scored(photos, of_faces, fake_backbone(**FOUND), finder=finder_for(faces="all"), store=store)
    rows = scored(photos[:3], of_faces, fake_backbone(**FOUND), finder=finder_for(**choice), store=store)
    assert [*zip(rows["path"], rows["face"].fillna(0), rows["status"], strict=True)] == found
    assert rows["age"].notna().tolist() == (rows["status"] == "ok").tolist()


def test_pictures_of_which_none_has_a_face_are_accounted_for(photos, of_faces):
    rows = scored(
        photos[photos["image_id"].isin(["1.png", "3.png"])], of_faces, fake_backbone(**FOUND), finder=finder_for()
    )
    assert rows["status"].tolist() == ["no_face", "unreadable"]
    assert rows["left"].isna().all()


def test_rows_of_faces_are_as_the_schema_says(photos, of_faces, tmp_path):
    rows = scored(photos, of_faces, fake_backbone(**FOUND), finder=finder_for(faces="all"))
    write(rows, tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert len(written) == 7
    for line in written:
        assert faults(json.loads(line)) == []
    assert json.loads(written[1])["right"] == 150


def test_mismatch_that_was_accepted_stands_in_every_row(photos, of_faces):
    backbone = fake_backbone(**{**FOUND, "alignment": "box, margin 20%"})
    rows = scored(photos, of_faces, backbone, finder=finder_for())
    assert set(rows["mismatch"]) == {"alignment box, margin 20%, trained on box"}
    assert "mismatch" not in scored(photos, of_faces, fake_backbone(**FOUND), finder=finder_for())


# ---- what is said of ages


def test_age_whose_interval_is_wider_than_asked_is_not_given(images, bundle, tmp_path):
    calibrated = replace(bundle, calibration={"age": Intervals(0.9, (0.0,), (1 / 3,), (60,))})
    given = scored(images, calibrated, fake_backbone())
    width = given["age_high"] - given["age_low"]
    middle = width.median()
    rows = scored(images, calibrated, fake_backbone(), abstain=middle)
    wide = width > middle
    assert 0 < wide.sum() < 5
    assert (rows["age"].isna() == (wide | (rows["status"] != "ok"))).all()
    assert rows.loc[wide, ["age", "age_low", "age_high"]].isna().all(axis=None)
    assert rows.loc[wide, "reason"].str.fullmatch(r"no age: its interval is \d+ years wide").all()
    rest = ["path", "status", "age_group", "age_group_proba", "gender"]
    pd.testing.assert_frame_equal(rows[rest], given[rest])
    pd.testing.assert_frame_equal(rows[~wide], given[~wide])


def test_age_group_is_the_likeliest_by_the_ages_in_it():
    proba = np.zeros((2, 101))
    proba[0, [0, 1, 30, 31, 80]] = 0.15, 0.15, 0.2, 0.2, 0.3
    proba[1, [13, 14]] = 0.51, 0.49
    found = age_groups(AGE, proba)
    assert found["age_group"].tolist() == ["Adult", "Adolescent"]
    np.testing.assert_allclose(found["age_group_proba"], [0.4, 0.51])


def test_group_of_a_regression_has_no_probability():
    found = age_groups(AGE, np.array([13.9, 14.0, 250.0]))
    assert found["age_group"].tolist() == ["Adolescent", "Teenager", "Senior"]
    assert np.isnan(found["age_group_proba"]).all()


def test_group_that_the_bundle_was_trained_on_is_its_own(images, bundle):
    backbone = fake_backbone()
    group = Task("age_group", "age", "class", ("young", "old"), (0, 40))
    own = Net((), {"age_group": Layer(np.zeros((1, 12, 2), "f4"), np.float32([[0, 1]]), "softmax")})
    both = replace(bundle, tasks=(*bundle.tasks, group), nets=(*bundle.nets, own))
    rows = scored(images, both, backbone)
    assert set(rows["age_group"].dropna()) == {"old"}
    assert [*rows].count("age_group") == 1


def test_rows_do_not_depend_on_where_a_run_is_begun(world, bundle):
    frame = pd.concat([world.manifest.frame, world.test.frame], ignore_index=True)
    together = scored(frame, bundle, fake_backbone())
    for start in (UNIT, 2 * UNIT):
        rest = scored(frame[start:], bundle, fake_backbone())
        pd.testing.assert_frame_equal(rest, together[start:].reset_index(drop=True), check_exact=True)


def test_every_row_has_the_hash_and_the_file_of_its_image(photos, of_faces):
    scorer = Scorer(of_faces, fake_backbone(**FOUND), finder=finder_for(faces="all"))
    (scores,) = score(photos, scorer)
    for path, sha256 in zip(scores.files, scores.rows["sha256"], strict=True):
        assert sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert scores.inputs == 4
    assert scores.statuses == {"ok": 2, "no_face": 1, "unreadable": 1}
    assert [*scores.rows] == [*scorer.columns]
