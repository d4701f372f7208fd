import dataclasses
import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data.errors import StoreError
from embedder.shards import live_shards, write_shard
from embedder.store import IMAGE_COLUMNS
from embedder.upkeep.verify import verify
from tests.fakes import FAKE_SPEC
from tests.stores import PRINT, add, add_images, key, rows_of, vector_of


def only_finding(store):
    (finding,) = verify(store.path).findings
    assert re.fullmatch(r"\S+: .+: .+", str(finding)), "one line: file, what is wrong, what to do"
    return finding


def forge(store, change, *, vectors=None):
    """Commit a shard whose hashes are right and whose rows or facts are not."""
    shard = live_shards(store.folder(PRINT))[0]
    table = change(shard.table()).replace_schema_metadata(None)
    vectors = shard.vectors(np.arange(shard.facts["vectors"])) if vectors is None else vectors
    write_shard(shard.folder, table, vectors, facts=shard.facts, replaces=[shard])


def test_store_in_order_has_no_findings(store):
    found = verify(store.path)
    assert found.findings == []
    norms = [np.linalg.norm(vector_of(name)) for name in "abcd"]
    assert found.norms[PRINT] == pytest.approx((min(norms), np.median(norms), max(norms)))
    assert found.files == 9  # three shards of two files, three tables of images
    assert found.bytes == sum(path.stat().st_size for path in store.path.rglob("*.[np]*") if path.name != "spec.json")


def test_any_flipped_byte_is_found_and_its_file_named(store):
    files = sorted(path for path in store.path.rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".json", ".parquet", ".npy"}
    for file in files:
        whole = file.read_bytes()
        for place in {*range(0, len(whole), 11 if file.name == "store.json" else 271), len(whole) - 1}:
            broken = bytearray(whole)
            broken[place] ^= 1 << place % 8
            file.write_bytes(broken)
            damaged = [finding.file for finding in verify(store.path).findings if finding.damaged]
            assert damaged == [file.relative_to(store.path).as_posix()], f"byte {place}"
        file.write_bytes(whole)
    assert not verify(store.path).findings


@pytest.mark.parametrize("pattern", ["embeddings/*/*.npy", "embeddings/*/*.parquet"])
@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\0", lambda content: b""])
def test_file_cut_short_or_longer_is_damaged(store, pattern, change):
    file = min(store.path.glob(pattern))
    file.write_bytes(change(file.read_bytes()))
    assert only_finding(store).damaged


def test_missing_vectors_and_missing_spec_are_damage(store):
    min(store.path.glob("embeddings/*/*.npy")).unlink()
    assert "No such file" in only_finding(store).problem
    (store.folder(PRINT) / "spec.json").unlink()
    assert {finding.file.rpartition("/")[2] for finding in verify(store.path).findings} >= {"spec.json"}


def with_column(number, values):
    return lambda table: table.set_column(number, table.schema.field(number), values)


@pytest.mark.parametrize(
    ("change", "vectors", "problem"),
    [
        (lambda table: table.slice(1), None, "has 1 rows and should have 2"),
        (lambda table: table.drop_columns(["reason"]), None, "columns are not those of a store"),
        (with_column(4, pa.array([1, 0], pa.int32())), None, "`row` does not count up"),
        (with_column(2, pa.array(["ok", "no_face"]).dictionary_encode()), None, "`row` does not count up"),
        (with_column(0, pa.array(["x", "y"])), None, "a sha256 is not one"),
        (lambda table: table, np.ones((2, 11), np.float32), r"holds float32 \(2, 11\), expected"),
        (lambda table: table, np.full((2, 12), np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_rows_that_cannot_be_are_damage_even_if_the_hashes_fit(store, change, vectors, problem):
    forge(store, change, vectors=vectors)
    damaged = [finding.problem for finding in verify(store.path).findings if finding.damaged]
    assert len(damaged) == 1
    assert re.search(problem, damaged[0])


def test_long_vectors_are_not_taken_for_infinite_ones(store):
    store.add(FAKE_SPEC, rows_of("long"), np.full((1, 12), 3e38, np.float32))
    assert not verify(store.path).damaged


def test_vectors_of_zeros_are_a_remark(store):
    store.add(FAKE_SPEC, rows_of("black"), np.zeros((1, 12), np.float32))
    finding = only_finding(store)
    assert not finding.damaged
    assert finding.problem == "1 vectors are all zeros"


@pytest.mark.parametrize(("factor", "damaged"), [(1 + 1e-6, False), (np.arange(12), True)])
def test_two_vectors_of_one_image_are_reported_with_their_difference(store, factor, damaged):
    store.add(FAKE_SPEC, rows_of("a"), (vector_of("a") * factor).astype(np.float32)[None])
    finding = only_finding(store)
    assert finding.damaged is damaged
    assert re.match(r"1 vectors differ from those of the same images in \S+, by [\d.e+-]+ at most", finding.problem)


def test_equal_rows_of_two_jobs_are_no_finding(store):
    add(store, "a", "b")
    add(store, failed=("x",))
    assert not verify(store.path).findings


def test_what_stopped_jobs_leave_is_a_remark_each(store):
    folder = store.folder(PRINT)
    max(folder.glob("*.parquet")).unlink()
    (folder / ".20260101T000000000000000-0123456789abcdef.npy.0123.tmp").write_bytes(b"half")
    (folder / "notes.txt").write_bytes(b"mine")
    for file in folder.iterdir():
        file.chmod(0o600)
    found = verify(store.path)
    assert not found.damaged
    problems = sorted(finding.problem.partition(":")[0] for finding in found.findings)
    assert problems == [
        "1 images have no embedding",
        "half-written",
        "not a file of a store",
        "vectors without a table",
    ]


def test_what_others_may_open_is_a_remark(store):
    os.chmod(store.path / "store.json", 0o640)
    assert only_finding(store).problem == "others may open it (mode 640)"
    os.chmod(store.path / "store.json", 0o600)
    os.chmod(store.path / "images", 0o755)
    assert only_finding(store).file == "images"


def test_absolute_paths_are_a_remark(store):
    store.add_images(pd.DataFrame([("0" * 32, "/photos/anna/1.jpg", 1, 2, key("a"))], columns=IMAGE_COLUMNS))
    assert only_finding(store).problem == "1 paths are absolute"


def test_file_without_an_embedding_is_a_remark(store):
    add_images(store, {"new.jpg": "new"})
    assert only_finding(store).remedy == "run `extract` again, it embeds them"


def test_pictures_are_checked_as_well(store):
    spec = dataclasses.replace(FAKE_SPEC, dim=(4, 3), dtype="uint8", name="pixels", precision="uint8")
    add(store, "a", spec=spec)
    found = verify(store.path)
    assert not found.findings
    assert found.norms[spec.fingerprint][0] == pytest.approx(np.linalg.norm(vector_of("a", spec).astype(float)))


def test_no_store_and_a_newer_store_are_refused(store, tmp_path):
    with pytest.raises(StoreError, match="no embedding store"):
        verify(tmp_path)
    (store.path / "store.json").write_text('{"format": "faceprobe store", "version": 99}')
    with pytest.raises(StoreError, match="store format 99"):
        verify(store.path)


def test_store_that_is_written_to_meanwhile_is_no_damage(store):
    with ThreadPoolExecutor(1) as job:
        job.submit(lambda: [add(store, f"new{number}") for number in range(20)])
        findings = [finding for _ in range(10) for finding in verify(store.path).findings]
    assert not [finding for finding in findings if finding.damaged]


def test_progress_ends_at_the_whole(store):
    seen = []
    found = verify(store.path, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (found.bytes, found.bytes)
