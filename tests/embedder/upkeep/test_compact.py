import multiprocessing
import time

import numpy as np

from embedder.shards import live_shards
from embedder.store import open_store
from embedder.upkeep import compact as module
from embedder.upkeep.compact import compact
from embedder.upkeep.forget import forget
from embedder.upkeep.verify import verify
from tests.fakes import FAKE_SPEC
from tests.stores import PRINT, add, add_images, content, key, rows_of, vector_of


def files(store) -> set[str]:
    return {path.name for path in store.path.rglob("*") if path.is_file()}


def test_small_shards_become_one_and_nothing_is_lost(store):
    before, seconds = content(store), store.seconds_per_row(PRINT)
    done = compact(store)
    assert [(folder.folder, folder.before, folder.after) for folder in done] == [
        (f"embeddings/{PRINT}", 3, 1),
        ("images", 3, 1),
    ]
    assert content(store) == before
    assert store.seconds_per_row(PRINT) == seconds
    assert len(files(store)) == 5  # store.json, spec.json, a table with vectors, a table of images
    assert not verify(store.path).findings


def test_second_run_finds_nothing_to_do(store):
    compact(store)
    before = files(store)
    compact(store)
    assert files(store) == before


def test_shards_are_made_no_larger_than_full_ones(store, monkeypatch):
    monkeypatch.setattr(module, "FULL_BYTES", 3 * vector_of("a").nbytes)
    before = content(store)
    compact(store)
    assert [shard.facts["vectors"] for shard in live_shards(store.folder(PRINT))] == [3, 1]
    monkeypatch.setattr(module, "FULL_BYTES", 1 << 20)
    monkeypatch.setattr(module, "FULL_ROWS", 4)
    compact(store)
    assert [shard.facts["rows"] for shard in live_shards(store.folder(PRINT))] == [4, 1]
    assert content(store) == before


def test_equal_rows_are_kept_once(store):
    add(store, "a", "d", failed=("x",))
    before = content(store)
    assert compact(store)[0].dropped == 3
    assert content(store) == before
    assert live_shards(store.folder(PRINT))[0].facts["rows"] == 5


def test_rows_that_disagree_are_kept_for_verify_to_report(store):
    store.add(FAKE_SPEC, rows_of("a"), vector_of("b")[None])
    compact(store)
    assert verify(store.path).damaged
    assert (store.read(PRINT, [key("a")])[1] == vector_of("a")).all()


def test_of_a_file_that_changed_only_the_newest_row_stays(store):
    add_images(store, {"a.jpg": "b"})
    assert compact(store)[1].dropped == 1
    images = store.images().set_index("path")["sha256"]
    assert images["a.jpg"] == key("b")
    assert images.index.is_unique


def test_rows_written_after_a_compact_come_after_it(store):
    add_images(store, {"a.jpg": "b"})
    compact(store)
    add_images(store, {"a.jpg": "c"})
    compact(store)
    assert store.images().set_index("path")["sha256"]["a.jpg"] == key("c")


def test_empty_store_is_compact(tmp_path):
    assert [folder.before for folder in compact(open_store(tmp_path / "store", create=True))] == [0]


def read_until(stop, path, names, reading, errors):
    """Read the same images again and again; whatever else happens to the store, they are there."""
    store, reads = open_store(path), 0
    while not stop.is_set():
        rows, vectors = store.read(PRINT, [key(name) for name in names])
        if not (len(rows) == len(names) and np.array_equal(vectors, [vector_of(name) for name in names])):
            errors.put(f"read {len(rows)} of {len(names)}")
        if not set(map(key, names)) <= set(store.rows(PRINT)["sha256"]):
            errors.put("a row was missing")
        if not {f"{name}.jpg" for name in names} <= set(store.images()["path"]):
            errors.put("a file was missing")
        reads += 1
        reading.set()
    errors.put(reads)


def test_reader_in_another_process_notices_nothing(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    names = [f"stays{number}" for number in range(12)]
    for name in names:
        add(store, name)
    spawn = multiprocessing.get_context("forkserver")
    stop, reading, errors = spawn.Event(), spawn.Event(), spawn.Queue()
    reader = spawn.Process(target=read_until, args=(stop, store.path, names, reading, errors))
    reader.start()
    assert reading.wait(60)
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        for number in range(4):
            add(store, f"goes{number}", *names[number::4])
        compact(store)
        forget(store, [f"goes{number}.jpg" for number in range(4)])
    stop.set()
    first = errors.get(timeout=60)
    reader.join()
    assert isinstance(first, int), first
    assert reader.exitcode == 0
    assert first > 3, "it was to be reading meanwhile"
