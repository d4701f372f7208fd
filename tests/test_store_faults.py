"""Whatever is killed, and wherever: what was committed is read, nothing is torn, and the same command finishes.

FACEPROBE_TORTURE=N makes all of it N times as long.
"""

import itertools
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import StoreError
from embedder.store import EmbeddingStore, open_store
from embedder.upkeep.compact import compact
from embedder.upkeep.forget import forget
from embedder.upkeep.gc import gc
from embedder.upkeep.merge import merge
from embedder.upkeep.search import search
from embedder.upkeep.verify import verify
from tests.faults import crash
from tests.stores import PRINT, add, add_images, content, key, vector_of

TIMES = int(os.environ.get("FACEPROBE_TORTURE", "1"))
NAMES = "abcdef"

Operation = Callable[[EmbeddingStore], object]


def sibling(store: EmbeddingStore) -> EmbeddingStore:
    """Another store, to be merged."""
    other = EmbeddingStore(store.path.with_name("other"))
    if not other.path.exists():
        other = open_store(other.path, create=True)
        add(other, "a", "g")
        add(other, "h", failed=("y",))
        add(other, "a", "b")
        compact(other)
    return other


def forget_one(name: str) -> Operation:
    """Forget an image as a user does who has no job to wait for."""

    def operation(store: EmbeddingStore) -> None:
        try:
            forget(store, [key(name)])
        except StoreError as error:
            if "gc --older-than 0" not in str(error):
                raise
            gc(store, older_than=0)
            forget(store, [key(name)])
        assert search(store, {key(name)}, {PRINT: {bytes(vector_of(name))}})[0] == []

    return operation


names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
operations = st.one_of(
    names.map(lambda chosen: ("add", lambda store: add(store, *chosen))),
    names.map(lambda chosen: ("add failures", lambda store: add(store, failed=tuple(chosen)))),
    names.map(lambda chosen: ("add images", lambda store: add_images(store, {"same.jpg": chosen[0]}))),
    st.sampled_from(NAMES).map(lambda name: ("forget", forget_one(name))),
    st.just(("compact", compact)),
    st.just(("gc", lambda store: gc(store, older_than=0))),
    st.just(("merge", lambda store: merge([sibling(store)], store))),
)


def assert_between(before: dict, now: dict, after: dict, where: str) -> None:
    """Nothing is there that was in neither state, and nothing is missing that was in both."""
    assert now.items() <= before.items() | after.items(), where
    assert before.items() & after.items() <= now.items(), where


@mock.patch("os.fsync")  # for speed: `crash` knows what was synced
@settings(max_examples=6 * TIMES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(earlier=st.lists(operations, min_size=1, max_size=4), last=operations, power_cut=st.booleans())
def test_crash_at_any_step_of_any_operation_loses_and_tears_nothing(fsync, tmp_path_factory, earlier, last, power_cut):
    place = tmp_path_factory.mktemp("crash")
    start = open_store(place / "start", create=True)
    for _, operation in earlier:
        operation(start)
    sibling(start)
    name, operation = last
    before = content(start)
    whole = copy(start, "whole")
    operation(whole)
    after = content(whole)
    for step in itertools.count():
        store = copy(start, "crashed")
        with crash(step, power_cut=power_cut) as disk:
            operation(store)
        where = f"{name}, step {step}"
        assert_between(before, content(store), after, where)
        assert not verify(store.path).damaged, where
        if disk.steps < step:  # it ended before
            break
        operation(store)
        assert content(store) == after, where
        gc(store, older_than=0)
        assert not verify(store.path).damaged, where


def copy(store: EmbeddingStore, name: str) -> EmbeddingStore:
    target = store.path.with_name(name)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(store.path, target)
    return EmbeddingStore(target)


def test_crashes_come_at_every_step(tmp_path):
    """The disk that fails is itself to be trusted: it counts every step of a commit, and half a write is seen."""
    store = open_store(tmp_path / "store", create=True)
    with crash(10**6) as disk:
        add(store, "a")
    # three folders; spec.json, vectors, table, images: a write, two fsyncs and a rename each; vectors have a header
    assert disk.steps == 3 + 4 * 4 + 1
    with crash(2):
        add(store, "b")
    (vectors,) = store.folder(PRINT).glob("*.npy")
    (half,) = store.folder(PRINT).glob(".*.tmp")  # the crash lets nobody clean up
    assert half.stat().st_size == vectors.stat().st_size
    assert set(content(store)) == {(PRINT, key("a"), 0), ("path", "a.jpg")}


OPERATIONS: dict[str, Operation] = {
    "compact": compact,
    "forget": forget_one("a"),
    "merge": lambda store: merge([sibling(store)], store),
}


def run(name: str, path) -> None:
    """What the killed process does."""
    OPERATIONS[name](EmbeddingStore(path))


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_process_loses_and_tears_nothing(tmp_path, name):
    start = open_store(tmp_path / "start", create=True)
    for number in range(8):
        add(start, "a", f"n{number}", failed=(f"x{number}",))
    sibling(start)
    before, whole = content(start), copy(start, "whole")
    began = time.perf_counter()
    OPERATIONS[name](whole)
    lasts, after = time.perf_counter() - began, content(whole)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    rng, killed = random.Random(0), 0
    for _ in range(4 * TIMES):
        store = copy(start, "killed")
        process = processes.Process(target=run, args=(name, store.path))
        process.start()
        time.sleep(rng.uniform(0, 1.2 * lasts))
        process.kill()
        process.join()
        killed += process.exitcode == -9
        assert_between(before, content(store), after, name)
        assert not verify(store.path).damaged
        OPERATIONS[name](store)
        assert content(store) == after
    assert killed, "no kill came in time"
