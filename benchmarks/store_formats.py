"""What the store's format was chosen by: the same vectors written and read in the formats that were weighed.

python -m benchmarks.store_formats [ROWS]

Shards of 4,096 vectors of 512 float32 are appended with fsync, then 10,000 random rows are looked up by their key by a
process that has just opened the files (the system's cache is warm for all alike). Lance takes part if it is installed.
"""

import importlib.util
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

DIM, SHARD, TAKE = 512, 4096, 10_000
Keys = list[str]


def fsync(path: Path) -> None:
    """Force a file to the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def table_of(keys: Keys, vectors: np.ndarray) -> pa.Table:
    """Keys and vectors as one Arrow table."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
    return pa.table({"sha256": keys, "vector": column})


def positions(held: pd.Index, keys: Keys) -> np.ndarray:
    """Where the wanted keys stand."""
    return held.get_indexer(pd.Index(keys))


class NpyParquet:
    """Numbered vector files with a Parquet table of rows beside each: the store's own."""

    def append(self, folder: Path, n: int, keys: Keys, vectors: np.ndarray) -> None:
        np.save(folder / f"{n:05}.npy", vectors)
        pq.write_table(pa.table({"sha256": keys}), folder / f"{n:05}.parquet", compression="zstd")
        fsync(folder / f"{n:05}.npy")
        fsync(folder / f"{n:05}.parquet")

    def take(self, folder: Path, keys: Keys) -> np.ndarray:
        files = sorted(folder.glob("*.parquet"))
        tables = [pq.read_table(file) for file in files]
        where = positions(pd.Index(pa.concat_tables(tables)["sha256"].to_pandas()), keys)
        starts = np.cumsum([0, *(len(table) for table in tables)])
        shard = np.searchsorted(starts, where, side="right") - 1
        found = np.empty((len(keys), DIM), np.float32)
        for number in np.unique(shard):
            here = shard == number
            mapped = np.load(files[number].with_suffix(".npy"), mmap_mode="r")
            found[here] = mapped[where[here] - starts[number]]
        return found


class ArrowIpc:
    """One Arrow file per shard, memory-mapped."""

    def append(self, folder: Path, n: int, keys: Keys, vectors: np.ndarray) -> None:
        table = table_of(keys, vectors)
        path = folder / f"{n:05}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        fsync(path)

    def take(self, folder: Path, keys: Keys) -> np.ndarray:
        files = sorted(folder.glob("*.arrow"))
        table = pa.concat_tables([pa.ipc.open_file(pa.memory_map(str(file))).read_all() for file in files])
        where = positions(pd.Index(table["sha256"].to_pandas()), keys)
        return np.asarray(table["vector"].take(where).combine_chunks().flatten()).reshape(-1, DIM)


class ParquetVectors:
    """One Parquet file per shard with a vector column."""

    def append(self, folder: Path, n: int, keys: Keys, vectors: np.ndarray) -> None:
        path = folder / f"{n:05}.parquet"
        pq.write_table(table_of(keys, vectors), path, compression="none", use_dictionary=False)
        fsync(path)

    def take(self, folder: Path, keys: Keys) -> np.ndarray:
        table = pa.concat_tables([pq.read_table(file) for file in sorted(folder.glob("*.parquet"))])
        where = positions(pd.Index(table["sha256"].to_pandas()), keys)
        return np.asarray(table["vector"].take(where).combine_chunks().flatten()).reshape(-1, DIM)


class Sqlite:
    """One SQLite file, a row and a blob per vector."""

    def append(self, folder: Path, n: int, keys: Keys, vectors: np.ndarray) -> None:
        with sqlite3.connect(folder / "store.sqlite") as base:
            base.execute("CREATE TABLE IF NOT EXISTS v (sha256 TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID")
            rows = ((key, row.tobytes()) for key, row in zip(keys, vectors, strict=True))
            base.executemany("INSERT INTO v VALUES (?, ?)", rows)

    def take(self, folder: Path, keys: Keys) -> np.ndarray:
        base = sqlite3.connect(folder / "store.sqlite")
        one = "SELECT vector FROM v WHERE sha256 = ?"
        blobs = b"".join(base.execute(one, (key,)).fetchone()[0] for key in keys)
        return np.frombuffer(blobs, np.float32).reshape(-1, DIM)


class Lance:
    """A Lance dataset."""

    def append(self, folder: Path, n: int, keys: Keys, vectors: np.ndarray) -> None:
        import lance

        lance.write_dataset(table_of(keys, vectors), str(folder / "store.lance"), mode="append" if n else "create")

    def take(self, folder: Path, keys: Keys) -> np.ndarray:
        import lance

        dataset = lance.dataset(str(folder / "store.lance"))
        where = positions(pd.Index(dataset.to_table(columns=["sha256"])["sha256"].to_pandas()), keys)
        taken = dataset.take(where, columns=["vector"])["vector"].combine_chunks()
        return np.asarray(taken.flatten()).reshape(-1, DIM)


def main(rows: int) -> None:
    """Print a row per format, checked to give back the same vectors."""
    rng = np.random.default_rng(0)
    keys = [rng.bytes(32).hex() for _ in range(rows)]
    vectors = rng.standard_normal((rows, DIM), dtype=np.float32)
    chosen = rng.choice(rows, TAKE)
    wanted = [keys[i] for i in chosen]
    formats: list[Any] = [NpyParquet(), ArrowIpc(), ParquetVectors(), Sqlite()]
    formats += [Lance()] if importlib.util.find_spec("lance") else []
    print(f"{rows:,} rows of {DIM} float32 in shards of {SHARD:,}; {TAKE:,} random rows by key")
    print(f"{'format':15} {'write MB/s':>10} {'size/raw':>9} {'take s':>7}")
    for form in formats:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write = timed(partial(append_all, form, folder, keys, vectors))
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            takes = [timed(partial(form.take, folder, wanted)) for _ in range(3)]
            assert np.array_equal(form.take(folder, wanted), vectors[chosen])
        speed = vectors.nbytes / 2**20 / write
        print(f"{type(form).__name__:15} {speed:10.0f} {size / vectors.nbytes:9.2f} {min(takes):7.2f}")


def append_all(form: Any, folder: Path, keys: Keys, vectors: np.ndarray) -> None:
    """Write shard by shard, as a running extraction does."""
    for n, start in enumerate(range(0, len(keys), SHARD)):
        form.append(folder, n, keys[start : start + SHARD], vectors[start : start + SHARD])


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
