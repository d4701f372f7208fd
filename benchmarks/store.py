"""How fast a large store opens, grows, is verified, compacted and forgotten from.

python -m benchmarks.store [ROWS]

Vectors of 512 float32 in shards of 4,096, made in a temporary folder (2 GB for the default of a million rows). Opening
and taking 10,000 random rows is timed in fresh processes, after their imports; the best of five, since others use the
machine too. The system's cache is warm for everything alike, also for the plain reading that `verify` is set beside.
"""

import dataclasses
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from embedder.preprocess import DECODE
from embedder.spec import EmbeddingSpec
from embedder.store import ROW_COLUMNS, EmbeddingStore, open_store
from embedder.upkeep.compact import compact
from embedder.upkeep.forget import forget
from embedder.upkeep.verify import verify

DIM, SHARD, TAKE, ROUNDS = 512, 4096, 10_000, 5
EMBED_MS = 5.6  # of MobileFaceNet per image, README
SPEC = EmbeddingSpec(
    weights_sha256=None,
    dim=(DIM,),
    input_size=(112, 112),
    channel_order="RGB",
    normalization="raw",
    layer="output",
    detector="none",
    alignment="none",
    crop="none",
    decode=DECODE,
    precision="fp32",
    name="random",
    dtype="float32",
)

# A process that only looks up: it prints seconds, its peak memory in MB, and how much of that the imports took. VmHWM
# begins with the program; getrusage would count what the parent held.
TAKER = """
import sys, time
from pathlib import Path
from embedder.store import open_store

def peak_memory():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

path, fingerprint, keys = sys.argv[1:]
wanted, imported, started = Path(keys).read_text().split(), peak_memory(), time.perf_counter()
rows, vectors = open_store(path).read(fingerprint, wanted)
seconds = time.perf_counter() - started
assert len(rows) == len(vectors) == len(wanted)
print(seconds, peak_memory(), imported)
"""


def main(rows: int) -> None:
    """Print one line per measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder, keys = Path(name) / "store", Path(name) / "keys"
        store = open_store(folder, create=True)
        append_all(store, rows, keys)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
        print(f"{rows:,} rows of {DIM} float32 in shards of {SHARD:,}, {size:,.0f} MB")
        take_in_processes(store, keys, "as written")
        bare = best(partial(read_all, folder))
        hashed = best(partial(read_all, folder, hashing=True))
        checked = best(partial(verify, folder))
        print(f"verify       {size / checked:6,.0f} MB/s")
        print(
            f"             {size / bare:6,.0f} MB/s to read alone, {size / hashed:,.0f} to read and hash, in one thread"
        )
        compacting = timed(partial(compact, store))
        take_in_processes(store, keys, "compacted")
        forgetting = timed(partial(forget, store, [keys.read_text().split()[0]]))
        print(f"compact      {compacting:6.1f} s")
        print(f"forget       {forgetting:6.1f} s for one image, with the search of every byte")


def append_all(store: EmbeddingStore, rows: int, keys: Path) -> None:
    """Write as a running extraction does, in dimensions 512 and 128, and keep some keys to look up."""
    rng = np.random.default_rng(0)
    seconds, chosen = [], []
    for start in range(0, rows, SHARD):
        n = min(SHARD, rows - start)
        frame = frame_of([rng.bytes(32).hex() for _ in range(n)])
        chosen += frame["sha256"].sample(-(-TAKE * n // rows), random_state=start).tolist()
        seconds.append(timed(partial(store.add, SPEC, frame, rng.standard_normal((n, DIM), dtype=np.float32))))
    keys.write_text("\n".join(chosen[:TAKE]))
    with tempfile.TemporaryDirectory() as name:
        small, spec = open_store(name, create=True), dataclasses.replace(SPEC, dim=(128,))
        frame, vectors = frame_of([rng.bytes(32).hex() for _ in range(SHARD)]), rng.random((SHARD, 128), np.float32)
        append = statistics.median(timed(partial(small.add, spec, frame, vectors)) for _ in range(ROUNDS))
    print(f"append       {statistics.median(seconds) * 1000:6.0f} ms per shard of {SHARD:,} x {DIM}")
    share = append * 1000 / (SHARD * EMBED_MS)
    print(f"             {append * 1000:6.0f} ms per shard of {SHARD:,} x 128, {share:.2%} of MobileFaceNet's time")


def frame_of(keys: list[str]) -> pd.DataFrame:
    """Rows of images that are all ok."""
    return pd.DataFrame({"sha256": keys, "face": 0, "status": "ok", "reason": ""})[ROW_COLUMNS]


def take_in_processes(store: EmbeddingStore, keys: Path, state: str) -> None:
    """Open and look up in fresh processes; print the best time and the largest memory."""
    words = [sys.executable, "-c", TAKER, str(store.path), SPEC.fingerprint, str(keys)]
    runs = [subprocess.run(words, check=True, capture_output=True, text=True).stdout.split() for _ in range(ROUNDS)]
    seconds, memory, baseline = (list(map(float, column)) for column in zip(*runs, strict=True))
    print(
        f"open, take   {min(seconds):6.2f} s for {TAKE:,} random rows, {state}; "
        f"peak memory {max(memory):.0f} MB, {max(baseline):.0f} of it after the imports"
    )


def read_all(folder: Path, *, hashing: bool = False) -> None:
    """Read every file in one thread, the least that `verify` could do; and hash it in one."""
    buffer = bytearray(4 << 20)
    for path in folder.rglob("*.*"):
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            while n := file.readinto(buffer):
                if hashing:
                    digest.update(memoryview(buffer)[:n])


def best(work: Callable[[], object]) -> float:
    """Fewest seconds of three runs."""
    return min(timed(work) for _ in range(3))


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
