"""One row per image, in input order, with a prediction or a reason."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.manifest import list_images
from data.split import make_folds
from embedder.backbone import load_backbone
from embedder.preprocess import decode, read_file
from embedder.store import open_store
from heads.bundle import Bundle, save_bundle
from heads.calibrate import Intervals
from heads.dataset import Dataset
from heads.net import HeadError, Layer, Net
from heads.score import WRITERS, score, write_scores
from heads.tasks import Task
from heads.train import train
from tests.fakes import embedded, fake_backbone

ETHNICITY = Task("ethnicity", "ethnicity", "class", ("white", "black", "asian", "indian", "others"))
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle(world, tmp_path_factory):
    """Return a bundle for age, gender, height and ethnicity."""
    rows, n = world.data.rows, len(world.data.rows)
    labels = {**rows.labels, "ethnicity": np.arange(n) % 5.0}
    split = make_folds(rows.frame["image_id"], np.arange(n), labels["ethnicity"], folds=2)
    data = Dataset(type(rows)(rows.frame, rows.vectors, labels, {}, {}), split)
    folder = tmp_path_factory.mktemp("score") / "bundle"
    return train(world.specs[0], [*world.tasks, ETHNICITY], data, folder, head="linear").bundle


@pytest.fixture
def images(world, tmp_path, draw_image):
    """Eight files in an order of their own: strangers, a copy, what is no image, a small one, and one that is gone."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for source, name in zip(world.test.frame["path"][5:9], ["d.png", "b.png", "é.png", "a.png"], strict=True):
        shutil.copyfile(source, folder / name)
    shutil.copyfile(folder / "b.png", folder / "copy of b.png")
    (folder / "text.png").write_text("not a picture")
    draw_image(folder / "small.png", (9, 40))
    names = ["d.png", "text.png", "b.png", "gone.png", "é.png", "copy of b.png", "small.png", "a.png"]
    return pd.DataFrame({"image_id": names, "path": [str(folder / name) for name in names]})


OK = ["d.png", "b.png", "é.png", "copy of b.png", "a.png"]


def test_every_image_has_one_row_in_input_order(images, bundle):
    rows, report = score(images, bundle, fake_backbone())
    assert rows["path"].tolist() == images["image_id"].tolist()
    assert rows["path"][rows["status"] == "ok"].tolist() == OK
    assert report.statuses == {"ok": 5, "unreadable": 1, "missing": 1, "too_small": 1}
    assert set(rows["bundle"]) == {bundle.id}


def test_columns_stand_in_the_order_promised(images, bundle):
    rows, _ = score(images, bundle, fake_backbone())
    ages, classes = ["age", "age_low", "age_high"], ["gender", "gender_proba"]
    assert [*rows] == ["path", "face", "status", "reason", *ages, *classes, "height", "bundle"]


def test_failure_has_a_reason_and_no_prediction_and_a_success_the_reverse(images, bundle):
    rows, _ = score(images, bundle, fake_backbone())
    ok = rows["status"] == "ok"
    assert rows["reason"][~ok].str.len().min() > 0
    assert set(rows["reason"][ok]) == {""}
    predicted = rows[["face", "age", "gender", "gender_proba", "height"]]
    assert predicted[~ok].isna().all(axis=None)
    assert predicted[ok].notna().all(axis=None)
    assert set(rows["face"][ok]) == {0}


def test_age_has_an_interval_where_the_bundle_has_one_and_none_where_not(images, bundle, tmp_path):
    plain, _ = score(images, bundle, fake_backbone())
    assert plain[["age_low", "age_high"]].isna().all(axis=None)
    calibrated = replace(bundle, calibration={"age": Intervals(0.9, (0.0,), (1 / 3,), (60,))})
    rows, _ = score(images, calibrated, fake_backbone())
    ok = rows["status"] == "ok"
    assert (rows["age_low"][ok] < rows["age"][ok]).all()
    assert (rows["age"][ok] < rows["age_high"][ok]).all()
    assert rows[["age_low", "age_high"]][~ok].isna().all(axis=None)
    write_scores(rows, tmp_path / "out.csv")
    written = read_back(tmp_path / "out.csv")["age_low"].replace("", None).dropna().astype(float)
    np.testing.assert_allclose(written, rows["age_low"][ok].astype(float).round(4))


def test_prediction_is_that_of_the_image_itself(images, bundle):
    backbone = fake_backbone()
    rows, _ = score(images, bundle, backbone)
    for row, path in zip(rows.itertuples(), images["path"], strict=True):
        if row.status == "ok":
            alone = bundle.predict(backbone.embed([decode(read_file(path)[1])]))
            assert row.age == pytest.approx(alone["age"][0], rel=1e-5)
            assert row.gender == alone["gender"][0]
            assert row.gender_proba == pytest.approx(alone["gender_proba"][0], rel=1e-5)


def test_order_of_the_input_changes_no_prediction(images, bundle):
    rows, _ = score(images, bundle, fake_backbone())
    turned, _ = score(images[::-1], bundle, fake_backbone())
    pd.testing.assert_frame_equal(turned[::-1].reset_index(drop=True), rows, rtol=1e-6)


def test_copies_get_equal_predictions_and_are_embedded_once(images, bundle):
    backbone = fake_backbone()
    rows, _ = score(images, bundle, backbone)
    predicted = rows.set_index("path")[["age", "gender", "gender_proba", "height"]]
    assert predicted.loc["b.png"].equals(predicted.loc["copy of b.png"])
    assert embedded(backbone) == 4


def test_folder_without_a_single_face_is_accounted_for_too(images, bundle):
    rows, _ = score(images[images["image_id"].isin(["text.png", "gone.png"])], bundle, fake_backbone())
    assert rows["status"].tolist() == ["unreadable", "missing"]
    assert rows[["age", "gender", "gender_proba", "height"]].isna().all(axis=None)


def test_name_that_is_not_utf8_is_scored_and_written_as_escapes(images, bundle, tmp_path):
    folder = tmp_path / "latin"
    folder.mkdir()
    shutil.copyfile(images["path"][0], os.fsencode(folder) + b"/caf\xe9.png")
    rows, _ = score(list_images(folder)[0], bundle, fake_backbone())
    assert rows[["path", "status"]].to_numpy().tolist() == [["caf\\udce9.png", "ok"]]
    for suffix in WRITERS:
        write_scores(rows, tmp_path / f"out{suffix}")
        assert read_back(tmp_path / f"out{suffix}")["path"].tolist() == rows["path"].tolist()


# ---- ethnicity


def test_ethnicity_is_given_on_request_alone(images, bundle):
    silent, _ = score(images, bundle, fake_backbone())
    assert not any("ethnicity" in column for column in silent)
    asked, _ = score(images, bundle, fake_backbone(), ethnicity=True)
    assert set(asked["ethnicity"].dropna()) <= set(ETHNICITY.classes)
    assert asked["ethnicity_proba"][asked["status"] == "ok"].between(0.2, 1).all()
    pd.testing.assert_frame_equal(asked[[*silent]], silent)


def height_only(spec) -> Bundle:
    height = Task("height", "height", "number")
    layer = Layer(np.zeros((1, int(np.prod(spec.dim)), 1), np.float32), np.full((1, 1), 170, np.float32), "linear")
    return Bundle(spec, (height,), (Net((), {"height": layer}),), {}, id="0" * 16)


def test_ethnicity_from_a_bundle_without_it_is_refused_before_any_work(images):
    backbone = fake_backbone()
    with pytest.raises(HeadError, match="bundle has no head for it: train one with --task ethnicity"):
        score(images, height_only(backbone.spec), backbone, ethnicity=True)
    assert embedded(backbone) == 0


def test_bundle_of_ethnicity_alone_does_not_give_it_unasked(images):
    backbone = fake_backbone()
    layer = Layer(np.zeros((1, 12, 5), np.float32), np.zeros((1, 5), np.float32), "softmax")
    bundle = Bundle(backbone.spec, (ETHNICITY,), (Net((), {"ethnicity": layer}),), {}, id="0" * 16)
    with pytest.raises(HeadError, match="only on request: add --ethnicity"):
        score(images, bundle, backbone)
    assert "ethnicity" in score(images, bundle, backbone, ethnicity=True)[0]


# ---- the store


def test_store_that_is_given_is_a_cache(images, bundle, tmp_path):
    first, _ = score(images, bundle, fake_backbone(), store=tmp_path / "cache")
    backbone = fake_backbone()
    second, report = score(images, bundle, backbone, store=tmp_path / "cache")
    assert embedded(backbone) == 0
    assert report.read == 1  # what fails is known too, but a file that is gone is looked for again
    pd.testing.assert_frame_equal(second, first)


def test_embeddings_of_an_extract_are_taken_from_its_store(world, bundle):
    backbone = fake_backbone()
    rows, _ = score(world.manifest.frame, bundle, backbone, store=world.store.path)
    assert embedded(backbone) == 0
    assert rows["age"].notna().all()


def test_store_is_kept_where_it_was_named(images, bundle, tmp_path):
    score(images, bundle, fake_backbone(), store=tmp_path / "cache")
    assert [*open_store(tmp_path / "cache").specs()] == [bundle.embedding.fingerprint]


@pytest.mark.parametrize("fails", [False, True])
def test_no_embedding_is_left_behind_without_a_store(images, bundle, tmp_path, monkeypatch, fails):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    backbone = fake_backbone()
    if fails:
        monkeypatch.setattr(backbone._runtime, "embed", lambda faces: [][0])
        with pytest.raises(IndexError):
            score(images, bundle, backbone)
    else:
        score(images, bundle, backbone)
    assert [*(tmp_path / "tmp").iterdir()] == []


# ---- the files


def read_back(path: Path) -> pd.DataFrame:
    """Read what was written as anyone would."""
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in ["face", "age", "gender"]})
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines()])
    return pd.read_parquet(path)


def test_csv_jsonl_and_parquet_hold_the_same(images, bundle, tmp_path):
    rows, _ = score(images, bundle, fake_backbone())
    for suffix in WRITERS:
        write_scores(rows, tmp_path / f"out{suffix}")
        found = read_back(tmp_path / f"out{suffix}")
        assert [*found] == [*rows]
        for text in ("path", "status", "reason", "bundle"):
            assert found[text].tolist() == rows[text].tolist()
        assert found["gender"].isna().tolist() == rows["gender"].isna().tolist()
        assert found["gender"].dropna().tolist() == rows["gender"].dropna().tolist()
        assert found["face"].dropna().tolist() == rows["face"].dropna().tolist()
        for number, decimals in {"age": 4, "gender_proba": 4, "height": None}.items():
            written = pd.to_numeric(found[number], errors="coerce").to_numpy(np.float64)
            expected = rows[number].to_numpy(np.float64)
            np.testing.assert_allclose(written, expected if decimals is None else expected.round(decimals), rtol=1e-6)


def test_missing_predictions_are_empty_in_csv_and_null_in_jsonl(images, bundle, tmp_path):
    rows, _ = score(images, bundle, fake_backbone())
    for suffix in (".csv", ".jsonl"):
        write_scores(rows, tmp_path / f"out{suffix}")
    line = (tmp_path / "out.csv").read_text("utf-8").splitlines()[2]
    assert line.startswith("text.png,,unreadable,")
    assert line.endswith(f",,,,,,,{bundle.id}")
    record = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[1])
    assert [record[key] for key in ("face", "age", "gender", "gender_proba", "height")] == [None] * 5


NAMES = [
    "=cmd().png",
    "+1.png",
    "-1.png",
    "@x.png",
    " =1.png",
    "'a.png",
    "a b.png",
    'a "b", c.png',
    "tab\t.png",
    "a\nb.png",
]


def test_names_like_formulas_are_safe_in_csv_and_as_they_are_elsewhere(images, bundle, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    for name in NAMES:
        shutil.copyfile(images["path"][0], folder / name)
    rows, _ = score(list_images(folder)[0], bundle, fake_backbone())
    shown = {name.replace("\t", r"\t").replace("\n", r"\n") for name in NAMES}
    for suffix in WRITERS:
        write_scores(rows, tmp_path / f"out{suffix}")
        found = read_back(tmp_path / f"out{suffix}")
        assert set(found["status"]) == {"ok"}
        marked = found["path"].str.startswith("'")
        if suffix == ".csv":
            assert not found["path"].str.match(r"\s*[=+\-@]").any()
            assert marked.sum() == 6
            found["path"] = found["path"].str.removeprefix("'")
        assert set(found["path"]) == shown


@pytest.mark.parametrize("suffix", WRITERS)
def test_predictions_are_readable_by_their_owner_alone(images, bundle, tmp_path, suffix):
    rows, _ = score(images, bundle, fake_backbone())
    write_scores(rows, tmp_path / f"out{suffix}")
    assert stat.S_IMODE((tmp_path / f"out{suffix}").stat().st_mode) == 0o600


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
        rows, _ = score(images, made, fake_backbone(), ethnicity=True)
        write_scores(rows, tmp_path / "out.jsonl")
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
    rows, _ = score(images, bundle, fake_backbone())
    write_scores(rows, tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert faults({**row, **change}) == [fault]
    assert faults({name: value for name, value in row.items() if name != "reason"}) == ["reason is missing"]


def test_schema_explains_every_column(images, bundle):
    rows, _ = score(images, bundle, fake_backbone(), ethnicity=True)
    explained = SCHEMA["properties"].keys()
    assert {column for column in rows if column not in explained and not column.endswith("_proba")} == {"height"}
    assert all(rule["description"] for rule in SCHEMA["properties"].values())


# ---- pictures in memory


def test_files_and_arrays_are_scored_alike_in_their_order(images, bundle):
    backbone = fake_backbone()
    rows, _ = score(images, bundle, backbone)
    given = images["path"].where(~images["image_id"].isin(OK[:3]))  # the others are read here
    pictures = [
        decode(read_file(path)[1]) if pd.isna(kept) else path for path, kept in zip(images["path"], given, strict=True)
    ]
    found = bundle.score(pictures, backbone=backbone)
    assert found["path"].isna().tolist() == given.isna().tolist()
    assert found["path"].dropna().tolist() == given.dropna().tolist()
    pd.testing.assert_frame_equal(found.drop(columns="path"), rows.drop(columns="path"), rtol=1e-6)


def test_one_picture_may_be_there_twice(images, bundle):
    path = images["path"][0]
    ages = bundle.score([path, path, decode(read_file(path)[1])], backbone=fake_backbone())["age"]
    assert ages.nunique() == 1


def test_array_that_is_too_small_has_a_status_like_a_file(bundle):
    rows = bundle.score([np.zeros((9, 40, 3), np.uint8)], backbone=fake_backbone())
    assert rows["status"].tolist() == ["too_small"]
    assert rows["age"].isna().all()


@pytest.mark.parametrize(
    "picture",
    [np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8), np.zeros((32, 32, 4), np.uint8), np.zeros((0, 9, 3), "u1")],
    ids=["float64", "grey", "alpha", "empty"],
)
def test_array_that_is_no_picture_is_refused_with_its_shape(bundle, picture):
    with pytest.raises(HeadError, match=rf"found {picture.dtype} of shape \({picture.shape[0]}, "):
        bundle.score([picture], backbone=fake_backbone())


def test_path_in_place_of_a_list_is_refused(bundle):
    with pytest.raises(HeadError, match="expected a list of pictures; found the one path faces/"):
        bundle.score("faces/", backbone=fake_backbone())


def test_empty_list_is_refused(bundle):
    with pytest.raises(HeadError, match="expected one picture or more; found none"):
        bundle.score([], backbone=fake_backbone())


def test_nothing_of_a_picture_in_memory_is_left_behind(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bundle.score([np.full((32, 32, 3), 9, np.uint8)], backbone=fake_backbone())
    assert [*tmp_path.iterdir()] == []


def test_bundle_starts_its_own_backbone_and_ethnicity_is_asked_for_here_too(tmp_path):
    with load_backbone("pixels") as pixels:
        layer = Layer(np.zeros((1, 128 * 128, 5), np.float32), np.zeros((1, 5), np.float32), "softmax")
        made = Bundle(pixels.spec, (ETHNICITY,), (Net((), {"ethnicity": layer}),), {})
        bundle = save_bundle(made, tmp_path / "bundle", card="")
    pictures = [np.zeros((32, 32, 3), np.uint8)]
    assert bundle.score(pictures, ethnicity=True)["ethnicity_proba"].tolist() == [pytest.approx(0.2)]
    with pytest.raises(HeadError, match="only on request"):
        bundle.score(pictures)


# ---- what is loaded

SCORE = """
import sys
from pathlib import Path
from data.manifest import list_images
from heads.bundle import load_bundle
from heads.score import score, write_scores
bundle = load_bundle(sys.argv[1])
with bundle.load_backbone(cores=1) as backbone:
    rows, report = score(list_images(sys.argv[2])[0], bundle, backbone)
write_scores(rows, Path(sys.argv[3]))
print(*sorted(name.partition(".")[0] for name in sys.modules))
"""


def test_scoring_a_folder_loads_neither_tensorflow_nor_keras(images, tmp_path):
    with load_backbone("pixels") as pixels:
        save_bundle(height_only(pixels.spec), tmp_path / "bundle", card="")
    folder = Path(images["path"][0]).parent
    arguments = [tmp_path / "bundle", folder, tmp_path / "out.csv"]
    run = subprocess.run(
        [sys.executable, "-c", SCORE, *map(str, arguments)], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert {"heads", "embedder", "safetensors"} <= loaded
    assert not loaded & {"tensorflow", "keras", "tf_keras", "deepface", "torch", "matplotlib"}
    rows = pd.read_csv(tmp_path / "out.csv")
    assert rows["path"].tolist() == list_images(folder)[0]["image_id"].tolist()
    assert rows["height"].dropna().tolist() == [170] * len(OK)
