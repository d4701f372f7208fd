"""Jobs that are killed at random moments, and continued: what every store must bear."""

import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from embedder.store import EmbeddingStore, open_store
from embedder.upkeep.gc import gc
from embedder.upkeep.verify import verify
from tests.stores import content


def kill_and_continue(
    job: Callable[..., object], place: Path, workers: int | None, *, stores: int, kills: int = 3, lasts: float
) -> int:
    """Fill some stores by jobs that are killed, then by one that is not; return how many kills came in time.

    Parameters
    ----------
    job : of a module; called in a process of its own with a store's path and `workers`.
    place : a folder for the stores.
    lasts : seconds in which a job may be killed; less once one has ended sooner.
    """
    job(place / "whole", None)
    whole = content(open_store(place / "whole"))
    processes = multiprocessing.get_context("forkserver")
    rng, killed = random.Random(0), 0
    for number in range(stores):
        store, before = EmbeddingStore(place / f"killed{number}"), {}
        for _ in range(kills):
            process = processes.Process(target=job, args=(store.path, workers))
            began = time.perf_counter()
            process.start()
            process.join(rng.uniform(0, lasts))
            process.kill()
            process.join()
            killed += process.exitcode == -9
            if process.exitcode == 0:  # too late: the next one meets an empty store again, and not a whole one
                lasts, before = time.perf_counter() - began, {}
                shutil.rmtree(store.path)
            elif (store.path / "store.json").exists():
                now = content(store)
                assert before.items() <= now.items() <= whole.items()  # nothing lost, nothing torn
                assert not verify(store.path).damaged
                before = now
        process = processes.Process(target=job, args=(store.path, workers))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert content(store) == whole
        gc(store, older_than=0)
        assert not verify(store.path).damaged
    return killed
