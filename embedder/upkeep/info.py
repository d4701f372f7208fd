"""What is in a store."""

from collections import Counter
from dataclasses import dataclass

from embedder.shards import read_shards
from embedder.spec import EmbeddingSpec
from embedder.store import EmbeddingStore
from embedder.upkeep.files import inventory, unchanged
from embedder.upkeep.repeats import repeated_rows


@dataclass(frozen=True)
class Holding:
    """What a store holds under one fingerprint.

    Attributes
    ----------
    fingerprint, name, dim, licence : of its spec.
    seeded : whether the weights were drawn at random, not trained: good for tests alone.
    rows : by status, as stored; `repeated` of them say what another one says.
    shards, bytes : of its files.
    seconds_per_row : that the backbone took.
    """

    fingerprint: str
    name: str
    dim: tuple[int, ...]
    licence: str | None
    seeded: bool
    rows: dict[str, int]
    repeated: int
    shards: int
    bytes: int
    seconds_per_row: float


@dataclass(frozen=True)
class Info:
    """What a store holds: by fingerprint; how many files are known, and how many have the bytes of another; bytes."""

    holdings: list[Holding]
    images: int
    copies: int
    bytes: int


def info(store: EmbeddingStore) -> Info:
    """Count what a store holds; tables are read, vectors are not.

    Raises
    ------
    StoreError : a shard is damaged.
    """
    entries = inventory(store.path)
    sizes: Counter[str] = Counter()
    for entry in entries:
        if entry.kind != "folder":
            sizes[entry.path.parent.name] += entry.bytes
    with unchanged(store):
        holdings = [_holding(store, spec, sizes[fingerprint]) for fingerprint, spec in store.specs().items()]
    images = store.images().drop_duplicates("path_key", keep="last")
    copies = int(images["sha256"].duplicated().sum())
    return Info(holdings, len(images), copies, sum(sizes.values()))


def _holding(store: EmbeddingStore, spec: EmbeddingSpec, size: int) -> Holding:
    statuses: Counter[str] = Counter()
    shards = read_shards(store.folder(spec.fingerprint), lambda shard: shard.table(["status"])["status"])
    for _, column in shards:
        statuses.update({count["values"]: count["counts"] for count in column.value_counts().to_pylist()})
    return Holding(
        fingerprint=spec.fingerprint,
        name=spec.name,
        dim=spec.dim,
        licence=spec.recorded.get("licence"),
        seeded=spec.recorded.get("seeded") is not None,
        rows=dict(statuses.most_common()),
        repeated=len(repeated_rows([shard for shard, _ in shards])),
        shards=len(shards),
        bytes=size,
        seconds_per_row=store.seconds_per_row(spec.fingerprint),
    )
