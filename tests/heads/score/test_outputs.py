"""The same rows in every format, readable by anyone, run by no spreadsheet."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from data.manifest import list_images
from heads.score.outputs import FORMATS
from tests.fakes import fake_backbone
from tests.heads.score.scoring import read_back, scored, write

CHECKOUT = Path(__file__).resolve().parents[3]


SUFFIXES = [f".{each}" for each in FORMATS]


# ---- the files


def test_csv_jsonl_and_parquet_hold_the_same(images, bundle, tmp_path):
    rows = scored(images, bundle, fake_backbone())
    for suffix in SUFFIXES:
        write(rows, tmp_path / f"out{suffix}")
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
    rows = scored(images, bundle, fake_backbone())
    for suffix in (".csv", ".jsonl"):
        write(rows, tmp_path / f"out{suffix}")
    line = (tmp_path / "out.csv").read_text("utf-8").splitlines()[2]
    assert line.startswith(f"text.png,{rows['sha256'][1]},,unreadable,")
    assert line.endswith(f",,,,,,,,,{bundle.id},{bundle.embedding.fingerprint}")
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
    rows = scored(list_images(folder)[0], bundle, fake_backbone())
    shown = {name.replace("\t", r"\t").replace("\n", r"\n") for name in NAMES}
    for suffix in SUFFIXES:
        write(rows, tmp_path / f"out{suffix}")
        found = read_back(tmp_path / f"out{suffix}")
        assert set(found["status"]) == {"ok"}
        marked = found["path"].str.startswith("'")
        if suffix == ".csv":
            assert not found["path"].str.match(r"\s*[=+\-@]").any()
            assert marked.sum() == 6
            found["path"] = found["path"].str.removeprefix("'")
        assert set(found["path"]) == shown
