import os

import pytest

from embedder.shards import live_shards
from embedder.store import open_store
from embedder.upkeep import rewrite
from embedder.upkeep.compact import compact
from embedder.upkeep.gc import gc
from embedder.upkeep.verify import verify
from tests.stores import PRINT, content


@pytest.fixture
def littered(store):
    """The store with vectors of 208 bytes without a table, and a temporary file of 4."""
    shard = live_shards(store.folder(PRINT))[0]
    orphan = shard.folder / "20260101T000000000000000-0123456789abcdef.npy"
    orphan.write_bytes(shard.vectors_path.read_bytes()[:208])
    (store.path / "images" / ".x.0123.tmp").write_bytes(b"half")
    return store


def set_age(store, seconds):
    for path in store.path.rglob("*"):
        os.utime(path, (path.stat().st_mtime - seconds,) * 2)


def test_what_a_running_job_may_commit_is_left(littered):
    before = sorted(littered.path.rglob("*"))
    done = gc(littered)
    assert (done.removed, done.bytes, len(done.too_new)) == ([], 0, 2)
    assert sorted(littered.path.rglob("*")) == before


@pytest.mark.parametrize("old", [True, False])
def test_what_no_job_will_commit_goes(littered, old):
    before = content(littered)
    if old:
        set_age(littered, 3700)
    done = gc(littered) if old else gc(littered, older_than=0)
    assert done.removed == [
        f"embeddings/{PRINT}/20260101T000000000000000-0123456789abcdef.npy",
        "images/.x.0123.tmp",
    ]
    assert (done.bytes, done.too_new) == (212, [])
    assert content(littered) == before
    assert not verify(littered.path).findings


def test_dry_run_says_the_same_and_removes_nothing(littered):
    before = sorted(littered.path.rglob("*"))
    told = gc(littered, older_than=0, dry_run=True)
    assert sorted(littered.path.rglob("*")) == before
    assert told == gc(littered, older_than=0)


def test_what_a_stopped_compact_left_goes_at_any_age(store, monkeypatch):
    monkeypatch.setattr(rewrite, "_drop", lambda shards: None)  # as if killed before
    compact(store)
    monkeypatch.undo()
    before = content(store)
    remarks = [finding.problem for finding in verify(store.path).findings]
    assert remarks == ["was replaced by another shard, a stopped command left it"] * 9
    assert len(gc(store).removed) == 9
    assert content(store) == before
    assert not verify(store.path).findings


def test_foreign_files_are_not_touched(store):
    (store.path / "notes.txt").write_bytes(b"mine")
    set_age(store, 10**6)
    gc(store)
    assert (store.path / "notes.txt").exists()
    assert len(open_store(store.path).images()) == 5
