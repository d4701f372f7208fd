"""`faceprobe store`: what a user types and sees."""

import json
import shlex

import click
import numpy as np
import pandas as pd
import pytest

import run_pipeline
from embedder.store import open_store
from tests.cli import faceprobe
from tests.stores import PRINT, add, add_images, content, key

COMMANDS = run_pipeline.cli.commands["store"].commands


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path / "store", create=True)
    add(made, "a", "b")
    add(made, "c", failed=("x",))
    add_images(made, {"copy.jpg": "c"})
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_every_store_command_has_examples_that_it_understands(name):
    shown = faceprobe("store", name, "--help")
    examples = [line.strip() for line in shown.out.splitlines() if line.startswith("    faceprobe ")]
    assert examples
    for example in examples:
        assert example.startswith(f"faceprobe store {name} ")
        COMMANDS[name].make_context(name, shlex.split(example)[3:])
    assert all(option.help for option in COMMANDS[name].params if isinstance(option, click.Option))


def test_info_is_for_people_and_for_machines(store):
    done = faceprobe("store", "info", store.path)
    assert done.code == 0
    assert f"fake {PRINT} (12-d), licence ours" in done.out
    assert "rows: ok 3, no_face 1\n" in done.out
    assert "5 image files known, 1 copy;" in done.out
    found = json.loads(faceprobe("store", "info", store.path, "--json").out)
    assert found["holdings"][0]["rows"] == {"ok": 3, "no_face": 1}


def test_verify_is_quiet_about_a_store_in_order(store):
    done = faceprobe("store", "verify", store.path)
    assert (done.code, done.err) == (0, "")
    assert "nothing damaged, 0 remarks" in done.out
    assert f"{PRINT}: lengths of vectors" in done.out


def test_verify_names_what_is_damaged_and_exits_with_1(store):
    file = min(store.path.glob("embeddings/*/*.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    done = faceprobe("store", "verify", store.path)
    assert done.code == 1
    name = file.relative_to(store.path)
    assert f"DAMAGED {name}: a byte of it was changed: its SHA-256 is another: restore both files" in done.out
    assert "1 damaged, 0 remarks" in done.out


def test_verify_exits_with_0_on_remarks(store):
    (store.path / "notes.txt").write_text("mine")
    done = faceprobe("store", "verify", store.path)
    assert done.code == 0
    assert "remark notes.txt: not a file of a store: move it elsewhere" in done.out


def test_forget_says_under_which_names_an_image_went(store):
    told = faceprobe("store", "forget", store.path, "c.jpg", "--dry-run")
    assert "would forget 1 image under 2 names, rows: 1 of" in told.out
    assert ("path", "c.jpg") in content(store)
    done = faceprobe("store", "forget", store.path, "c.jpg")
    assert done.code == 0
    assert done.out.startswith("  c.jpg\n  copy.jpg\nforgot 1 image under 2 names, rows: 1 of ")
    assert f"no file of {store.path} holds any of it" in done.out
    assert key("c") not in str(content(store))


def test_forget_of_a_name_that_says_nothing_is_one_line(store):
    done = faceprobe("store", "forget", store.path, "nobody.jpg")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("faceprobe: nobody.jpg is no file, and ")


def test_compact_and_gc_say_what_they_did(store):
    done = faceprobe("store", "compact", store.path)
    assert done.out == f"embeddings/{PRINT}: 2 shards to 1, 0 rows dropped\nimages: 3 shards to 1, 0 rows dropped\n"
    (store.path / ".left.tmp").write_bytes(b"half")
    done = faceprobe("store", "gc", store.path)
    assert done.out == "removed 0 files, 0.0 MB\n1 file newer than 60 minutes left: a job may be at work\n"
    done = faceprobe("store", "gc", store.path, "--older-than", "0")
    assert done.out == "  .left.tmp\nremoved 1 file, 0.0 MB\n"


def test_merge_makes_the_store_it_fills(store, tmp_path):
    words = ("store", "merge", store.path, "--into", tmp_path / "joined")
    assert faceprobe(*words).out.startswith("5 shards copied (0.0 MB), 0 known;")
    assert faceprobe(*words).out.startswith("0 shards copied (0.0 MB), 5 known;")
    assert content(open_store(tmp_path / "joined")) == content(store)


def test_export_writes_vectors_and_failures(store, tmp_path):
    words = ("store", "export", store.path, "--backbone", "fake", "--format", "npy", "-o", tmp_path / "out")
    done = faceprobe(*words, "--failures", tmp_path / "failed.csv")
    assert done.out.splitlines() == [
        f"4 rows of fake {PRINT} in {tmp_path / 'out'}",
        f"1 image without a vector in {tmp_path / 'failed.csv'}",
    ]
    assert np.load(tmp_path / "out/img_emb/img_emb_0000.npy", allow_pickle=False).shape == (4, 12)
    assert pd.read_csv(tmp_path / "failed.csv")["image_path"].tolist() == ["x.jpg"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--backbone", "other", "--format", "csv", "-o", "out.csv"), "holds fake, not other: name one of these"),
        (("--backbone", "fake", "--format", "csv", "-o", "out.parquet"), "expected a name ending in .csv"),
        (("--backbone", "fake", "--format", "csv", "-o", "no/out.csv"), "there is no folder no"),
    ],
)
def test_export_refuses_before_it_works(store, tmp_path, monkeypatch, words, error):
    monkeypatch.chdir(tmp_path)
    done = faceprobe("store", "export", store.path, *words)
    assert done.code == 2
    assert error in done.err


@pytest.mark.parametrize("words", [("info",), ("verify",), ("compact",), ("gc",), ("forget", "a.jpg")])
def test_store_that_is_not_there_is_one_line(tmp_path, words):
    done = faceprobe("store", words[0], tmp_path / "none", *words[1:])
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"faceprobe: no embedding store at {tmp_path / 'none'}")
