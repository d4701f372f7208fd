"""Rows that a store holds more than once: two jobs embedded one image at the same time, or stores were merged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from embedder.shards import Shard

SAME_DIRECTION = 0.999999  # cosine at which vectors of two runtimes count as equal but for rounding


@dataclass(frozen=True)
class Repeats:
    """Rows of one shard that stand in an earlier shard, or earlier in the same, as well.

    Attributes
    ----------
    shard, first : numbers of the shards.
    rows : ndarray of shape (n,): which rows of the later one.
    equal : ndarray of shape (n,), bool: failures both, or the same bits.
    difference : ndarray of shape (n,): of the numbers at most.
    cosine : ndarray of shape (n,).
    """

    shard: int
    first: int
    rows: NDArray[np.int64]
    equal: NDArray[np.bool_]
    difference: NDArray[np.float64]
    cosine: NDArray[np.float64]


def sha256_bytes(table: pa.Table) -> NDArray[np.bytes_]:
    """The column sha256 as 32 bytes each; ValueError if it does not hold 64 digits each."""
    return np.frombuffer(bytes.fromhex("".join(table["sha256"].to_pylist())), "S32")


def find_repeats(shards: Sequence[Shard]) -> Iterator[Repeats]:
    """Compare every row with the first of the same image, face and outcome (a vector or none).

    About 100 bytes are held per row, and the vectors that two shards share.
    """
    for key, rows in repeated_rows(shards).groupby(["shard", "first_shard", "ok"]):
        shard, first, ok = cast(tuple[int, int, bool], key)
        here, there = rows["row"].to_numpy(), rows["first_row"].to_numpy()
        if ok:
            compared = _compare(_vectors(shards[first], there), _vectors(shards[shard], here))
        else:
            compared = np.ones(len(here), bool), np.zeros(len(here)), np.ones(len(here))
        yield Repeats(shard, first, here, *compared)


def repeated_rows(shards: Sequence[Shard]) -> pd.DataFrame:
    """Which row (shard, row) repeats which (first_shard, first_row), and whether they are ok; what they say is not
    compared.
    """
    columns: list[list[NDArray[Any]]] = [[np.empty(0, "S32")], *([np.empty(0, int)] for _ in range(4))]
    for number, shard in enumerate(shards):
        table = shard.table(["sha256", "face", "row"])
        columns[0].append(sha256_bytes(table))
        columns[1].append(table["face"].to_numpy())
        columns[2].append(table["row"].is_valid().to_numpy())
        columns[3].append(np.full(len(table), number))
        columns[4].append(np.arange(len(table)))
    keys, faces, oks, numbers, rows = map(np.concatenate, columns)
    order = np.lexsort((oks, faces, keys))  # equal ones side by side, the earliest first
    differs = [column[order][1:] != column[order][:-1] for column in (keys, faces, oks)]
    starts = np.concatenate([[True], np.logical_or.reduce(differs)])[: len(order)]
    firsts = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    again, first = order[~starts], firsts[~starts]
    return pd.DataFrame(
        {
            "shard": numbers[again],
            "row": rows[again],
            "first_shard": numbers[first],
            "first_row": rows[first],
            "ok": oks[again].astype(bool),
        }
    )


def _vectors(shard: Shard, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Vectors of some rows of the table, flat."""
    return shard.vectors(shard.table(["row"])["row"].take(pa.array(rows)).to_numpy()).reshape(len(rows), -1)


def _compare(
    one: NDArray[Any], other: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Whether rows are equal, by how much their numbers differ at most, and the cosine."""
    equal = (one == other).all(axis=1)
    one, other = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine = np.where(equal, 1.0, np.einsum("ij,ij->i", one, other) / np.maximum(lengths, np.finfo(float).tiny))
    return equal, np.abs(one - other).max(axis=1, initial=0), cosine
