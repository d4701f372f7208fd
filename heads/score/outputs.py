"""Rows of scores as CSV, JSON lines or Parquet, in parts that follow each other in a file.

The bytes do not depend on where one part ends and the next begins. Parquet has an end that only a finished table can
have, so its parts are an Arrow stream, from which the table is made at the end.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.spreadsheet import to_csv
from embedder.faces.table import BOX
from heads.score.rows import AGES, Kind, dtypes

FORMATS = ("csv", "jsonl", "parquet")
ROW_GROUP = 1 << 16  # rows of a Parquet file that are in memory at once

# Four decimals of an age, its interval or a probability are more than a face tells.
_DECIMALS = {**dict.fromkeys(AGES, 4), **dict.fromkeys(BOX, 1), "confidence": 4, "quality": 4}
_ARROW = {"text": pa.string(), "integer": pa.int16(), "number": pa.float64()}


@dataclass(frozen=True)
class Table:
    """A table of scores in one of the FORMATS.

    Attributes
    ----------
    format : "csv", "jsonl" or "parquet".
    columns : as of `Scorer`.
    """

    format: str
    columns: Mapping[str, Kind]

    @property
    def streams(self) -> bool:
        """Whether the parts, one after the other, are the table."""
        return self.format != "parquet"

    def head(self) -> bytes:
        """What comes before the first part."""
        if self.format == "parquet":
            return self._schema.serialize().to_pybytes()
        empty = pd.DataFrame(columns=pd.Index(self.columns))
        return to_csv(empty).encode() if self.format == "csv" else b""

    def part(self, rows: pd.DataFrame) -> bytes:
        """Some rows."""
        rows = rounded(rows)
        if self.format == "csv":
            return to_csv(rows, header=False).encode()
        if self.format == "jsonl":
            return rows.to_json(orient="records", lines=True, force_ascii=False).encode()
        batches = pa.Table.from_pandas(rows, schema=self._schema, preserve_index=False).combine_chunks().to_batches()
        return b"".join(batch.serialize().to_pybytes() for batch in batches)

    def finish(self, parts: Path, target: BinaryIO) -> None:
        """Make the Parquet table from a file of parts, ROW_GROUP rows at a time."""
        with pa.OSFile(str(parts)) as source, pq.ParquetWriter(target, self._schema) as writer:
            for group in _regrouped(pa.ipc.open_stream(source)):
                writer.write_table(group)

    @property
    def _schema(self) -> pa.Schema:
        return pa.schema([(name, _ARROW[kind]) for name, kind in self.columns.items()])


def rounded(rows: pd.DataFrame) -> pd.DataFrame:
    """Numbers with as many decimals as mean something."""
    return rows.round({name: _DECIMALS.get(name, 4) for name in map(str, rows) if _is_rounded(name)})


def read_table(path: Path, table: Table) -> Iterator[pd.DataFrame]:
    """Read a finished table of scores again, ROW_GROUP rows at a time, as `Scores.rows` were but for the rounding."""
    own = dtypes(table.columns)
    if table.format == "parquet":
        for batch in pq.ParquetFile(path).iter_batches(ROW_GROUP):
            yield batch.to_pandas().astype(own)
    elif table.format == "jsonl":
        with open(path, encoding="utf-8") as file:
            while lines := [*islice(file, ROW_GROUP)]:
                yield pd.DataFrame(map(json.loads, lines), columns=pd.Index(own)).astype(own)
    else:
        text = [name for name, kind in table.columns.items() if kind == "text"]
        missing = {name: [""] for name in table.columns if name not in text}
        for rows in pd.read_csv(path, chunksize=ROW_GROUP, dtype=own, keep_default_na=False, na_values=missing):
            yield rows.assign(**{name: rows[name].str.removeprefix("'") for name in text})


def _is_rounded(name: str) -> bool:
    return name in _DECIMALS or name.endswith("_proba")


def _regrouped(batches: "pa.RecordBatchReader") -> Iterator[pa.Table]:
    """The same rows in tables of ROW_GROUP each, whatever they came in: the file is to be the same."""
    waiting = batches.schema.empty_table()
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
        while len(waiting) >= ROW_GROUP:
            yield waiting[:ROW_GROUP].combine_chunks()
            waiting = waiting[ROW_GROUP:]
    yield waiting.combine_chunks()
