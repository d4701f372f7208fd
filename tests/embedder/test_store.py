import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data.errors import FingerprintMismatch, StoreError
from embedder import shards
from embedder.shards import Shard, live_shards, read_shards
from embedder.store import IMAGE_COLUMNS, open_store, path_key, seal
from embedder.upkeep.compact import compact
from tests.fakes import FAKE_SPEC
from tests.stores import PRINT, add, key, rows_of, vector_of


def vectors_of(n: int, *, start: int = 0) -> np.ndarray:
    return np.arange(start, start + n, dtype=np.float32)[:, None] * np.ones(12, np.float32)


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


def test_vectors_come_back_by_content_in_the_order_asked(store):
    store.add(FAKE_SPEC, rows_of("a", "b"), vectors_of(2))
    store.add(FAKE_SPEC, rows_of("c"), vectors_of(1, start=2))
    rows, vectors = store.read(FAKE_SPEC.fingerprint, [*map(key, ["c", "a", "missing", "b", "a"]), None])
    assert rows.index.tolist() == [0, 1, 3, 4]
    assert vectors[:, 0].tolist() == [2, 0, 1, 0]


def test_failures_are_rows_without_vectors(store):
    rows = pd.concat([rows_of("a"), rows_of("bad", status="unreadable"), rows_of("b")], ignore_index=True)
    store.add(FAKE_SPEC, rows, vectors_of(2))
    found, vectors = store.read(FAKE_SPEC.fingerprint, [key("a"), key("bad"), key("b")])
    assert found["sha256"].tolist() == [key("a"), key("b")]
    assert vectors[:, 0].tolist() == [0, 1]
    held = store.rows(FAKE_SPEC.fingerprint).set_index("sha256")
    assert held.loc[key("bad"), "status"] == "unreadable"
    assert held.loc[key("bad"), "reason"] == "why"


def test_rows_written_by_two_jobs_are_read_once(store):
    store.add(FAKE_SPEC, rows_of("a", "b"), vectors_of(2))
    store.add(FAKE_SPEC, rows_of("b", "c"), vectors_of(2, start=1))
    assert sorted(store.rows(FAKE_SPEC.fingerprint)["sha256"]) == sorted(map(key, "abc"))


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.uint8, np.int16]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    )
)
def test_rows_of_any_shape_and_dtype_survive(tmp_path_factory, array):
    array = np.nan_to_num(array)
    store = open_store(tmp_path_factory.mktemp("any") / "store", create=True)
    spec = dataclasses.replace(FAKE_SPEC, dim=array.shape[1:], dtype=array.dtype.name)
    names = [f"{i}" for i in range(len(array))]
    store.add(spec, rows_of(*names), array)
    _, vectors = store.read(spec.fingerprint, [key(name) for name in names])
    assert vectors.dtype == array.dtype
    np.testing.assert_array_equal(vectors, array)


def test_store_is_read_with_pandas_and_numpy_alone(store):
    store.add(FAKE_SPEC, rows_of("a", "b"), vectors_of(2))
    (rows_file,) = store.path.glob(f"embeddings/{FAKE_SPEC.fingerprint}/*.parquet")
    rows = pd.read_parquet(rows_file)
    vectors = np.load(rows_file.with_suffix(".npy"), mmap_mode="r")
    assert dict(zip(rows["sha256"], vectors[rows["row"], 0].tolist(), strict=True)) == {key("a"): 0.0, key("b"): 1.0}


def test_shard_without_its_rows_does_not_exist(store):
    store.add(FAKE_SPEC, rows_of("a"), vectors_of(1))
    store.add(FAKE_SPEC, rows_of("b"), vectors_of(1))
    newest = max(store.path.glob("embeddings/*/*.parquet"), key=os.path.getmtime)
    newest.unlink()  # as if killed between the two files
    assert len(store.rows(FAKE_SPEC.fingerprint)) == 1


def test_no_shard_is_left_when_the_disk_refuses(store, monkeypatch):
    store.add(FAKE_SPEC, rows_of("a"), vectors_of(1))
    before = sorted(store.path.rglob("*"))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match=r"No space left.*kept.*run the same command again"):
        store.add(FAKE_SPEC, rows_of("b"), vectors_of(1))
    assert sorted(store.path.rglob("*")) == before


def test_vectors_that_are_not_finite_are_refused(store):
    with pytest.raises(StoreError, match="must be finite"):
        store.add(FAKE_SPEC, rows_of("a"), np.full((1, 12), np.nan, np.float32))


def test_vectors_must_be_one_per_ok_row(store):
    with pytest.raises(StoreError, match="2 rows are ok but 1"):
        store.add(FAKE_SPEC, rows_of("a", "b"), vectors_of(1))


def test_images_remember_path_size_and_time(store):
    seen = pd.DataFrame([("k", "x.jpg", 5, 10**18 + 1, key("a"))], columns=IMAGE_COLUMNS)
    store.add_images(seen)
    assert store.images().to_dict("records") == seen.to_dict("records")


def test_path_key_tells_equal_names_in_two_folders_apart(tmp_path):
    assert path_key(str(tmp_path / "a" / "1.jpg")) != path_key(str(tmp_path / "b" / "1.jpg"))
    assert path_key(os.path.relpath(tmp_path / "1.jpg")) == path_key(str(tmp_path / "1.jpg"))


def test_path_key_of_an_object_is_that_of_its_address_wherever_one_is(tmp_path, monkeypatch):
    found = path_key("s3://bucket/a//b.jpg")
    monkeypatch.chdir(tmp_path)
    assert path_key("s3://bucket/a//b.jpg") == found != path_key("s3://bucket/a/b.jpg")


def test_files_are_private(store):
    store.add(FAKE_SPEC, rows_of("a"), vectors_of(1))
    store.add_images(pd.DataFrame([("k", "x.jpg", 5, 6, key("a"))], columns=IMAGE_COLUMNS))
    modes = {path.stat().st_mode & 0o777 for path in store.path.rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in [store.path, *store.path.rglob("*")] if path.is_dir()}
    assert (modes, folders) == ({0o600}, {0o700})


def test_spec_of_another_fingerprint_is_refused_with_the_fields_that_differ(store):
    store.add(FAKE_SPEC, rows_of("a"), vectors_of(1))
    wanted = dataclasses.replace(FAKE_SPEC, normalization="ArcFace")
    with pytest.raises(FingerprintMismatch, match="normalization: the store has raw, asked for is ArcFace"):
        store.require(wanted)


def test_empty_store_says_what_to_run(store):
    with pytest.raises(FingerprintMismatch, match="holds no embeddings: run `extract --backbone fake`"):
        store.require(FAKE_SPEC)


def test_name_with_two_fingerprints_is_ambiguous(store):
    other = dataclasses.replace(FAKE_SPEC, normalization="base")
    for spec in (FAKE_SPEC, other):
        store.add(spec, rows_of("a"), vectors_of(1))
    assert store.find(other.fingerprint) == other
    assert store.find("absent") is None
    with pytest.raises(StoreError, match=f"(?s)several settings.*{other.fingerprint}"):
        store.find("fake")


def test_store_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StoreError, match="no embedding store at"):
        open_store(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_folder_of_something_else_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="not an embedding store and not an empty folder"):
        open_store(tmp_path, create=True)


def test_store_of_a_newer_format_is_refused_with_its_version(store):
    (store.path / "store.json").write_text(json.dumps({"format": "faceprobe store", "version": 99}))
    with pytest.raises(StoreError, match="format 99, this program reads up to 1"):
        open_store(store.path)


@pytest.mark.parametrize(
    "pattern", ["store.json", "embeddings/*/spec.json", "embeddings/*/*.parquet", "embeddings/*/*.npy"]
)
def test_damaged_file_is_named(store, pattern):
    store.add(FAKE_SPEC, rows_of("a"), vectors_of(1))
    (file,) = store.path.glob(pattern)
    file.write_bytes(b"damaged")
    with pytest.raises(StoreError, match=file.name):
        open_store(store.path).read(FAKE_SPEC.fingerprint, [key("a")])


def test_jobs_that_start_together_make_one_store(tmp_path):
    with ThreadPoolExecutor(8) as jobs:
        stores = list(jobs.map(lambda _: open_store(tmp_path / "store", create=True), range(32)))
    stores[0].add(FAKE_SPEC, rows_of("a"), vectors_of(1))
    assert len(stores[-1].rows(FAKE_SPEC.fingerprint)) == 1


def test_store_whose_making_was_refused_is_made_by_the_next_run(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match="No space left"):
        open_store(tmp_path / "store", create=True)
    monkeypatch.undo()
    assert open_store(tmp_path / "store", create=True).specs() == {}


def test_embedding_made_after_a_failure_is_what_is_read(store):
    store.add(FAKE_SPEC, rows_of("a", status="no_face"), vectors_of(0))
    store.add(FAKE_SPEC, rows_of("a"), vectors_of(1, start=7))
    assert store.rows(PRINT)["status"].tolist() == ["ok"]
    assert store.read(PRINT, [key("a")])[1][0, 0] == 7


def test_vectors_of_rows_that_are_gone_are_refused(store):
    add(store, "a")
    with pytest.raises(StoreError, match="no vector of 1 of 1 rows"):
        store.vectors(PRINT, rows_of("b"))


def test_key_that_is_no_sha256_is_refused(store):
    with pytest.raises(StoreError, match="expected sha256 of 64 hexadecimal digits, found 'x'"):
        store.add(FAKE_SPEC, rows_of("a").assign(sha256="x"), vectors_of(1))


@pytest.mark.parametrize("place", [5, -5, -40])
def test_any_byte_of_a_spec_that_changes_is_noticed(store, place):
    add(store, "a")
    file = store.folder(PRINT) / "spec.json"
    text = bytearray(file.read_bytes())
    text[place] ^= 1
    file.write_bytes(text)
    with pytest.raises(StoreError, match=r"spec\.json"):
        store.specs()


def test_store_from_before_the_release_is_refused_in_words(store):
    add(store, "a")
    (store.folder(PRINT) / "spec.json").write_text(json.dumps(FAKE_SPEC.to_json(), indent=1))
    with pytest.raises(StoreError, match="of an unreleased version: restore it or extract into a new store"):
        open_store(store.path, create=True)


def test_spec_with_other_fields_is_refused_in_words(store):
    add(store, "a")
    (store.folder(PRINT) / "spec.json").write_text(seal({**FAKE_SPEC.to_json(), "aperture": 8}))
    with pytest.raises(StoreError, match=r"of another version of faceprobe .*aperture"):
        open_store(store.path)


def test_shard_is_named_by_its_content(store):
    add(store, "a")
    (shard,) = live_shards(store.folder(PRINT))
    table = shard.table()
    again = shards.write_shard(
        shard.folder, table.replace_schema_metadata(None), vector_of("a")[None], facts=shard.facts, replaces=[]
    )
    assert again.name[-16:] == shard.name[-16:]


def test_reader_sees_a_replacement_made_while_it_reads(store):
    for name in "abcd":
        add(store, name)
    started = []

    def read_while_compacting(shard: Shard) -> int:
        if not started:
            started.append(compact(store))
        return len(shard.table())

    read = read_shards(store.folder(PRINT), read_while_compacting)
    assert [rows for _, rows in read] == [4]


def test_listing_that_missed_a_replacement_is_made_again(store, monkeypatch):
    for name in "ab":
        add(store, name)
    listings = [set(), *[shards.shard_names(store.folder(PRINT))] * 2]  # the first fell between new and old
    monkeypatch.setattr(shards, "shard_names", lambda _: listings.pop(0))
    assert len(live_shards(store.folder(PRINT))) == 2


def test_shard_that_is_listed_and_never_there_ends_in_words(store, monkeypatch):
    add(store, "a")
    monkeypatch.setattr(shards, "_PAUSE", 0)
    monkeypatch.setattr(shards, "shard_names", lambda _: {"20260101T000000000000000-0123456789abcdef"})
    with pytest.raises(StoreError, match="changes faster than it can be read"):
        store.rows(PRINT)


def test_what_is_written_later_comes_later_whatever_the_clock_says(store, monkeypatch):
    times = [10**18 + 999_999_999, 10**18, 10**18 + 999_999_999, 5]
    monkeypatch.setattr("time.time_ns", lambda: times.pop(0))
    for name in "abcd":
        store.add_images(pd.DataFrame([("k", "x.jpg", 5, 6, key(name))], columns=IMAGE_COLUMNS))
    assert store.images()["sha256"].tolist() == [key(name) for name in "abcd"]
    names = [shard.name for shard in live_shards(store.path / "images")]
    assert [name[15:24] for name in names] == ["999999999", "000000000", "000000001", "000000002"]
