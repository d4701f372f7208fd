import dataclasses
import io
import os

import numpy as np
import pandas as pd
import pytest

from data.errors import StoreError
from embedder.shards import live_shards
from embedder.store import IMAGE_COLUMNS, path_key
from embedder.upkeep import rewrite
from embedder.upkeep.files import alone
from embedder.upkeep.forget import forget
from embedder.upkeep.verify import verify
from tests.fakes import FAKE_SPEC
from tests.stores import PRINT, add, add_images, content, key, rows_of, vector_of

OTHER = dataclasses.replace(FAKE_SPEC, dim=(2, 3), dtype="uint8", name="other", precision="uint8")


def traces(store, name) -> list[str]:
    """Where anything of an image stands, found with nothing of ours: by pandas, NumPy and plain bytes."""
    found = []
    vectors = {bytes(vector_of(name)), bytes(vector_of(name, OTHER))}
    for file in store.path.rglob("*"):
        whole = file.read_bytes() if file.is_file() else b""
        unpacked = pd.read_parquet(io.BytesIO(whole)).to_csv() if file.suffix == ".parquet" else ""
        if key(name).encode() in whole or key(name) in unpacked or any(vector in whole for vector in vectors):
            found.append(file.name)
    return found


def test_nothing_of_an_image_is_left_in_any_file_and_all_else_is(store):
    add(store, "c", "d", spec=OTHER)
    before = content(store)
    assert len(traces(store, "c")) == 6  # a table and vectors of each backbone, and two tables of images
    gone = forget(store, ["c.jpg"])
    assert (gone.sha256, gone.paths, gone.rows) == ([key("c")], ["c.jpg"], {PRINT: 1, OTHER.fingerprint: 1})
    assert traces(store, "c") == []
    left = {place: value for place, value in before.items() if key("c") not in (*place, value)}
    assert content(store) == left
    assert len(left) == len(before) - 3
    assert not verify(store.path).findings


def test_image_goes_under_all_its_names(store):
    add_images(store, {"copy.jpg": "c"})
    assert forget(store, ["c.jpg"]).paths == ["c.jpg", "copy.jpg"]
    assert traces(store, "c") == []


@pytest.mark.parametrize("digits", [8, 20, 64])
def test_image_is_named_by_its_hash(store, digits):
    assert forget(store, [key("a")[:digits]]).sha256 == [key("a")]
    assert traces(store, "a") == []


def test_image_is_named_by_its_file_even_if_that_has_changed(store, tmp_path):
    file = tmp_path / "face.jpg"
    file.write_bytes(b"a")  # whose SHA-256 is key("a")
    store.add_images(pd.DataFrame([(path_key(str(file)), "face.jpg", 1, 2, key("b"))], columns=IMAGE_COLUMNS))
    assert forget(store, [str(file)]).sha256 == sorted([key("a"), key("b")])


def test_failure_is_forgotten_like_a_vector(store):
    forget(store, ["x.jpg"])
    assert traces(store, "x") == []
    assert not verify(store.path).findings


def test_shard_of_nothing_else_goes_as_a_whole(store):
    forget(store, ["d.jpg"])
    assert len(live_shards(store.folder(PRINT))) == 2
    assert len(list(store.folder(PRINT).iterdir())) == 5  # two shards of two files, and spec.json


def test_what_is_not_there_is_forgotten_already(store):
    before = sorted(store.path.rglob("*"))
    assert forget(store, [key("never")]).rows == {PRINT: 0}
    assert sorted(store.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody.jpg", "nobody.jpg is no file, and .* knows no image of that name: give its SHA-256"),
        ("0123456789", "nothing whose SHA-256 begins with 0123456789"),
        ("abcdef1", "abcdef1 is no file"),  # seven digits are no hash
        (os.curdir, "is a folder: name the files in it"),
    ],
)
def test_name_that_says_nothing_is_refused(store, name, words):
    with pytest.raises(StoreError, match=words):
        forget(store, ["a.jpg", name])
    assert traces(store, "a"), "nothing may be done before all names are understood"


def test_prefix_of_two_images_is_refused(store):
    twins = ["1234567890" + "0" * 54, "1234567890" + "1" * 54]
    store.add(FAKE_SPEC, rows_of("p", "q").assign(sha256=twins), np.ones((2, 12)))
    with pytest.raises(StoreError, match=f"could be any of {twins[0]}, {twins[1]}: give more digits"):
        forget(store, ["1234567890"])


def test_path_of_two_different_files_is_refused(store):
    rows = [(path_key(f"/{folder}/1.jpg"), "1.jpg", 1, 2, key(folder)) for folder in "ab"]
    store.add_images(pd.DataFrame(rows, columns=IMAGE_COLUMNS))
    with pytest.raises(StoreError, match=r"1\.jpg was the name of several files"):
        forget(store, ["1.jpg"])


def test_dry_run_says_the_same_and_changes_nothing(store):
    before = {file: file.read_bytes() for file in store.path.rglob("*") if file.is_file()}
    told = forget(store, ["a.jpg"], dry_run=True)
    assert {file: file.read_bytes() for file in store.path.rglob("*") if file.is_file()} == before
    assert told == forget(store, ["a.jpg"])


def test_other_image_with_the_same_vector_stays_and_is_named(store):
    store.add(FAKE_SPEC, rows_of("again"), vector_of("a")[None])
    assert forget(store, ["a.jpg"]).twins == [key("again")]
    assert (store.read(PRINT, [key("again")])[1] == vector_of("a")).all()


def uncommitted(store, name):
    """Make files that a job has not committed, of a shard with an image: its vectors, and halves of both files."""
    add(store, name)
    shard = live_shards(store.folder(PRINT))[-1]
    whole = shard.table_path.read_bytes(), shard.vectors_path.read_bytes()
    for path, bytes_ in zip((shard.table_path, shard.vectors_path), whole, strict=True):
        path.with_name(f".{path.name}.0123.tmp").write_bytes(bytes_[:-20])
    shard.table_path.unlink()
    return shard


@pytest.mark.parametrize("suffix", [".npy", ".npy.0123.tmp", ".parquet.0123.tmp"])
def test_what_a_job_may_be_about_to_commit_stops_it_before_it_begins(store, suffix):
    shard = uncommitted(store, "a")
    for path in store.folder(PRINT).glob(f"*{shard.name}*"):
        if not path.name.endswith(suffix):
            path.unlink()
    with pytest.raises(StoreError, match=rf"{shard.name}{suffix}: .* has not committed this.*gc --older-than 0"):
        forget(store, ["a.jpg"])
    assert store.read(PRINT, [key("a")])[0]["sha256"].tolist() == [key("a")]
    (left,) = store.folder(PRINT).glob(f"*{shard.name}*")
    os.utime(left, (0, 0))  # now no job is about to commit it
    forget(store, ["a.jpg"])
    assert traces(store, "a") == []
    assert not left.exists()


def test_vectors_of_others_that_a_job_may_be_about_to_commit_do_not_stop_it(store):
    shard = uncommitted(store, "e")
    (shard.folder / f".{shard.name}.parquet.0123.tmp").unlink()
    forget(store, ["a.jpg"])
    assert traces(store, "a") == []
    assert shard.vectors_path.exists()


def test_vector_in_a_stray_file_is_not_called_gone(store, monkeypatch):
    stray = store.folder(PRINT) / "backup.npy"
    np.save(stray, np.array([vector_of("b"), vector_of("a")]), allow_pickle=False)
    with pytest.raises(StoreError, match=f"not all of it is gone: embeddings/{PRINT}/backup.npy still hold"):
        forget(store, ["a.jpg"])


def test_hash_in_a_stray_file_is_not_called_gone(store):
    (store.path / "notes.txt").write_text("f" + key("a") + "0")
    with pytest.raises(StoreError, match=r"not all of it is gone: notes\.txt"):
        forget(store, ["a.jpg"])


def test_stopped_between_the_files_it_is_finished_by_the_same_name(store, monkeypatch):
    def stop(shards):
        raise KeyboardInterrupt

    monkeypatch.setattr(rewrite, "_drop", stop)
    with pytest.raises(KeyboardInterrupt):
        forget(store, ["a.jpg"])
    monkeypatch.undo()
    assert traces(store, "a")
    forget(store, ["a.jpg"])
    assert traces(store, "a") == []


def test_two_rewriting_commands_do_not_meet(store):
    with alone(store), pytest.raises(StoreError, match=r"another command is rewriting .*: wait until it has ended"):
        forget(store, ["a.jpg"])
    forget(store, ["a.jpg"])
