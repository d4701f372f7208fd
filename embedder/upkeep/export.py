"""Write the embeddings of one backbone in the forms that other programs read."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.errors import StoreError
from data.files import PRIVATE, atomic_write
from embedder.shards import Shard, disk_errors, make_folder, read_shards
from embedder.spec import EmbeddingSpec
from embedder.store import EmbeddingStore
from embedder.upkeep.files import unchanged

CHUNK_BYTES = 32 << 20  # of vectors held at once, and of an .npy file

Chunks = Iterator[tuple[pd.DataFrame, NDArray[Any]]]


def export(store: EmbeddingStore, spec: EmbeddingSpec, output: Path, *, form: str, by_content: bool = False) -> int:
    """Write every vector of a fingerprint with what it belongs to, a chunk at a time.

    Columns: image_path (relative, as extracted), sha256, face; one row per file that the store knows, of a file that
    changed the newest. Of vectors of several dimensions the numbers stand in C order, except in .npy files.

    Parameters
    ----------
    output : a new folder for "npy", else a file.
    form : a key of WRITERS.
        "npy" : img_emb/img_emb_0000.npy and metadata/metadata_0000.parquet and so on, row by row alike: what
        clip-retrieval writes, and autofaiss and embedding-reader read.
        "parquet" : one file with the vectors as a fixed-size list, `embedding`.
        "csv" : one file with the numbers as columns e0, e1, ...; they read back as the same bits.
    by_content : one row per content instead, without image_path.

    Returns
    -------
    int : the rows written.

    Raises
    ------
    StoreError : there is nothing to write, the folder is not empty, a shard is damaged, or the disk refuses.
    """
    with unchanged(store), disk_errors(output):
        rows, shards = _rows(store, spec, by_content)
        if rows.empty:
            raise StoreError(
                f"{store.path} has no vector of {spec.name} that a known file belongs to: export by content"
                if not by_content
                else f"{store.path} has no vector of {spec.name}: run `extract` first"
            )
        WRITERS[form](output, _chunks(rows, shards, spec))
    return len(rows)


def failures(store: EmbeddingStore, spec: EmbeddingSpec) -> pd.DataFrame:
    """The images without a vector: image_path (missing if unknown), sha256, face, status, reason.

    Those in which its detector found no face are among them.
    """
    rows = store.rows(spec.fingerprint)
    tables = [held for held in store.specs().values() if held.holds_faces and held.detector == spec.detector]
    looked = [store.rows(table.fingerprint) for table in tables]
    outcomes = pd.concat([rows, *(each[~each["sha256"].isin(rows["sha256"])] for each in looked)])
    failed = outcomes[outcomes["status"] != "ok"].drop_duplicates(["sha256", "face"])
    return failed.merge(_paths(store), on="sha256", how="left")[["image_path", *rows.columns]]


def _paths(store: EmbeddingStore) -> pd.DataFrame:
    """What every known file holds: image_path, sha256."""
    files = store.images().drop_duplicates("path_key", keep="last")
    return files[["path", "sha256"]].rename(columns={"path": "image_path"})


def _rows(store: EmbeddingStore, spec: EmbeddingSpec, by_content: bool) -> tuple[pd.DataFrame, list[Shard]]:
    """Which vectors to write for what, (image_path, sha256, face, shard, row), in the order in which they lie there."""
    found = read_shards(
        store.folder(spec.fingerprint), lambda shard: shard.table(["sha256", "face", "row"]).to_pandas()
    )
    tables = [table.dropna(subset=["row"]).assign(shard=number) for number, (_, table) in enumerate(found)]
    if not tables:
        return pd.DataFrame(), []
    rows = pd.concat(tables, ignore_index=True).drop_duplicates(["sha256", "face"])
    if not by_content:
        rows = _paths(store).merge(rows, on="sha256").sort_values(["shard", "row"], kind="stable")
    return rows, [shard for shard, _ in found]


def _chunks(rows: pd.DataFrame, shards: list[Shard], spec: EmbeddingSpec) -> Chunks:
    """Rows and their vectors, CHUNK_BYTES at a time."""
    size = max(1, CHUNK_BYTES // max(1, int(np.prod(spec.dim)) * np.dtype(spec.dtype).itemsize))
    for start in range(0, len(rows), size):
        chunk = rows.iloc[start : start + size]
        vectors = [
            shards[cast(int, number)].vectors(here["row"].to_numpy(np.int64))
            for number, here in chunk.groupby("shard", sort=False)
        ]
        yield chunk.drop(columns=["shard", "row"]), np.concatenate(vectors)


def _write_npy(output: Path, chunks: Chunks) -> None:
    make_folder(output)
    if os.listdir(output):
        raise StoreError(f"{output} is not empty: name a new folder")
    make_folder(output / "img_emb")
    make_folder(output / "metadata")
    for number, (rows, vectors) in enumerate(chunks):
        with atomic_write(output / "metadata" / f"metadata_{number:04}.parquet", mode=PRIVATE) as file:
            rows.to_parquet(file, index=False)
        with atomic_write(output / "img_emb" / f"img_emb_{number:04}.npy", mode=PRIVATE) as file:
            np.save(file, vectors, allow_pickle=False)


def _write_parquet(output: Path, chunks: Chunks) -> None:
    with atomic_write(output, mode=PRIVATE) as file:
        writer = None
        for rows, vectors in chunks:
            flat = vectors.reshape(len(vectors), -1)
            table = pa.Table.from_pandas(rows, preserve_index=False)
            column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
            table = table.append_column("embedding", column)
            writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
        if writer:
            writer.close()


def _write_csv(output: Path, chunks: Chunks) -> None:
    with atomic_write(output, mode=PRIVATE) as file:
        for number, (rows, vectors) in enumerate(chunks):
            flat = vectors.reshape(len(vectors), -1)
            numbers = pd.DataFrame(flat, columns=[f"e{n}" for n in range(flat.shape[1])], index=rows.index)
            pd.concat([rows, numbers], axis=1).to_csv(file, index=False, header=not number, lineterminator="\n")


WRITERS: dict[str, Callable[[Path, Chunks], None]] = {
    "npy": _write_npy,
    "parquet": _write_parquet,
    "csv": _write_csv,
}
