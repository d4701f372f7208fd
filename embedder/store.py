"""EmbeddingStore: rows and vectors on disk, keyed by content, one folder per fingerprint.

    store.json                                  {"format": "faceprobe store", "version": 1}
    images/SHARD.parquet                        one row per file read: path, size, mtime_ns, sha256
    embeddings/FINGERPRINT/spec.json            the EmbeddingSpec
    embeddings/FINGERPRINT/SHARD.parquet        one row per face or failure: sha256, face, status, reason, row
    embeddings/FINGERPRINT/SHARD.npy            the vectors; `row` of the Parquet file counts into it

A shard never changes. Its .npy is written first, and its .parquet, renamed into place, is the commit: a shard without
one does not exist. Shards have unique names, so several jobs write into one folder without knowing of each other; rows
that two of them both wrote are equal, and readers take the first. docs/store.md has the reasons.
"""

import hashlib
import io
import json
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.errors import FingerprintMismatch, StoreError
from data.files import PRIVATE, atomic_write, write_text
from embedder.spec import EmbeddingSpec, difference

FORMAT = "faceprobe store"
VERSION = 1

_IMAGES = pa.schema(
    [
        ("path_key", pa.string()),  # SHA-256 of the absolute path, 32 digits: tells equal names in two folders apart
        ("path", pa.string()),  # image_id: relative, POSIX
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
    ]
)
_ROWS = pa.schema(
    [
        ("sha256", pa.string()),
        ("face", pa.int16()),
        ("status", pa.dictionary(pa.int32(), pa.string())),
        ("reason", pa.string()),
        ("row", pa.int32()),  # into the shard's .npy; null unless status is ok
    ]
)
IMAGE_COLUMNS = _IMAGES.names
ROW_COLUMNS = _ROWS.names[:-1]  # what `add` is given; it counts the rows itself


class EmbeddingStore:
    """An embedding store on a file system; made by `open_store`.

    Attributes
    ----------
    path : Path of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def specs(self) -> dict[str, EmbeddingSpec]:
        """The EmbeddingSpec of every fingerprint held, in order of name."""
        files = sorted(self.path.glob("embeddings/*/spec.json"))
        specs = [EmbeddingSpec.from_json(_read_json(file)) for file in files]
        return {spec.fingerprint: spec for spec in sorted(specs, key=lambda spec: spec.name)}

    def find(self, name: str) -> EmbeddingSpec | None:
        """The spec held under a backbone's name or a fingerprint; None if there is none.

        Raises
        ------
        StoreError : several fingerprints bear the name.
        """
        specs = self.specs()
        if name in specs:
            return specs[name]
        named = [spec for spec in specs.values() if spec.name == name]
        if len(named) > 1:
            prints = ", ".join(spec.fingerprint for spec in named)
            raise StoreError(f"{self.path} holds {name} with several settings: name one of {prints} instead")
        return named[0] if named else None

    def require(self, spec: EmbeddingSpec) -> None:
        """Refuse a spec that the store does not hold.

        Raises
        ------
        FingerprintMismatch : with the fields in which the nearest entry differs.
        """
        specs = self.specs()
        if spec.fingerprint in specs:
            return
        namesakes = [held for held in specs.values() if held.name == spec.name]
        if not namesakes:
            held = ", ".join(held.name for held in specs.values()) or "no embeddings"
            raise FingerprintMismatch(f"{self.path} holds {held}: run `extract --backbone {spec.name}` first")
        nearest = min(namesakes, key=lambda other: len(difference(other, spec)))
        lines = "\n".join(
            f"  {field}: the store has {found}, asked for is {wanted}"
            for field, found, wanted in difference(nearest, spec)
        )
        raise FingerprintMismatch(
            f"{self.path} holds {nearest.name} {nearest.fingerprint}, not {spec.name} {spec.fingerprint}.\n{lines}\n"
            "Run `extract` with the settings asked for."
        )

    def add(self, spec: EmbeddingSpec, rows: pd.DataFrame, vectors: NDArray[Any], *, seconds: float = 0.0) -> None:
        """Commit one shard, whole or not at all.

        Parameters
        ----------
        spec : whose embeddings these are.
        rows : DataFrame with the columns ROW_COLUMNS: sha256, face, status, reason.
        vectors : ndarray of shape (k, *dim): one for each of the k rows with status "ok", in their order.
        seconds : that the backbone took for them.

        Raises
        ------
        StoreError : the shapes do not fit the spec, a vector is not finite, or the disk refuses.
        """
        ok = (rows["status"] == "ok").to_numpy()
        vectors = np.ascontiguousarray(vectors, dtype=spec.dtype).reshape(-1, *spec.dim)
        if len(vectors) != ok.sum():
            raise StoreError(f"{ok.sum()} rows are ok but {len(vectors)} vectors came with them")
        if not np.isfinite(vectors).all():
            raise StoreError(f"vectors of {spec.name} must be finite, found NaN or infinity: give those rows a status")
        folder = self.path / "embeddings" / spec.fingerprint
        shard = _new_shard_name()
        with _disk_errors(self.path):
            if not (folder / "spec.json").exists():
                _make_folder(folder.parent)
                _make_folder(folder)
                write_text(folder / "spec.json", json.dumps(spec.to_json(), indent=1), mode=PRIVATE)
            metadata: dict[str, Any] = {"fingerprint": spec.fingerprint, "rows": len(vectors), "seconds": seconds}
            if len(vectors):
                content = _npy(vectors)
                metadata["vectors_sha256"] = hashlib.sha256(content).hexdigest()
                with atomic_write(folder / f"{shard}.npy", mode=PRIVATE) as file:
                    file.write(content)
            row = pd.array(np.where(ok, np.cumsum(ok) - 1, 0), dtype="Int32")
            row[~ok] = pd.NA
            _write_table(folder / f"{shard}.parquet", rows.assign(row=row), _ROWS, metadata)

    def add_images(self, images: pd.DataFrame) -> None:
        """Commit which bytes files were found to hold: a DataFrame with the columns IMAGE_COLUMNS."""
        with _disk_errors(self.path):
            _make_folder(self.path / "images")
            _write_table(self.path / "images" / f"{_new_shard_name()}.parquet", images, _IMAGES, {})

    def images(self) -> pd.DataFrame:
        """Every file ever read, as `add_images` took them, oldest first."""
        return _read_tables(sorted(self.path.glob("images/*.parquet")), _IMAGES)

    def rows(self, fingerprint: str) -> pd.DataFrame:
        """One row per face or failure: sha256, face, status, reason, row, shard (a name); each (sha256, face) once."""
        files = sorted((self.path / "embeddings" / fingerprint).glob("*.parquet"))
        return _read_tables(files, _ROWS, shard=True).drop_duplicates(["sha256", "face"], ignore_index=True)

    def seconds_per_row(self, fingerprint: str) -> float:
        """How long the backbone took for a vector, on average over all that is held; NaN without vectors."""
        files = (self.path / "embeddings" / fingerprint).glob("*.parquet")
        shards = [json.loads(pq.read_schema(file).metadata[b"faceprobe"]) for file in files]
        rows = sum(shard["rows"] for shard in shards)
        return sum(shard["seconds"] for shard in shards) / rows if rows else float("nan")

    def vectors(self, fingerprint: str, rows: pd.DataFrame) -> NDArray[Any]:
        """The vectors of `rows` (with status ok, from `rows()`), in their order: shape (n, *dim).

        Shards are memory-mapped: only the rows asked for are read.
        """
        spec = EmbeddingSpec.from_json(_read_json(self.path / "embeddings" / fingerprint / "spec.json"))
        found = np.empty((len(rows), *spec.dim), spec.dtype)
        shards, numbers = rows["shard"].to_numpy(), rows["row"].to_numpy(dtype=np.int64)
        for shard in pd.unique(shards):
            here = shards == shard
            file = self.path / "embeddings" / fingerprint / f"{shard}.npy"
            try:
                found[here] = np.load(file, mmap_mode="r", allow_pickle=False)[numbers[here]]
            except (OSError, ValueError, IndexError) as error:
                raise StoreError(f"{file} is missing or damaged ({error}): extract into a new store") from None
        return found

    def read(self, fingerprint: str, sha256: Sequence[str] | pd.Series) -> tuple[pd.DataFrame, NDArray[Any]]:
        """Look images up by content.

        Returns
        -------
        (rows, vectors) : the rows of those images that are ok (first face), indexed by position in `sha256`, and
            their vectors (len(rows), *dim). Joining is by content; the order of the store never matters.
        """
        held = self.rows(fingerprint)
        first = held[(held["status"] == "ok") & (held["face"] == 0)].set_index("sha256")
        wanted = pd.DataFrame({"sha256": sha256})
        rows = wanted.join(first, on="sha256").dropna(subset=["row"])
        return rows, self.vectors(fingerprint, rows)


def open_store(path: str | os.PathLike[str], *, create: bool = False) -> EmbeddingStore:
    """Open a store, or make an empty one where there is nothing.

    Raises
    ------
    StoreError : no store there (and not `create`), a folder of something else, or a store of a newer version.
    """
    path = Path(path)
    marker = path / "store.json"
    if marker.is_file():
        _require_version(path, _read_json(marker))
        return EmbeddingStore(path)
    if not create:
        raise StoreError(f"no embedding store at {path}: run `extract ... --store {path}` first")
    if path.exists() and (not path.is_dir() or any(map(_is_foreign, path.iterdir()))):
        raise StoreError(f"{path} is not an embedding store and not an empty folder: choose another place")
    with _disk_errors(path):
        _make_folder(path)
        path.chmod(0o700)
        write_text(marker, json.dumps({"format": FORMAT, "version": VERSION}), mode=PRIVATE)
    return EmbeddingStore(path)


def _is_foreign(entry: Path) -> bool:
    """Whether something that no store has; another job may be making this one at the same moment."""
    return entry.name not in ("store.json", "images", "embeddings") and not entry.name.startswith(".store.json.")


def path_key(path: str) -> str:
    """What stands for an absolute path in a store: 32 hexadecimal digits of its SHA-256.

    Two folders may hold files of one relative name, size and mtime (archives unpack that way); this tells them apart
    without keeping where they lie.
    """
    return hashlib.sha256(os.path.abspath(path).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _require_version(path: Path, marker: dict[str, Any]) -> None:
    if marker.get("format") != FORMAT or not isinstance(marker.get("version"), int):
        raise StoreError(f"{path / 'store.json'} does not describe an embedding store: choose another place")
    if marker["version"] > VERSION:
        raise StoreError(
            f"{path} has store format {marker['version']}, this program reads up to {VERSION}: update faceprobe"
        )


class _disk_errors:
    """Say in one line what a full or read-only disk means; nothing half-written is left behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(
                f"cannot write to {self._path}: {error.strerror or error}. What was committed before is kept; "
                "make room or mend the permissions and run the same command again"
            ) from None


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _new_shard_name() -> str:
    """Sorts by time of writing, unique without asking anyone."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}{nanoseconds:09}-{secrets.token_hex(6)}"


def _npy(array: NDArray[Any]) -> memoryview:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getbuffer()


def _write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema, metadata: dict[str, Any]) -> None:
    table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
    table = table.replace_schema_metadata({"faceprobe": json.dumps({"version": VERSION, **metadata})})
    with atomic_write(path, mode=PRIVATE) as file:
        pq.write_table(table, file, compression="zstd")


def _read_tables(files: Iterable[Path], schema: pa.Schema, *, shard: bool = False) -> pd.DataFrame:
    tables = []
    for file in files:
        try:
            table = pq.read_table(file, schema=schema)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{file} is missing or damaged ({error}): extract into a new store") from None
        if shard:
            names = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), [file.stem])
            table = table.append_column("shard", names)
        tables.append(table)
    if not tables:
        fields = [*schema, pa.field("shard", pa.string())] if shard else schema
        return pa.schema(fields).empty_table().to_pandas()
    return pa.concat_tables(tables).to_pandas()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): restore it or extract into a new store") from None
    if not isinstance(content, dict):
        raise StoreError(f"{path} must hold a JSON object: restore it or extract into a new store")
    return content
