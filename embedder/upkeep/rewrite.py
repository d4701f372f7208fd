"""Put shards in the place of others. A kill at any moment leaves a store that reads correctly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data.remote import Place
from embedder.shards import Shard, live_shards, remove, write_shard

Keep = NDArray[np.bool_]


def replace(folder: Place, parts: Sequence[tuple[Shard, Keep]]) -> None:
    """Put one shard in the place of several, in order of name, with those of their rows that are to stay.

    Its commit takes the old ones out of every reader's sight; then their files go. A shard that is left without rows
    goes last of all.
    """
    olds = [shard for shard, _ in parts]
    tables = [shard.table().filter(pa.array(keep)).replace_schema_metadata(None) for shard, keep in parts]
    facts: dict[str, Any] = {}
    vectors = None
    if "row" in tables[0].column_names:
        kept = [table["row"].drop_null().to_numpy() for table in tables]
        pairs = [(shard, rows) for shard, rows in zip(olds, kept, strict=True) if len(rows)]
        if pairs:
            vectors = np.concatenate([shard.vectors(rows) for shard, rows in pairs])
        seconds = sum(shard.facts["seconds"] * len(rows) / shard.facts["vectors"] for shard, rows in pairs)
        facts = {"fingerprint": folder.name, "vectors": sum(map(len, kept)), "seconds": seconds}
    table = _renumbered(pa.concat_tables(tables))
    new = write_shard(folder, table, vectors, facts=facts, replaces=olds)
    _drop(olds)
    if not len(table):
        _drop([new])


def finish(folder: Place) -> None:
    """Do what a stopped `replace` left to be done."""
    shards = live_shards(folder)
    replaced = {old for shard in shards for old in shard.facts.get("replaces", ())}
    _drop([Shard(folder, name, {}) for name in sorted(replaced)])
    _drop([shard for shard in shards if not shard.facts["rows"]])


def _drop(shards: Sequence[Shard]) -> None:
    """Remove tables before vectors."""
    files = [shard.table_path for shard in shards] + [shard.vectors_path for shard in shards]
    present = [path for path in files if path.exists()]
    if present:
        remove(present)


def _renumbered(table: pa.Table) -> pa.Table:
    """Count `row` anew, where there is one."""
    if "row" not in table.column_names:
        return table
    ok = table["row"].is_valid().to_numpy()
    row = pa.array(np.cumsum(ok) - 1, pa.int32(), mask=~ok)
    return table.set_column(table.column_names.index("row"), table.schema.field("row"), row)
