"""EmbeddingStore: rows and vectors on disk, keyed by content, one folder per fingerprint.

    store.json                         {"format": "faceprobe store", "version": 1}
    images/SHARD.parquet               one row per file read: path, size, mtime_ns, sha256
    embeddings/FINGERPRINT/spec.json   the EmbeddingSpec
    embeddings/FINGERPRINT/SHARD.*     one row per face or failure: sha256, face, status, reason, row; and the vectors

`embedder.shards` has the shards themselves. Several jobs write into one store without knowing of each other; rows that
two of them both wrote are equal, and readers take the first. docs/store.md has the reasons.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data.errors import FingerprintMismatch, StoreError
from data.files import PRIVATE, write_text
from data.remote import Place, RemotePath, is_remote, place
from embedder.shards import (
    IMAGES,
    ROWS,
    VERSION,
    Shard,
    disk_errors,
    live_shards,
    make_folder,
    read_shards,
    write_shard,
)
from embedder.spec import SEEDED, EmbeddingSpec, difference

MARKER = json.dumps({"format": "faceprobe store", "version": VERSION})  # all of store.json
IMAGE_COLUMNS = IMAGES.names
ROW_COLUMNS = ROWS.names[:-1]  # what `add` is given; it counts the rows itself
SHA256 = r"[0-9a-f]{64}"


class EmbeddingStore:
    """An embedding store in a folder or in object storage; made by `open_store`.

    Attributes
    ----------
    path : Path of its folder, or RemotePath.
    """

    def __init__(self, path: Place) -> None:
        self.path = path

    def folder(self, fingerprint: str) -> Place:
        """Where the embeddings of a fingerprint are."""
        return self.path / "embeddings" / fingerprint

    def specs(self) -> dict[str, EmbeddingSpec]:
        """The EmbeddingSpec of every fingerprint held, in order of name."""
        specs = [read_spec(file) for file in spec_files(self.path)]
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
            held = ", ".join(held.name for held in specs.values() if not held.holds_faces) or "no embeddings"
            raise FingerprintMismatch(f"{self.path} holds {held}: run `extract --backbone {_asked(spec)}` first")
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
        rows : DataFrame with the columns ROW_COLUMNS: sha256 (64 digits), face, status, reason.
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
        _check_keys(rows)
        row = pd.array(np.where(ok, np.cumsum(ok) - 1, 0), dtype="Int32")
        row[~ok] = pd.NA
        facts = {"fingerprint": spec.fingerprint, "vectors": len(vectors), "seconds": seconds}
        with disk_errors(self.path):
            folder = self.prepare(spec)
            write_shard(folder, _table(rows.assign(row=row), ROWS), vectors, facts=facts)

    def prepare(self, spec: EmbeddingSpec) -> Place:
        """Make the folder of a spec and write down its settings, unless they stand there."""
        folder = self.folder(spec.fingerprint)
        if not (folder / "spec.json").exists():
            make_folder(folder.parent)
            make_folder(folder)
            write_text(folder / "spec.json", seal(spec.to_json()), mode=PRIVATE)
        return folder

    def add_images(self, images: pd.DataFrame) -> None:
        """Commit which bytes files were found to hold: a DataFrame with the columns IMAGE_COLUMNS."""
        _check_keys(images)
        with disk_errors(self.path):
            make_folder(self.path / "images")
            write_shard(self.path / "images", _table(images, IMAGES), facts={})

    def images(self) -> pd.DataFrame:
        """Every file ever read, as `add_images` took them, oldest first."""
        tables = [table for _, table in read_shards(self.path / "images", Shard.table)]
        return pa.concat_tables([IMAGES.empty_table(), *map(_bare, tables)]).to_pandas()

    def rows(self, fingerprint: str) -> pd.DataFrame:
        """One row per face or failure: sha256, face, status, reason; each (sha256, face) once, ok if it ever was."""
        empty = ROWS.empty_table().select(ROW_COLUMNS)
        shards = read_shards(self.folder(fingerprint), lambda shard: shard.table(ROW_COLUMNS))
        held = pa.concat_tables([empty, *(_bare(table) for _, table in shards)]).to_pandas()
        ok_first = held.iloc[np.argsort(held["status"] != "ok", kind="stable")]
        return ok_first.drop_duplicates(["sha256", "face"]).sort_index().reset_index(drop=True)

    def seconds_per_row(self, fingerprint: str) -> float:
        """How long the backbone took for a vector, on average over all that is held; NaN without vectors."""
        facts = [shard.facts for shard in live_shards(self.folder(fingerprint))]
        vectors = sum(shard["vectors"] for shard in facts)
        return sum(shard["seconds"] for shard in facts) / vectors if vectors else float("nan")

    def vectors(self, fingerprint: str, rows: pd.DataFrame) -> NDArray[Any]:
        """The vectors of `rows` (with status ok, from `rows()`), in their order: shape (n, *dim)."""
        found, parts = self._take(fingerprint, rows["sha256"])
        keys = pd.MultiIndex.from_frame(rows[["sha256", "face"]].astype({"face": found["face"].dtype}))
        places = found.reset_index().set_index(["sha256", "face"])["index"].reindex(keys)
        if places.isna().any():
            raise StoreError(f"{self.path} has no vector of {places.isna().sum()} of {len(rows)} rows: read them again")
        return _gather(parts, places.to_numpy(dtype=np.int64))

    def read(
        self, fingerprint: str, sha256: Sequence[str] | pd.Series, *, face: pd.Series | None = None
    ) -> tuple[pd.DataFrame, NDArray[Any]]:
        """Look images up by content.

        Of the rows only the hashes are read, a shard at a time, and of the vectors only those asked for.

        Parameters
        ----------
        face : which face of each, of the index of `sha256`; missing, or None, for the first that has a vector: the
            picture as a whole where it was embedded so, else the largest of the faces that were.

        Returns
        -------
        (rows, vectors) : the rows (sha256, face) of those images that are ok, indexed by position in `sha256`, and
            their vectors (len(rows), *dim). Joining is by content; the order of the store never matters.
        """
        wanted = pd.DataFrame({"sha256": sha256})
        found, parts = self._take(fingerprint, wanted["sha256"])
        found = found.rename_axis("place").reset_index().sort_values("face", kind="stable")
        first = found.drop_duplicates("sha256").set_index("sha256")
        rows = wanted.join(first, on="sha256")
        if face is not None:
            keys = pd.MultiIndex.from_arrays([wanted["sha256"], face.astype("Int64")])
            given = found.astype({"face": "Int64"}).set_index(["sha256", "face"])["place"].reindex(keys).to_numpy()
            named = face.notna().to_numpy()
            rows["place"] = np.where(named, given, rows["place"])
            rows["face"] = np.where(named, face, rows["face"])
        rows = rows.dropna(subset=["place"])
        return rows[["sha256", "face"]], _gather(parts, rows["place"].to_numpy(dtype=np.int64))

    def read_all(self, fingerprint: str, sha256: Sequence[str] | pd.Series) -> tuple[pd.DataFrame, NDArray[Any]]:
        """Every face of some contents: rows (sha256, face), sorted, each once, and their vectors (len(rows), *dim)."""
        found, parts = self._take(fingerprint, pd.Series(sha256, dtype=object))
        found = found.sort_values(["sha256", "face"])
        return found.reset_index(drop=True), _gather(parts, found.index.to_numpy(dtype=np.int64))

    def _take(self, fingerprint: str, sha256: pd.Series) -> tuple[pd.DataFrame, list[NDArray[Any]]]:
        """The ok rows of some images, (sha256, face) each once, and vectors in parts; index labels count into them."""
        spec = read_spec(self.folder(fingerprint) / "spec.json")
        wanted = pa.array(sha256.dropna().unique(), pa.string())
        shards = read_shards(self.folder(fingerprint), lambda shard: _select(shard, wanted))
        parts = [part for _, part in shards if part is not None]
        empty = ROWS.empty_table().select(["sha256", "face"])
        rows = pa.concat_tables([empty, *(_bare(table) for table, _ in parts)]).to_pandas()
        return rows.drop_duplicates(), [np.empty((0, *spec.dim), spec.dtype), *(vectors for _, vectors in parts)]


def open_store(path: str | os.PathLike[str] | RemotePath, *, create: bool = False) -> EmbeddingStore:
    """Open a store, or make an empty one where there is nothing.

    Parameters
    ----------
    path : of its folder, or s3://BUCKET/KEY.

    Raises
    ------
    StoreError : no store there (and not `create`), a folder of something else, or a store of another version.
    """
    path = place(path)
    marker = path / "store.json"
    if marker.is_file():
        require_version(path)
        store = EmbeddingStore(path)
        store.specs()  # nothing is added to a store that could not be read
        return store
    if not create:
        raise StoreError(f"no embedding store at {path}: run `extract ... --store {path}` first")
    if path.exists() and (not path.is_dir() or any(map(_is_foreign, path.iterdir()))):
        raise StoreError(f"{path} is not an embedding store and not an empty folder: choose another place")
    with disk_errors(path):
        if not isinstance(path, RemotePath):
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.chmod(path, 0o700)
        write_text(marker, MARKER, mode=PRIVATE)
    return EmbeddingStore(path)


@contextlib.contextmanager
def store_or_private(path: Place | None) -> Iterator[EmbeddingStore]:
    """The store named, made where there is none; without a name a private one that ends with the block."""
    if path:
        yield open_store(path, create=True)
    else:
        with tempfile.TemporaryDirectory(prefix="faceprobe-") as folder:
            yield open_store(Path(folder) / "store", create=True)


def require_version(path: Place) -> None:
    """Refuse a folder whose store.json is of something else or of a newer version."""
    marker = _read_json(path / "store.json")
    if marker.get("format") != "faceprobe store" or not isinstance(marker.get("version"), int):
        raise StoreError(f"{path / 'store.json'} does not describe an embedding store: choose another place")
    if marker["version"] > VERSION:
        raise StoreError(
            f"{path} has store format {marker['version']}, this program reads up to {VERSION}: update faceprobe"
        )


def path_key(path: str) -> str:
    """What stands for an absolute path, or an s3:// one, in a store: 32 hexadecimal digits of its SHA-256.

    Two folders may hold files of one relative name, size and mtime (archives unpack that way); this tells them apart
    without keeping where they lie.
    """
    absolute = path if is_remote(path) else os.path.abspath(path)
    return hashlib.sha256(absolute.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def seal(fields: dict[str, Any]) -> str:
    """JSON that ends in the SHA-256 of the rest."""
    digest = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
    return json.dumps({**fields, "sha256": digest}, indent=1)


def spec_files(path: Place) -> list[Place]:
    """Every spec.json of a store."""
    try:
        folders: list[Place] = [*(path / "embeddings").iterdir()]
        files = [folder / "spec.json" for folder in sorted(folders, key=str)]
        return [file for file in files if file.exists()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}): mend its permissions") from None


def read_spec(path: Place) -> EmbeddingSpec:
    """The spec in a spec.json.

    Raises
    ------
    StoreError : a byte of it was changed, or it is not one of this version.
    """
    fields = _read_json(path)
    fields.pop("sha256", None)
    if seal(fields) != path.read_text("utf-8") or fields.get("fingerprint") != path.parent.name:
        raise StoreError(f"{path} was altered, or is of an unreleased version: restore it or extract into a new store")
    try:
        return EmbeddingSpec.from_json(fields)
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path} is of another version of faceprobe ({error}): extract into a new store") from None


def _select(shard: Shard, wanted: pa.Array) -> tuple[pa.Table, NDArray[Any]] | None:
    """The ok rows (sha256, face) of some images in one shard, and their vectors."""
    rows = shard.table(["sha256", "face", "row"])
    rows = rows.filter(pc.and_(pc.is_in(rows["sha256"], value_set=wanted), pc.is_valid(rows["row"])))
    return (rows.select(["sha256", "face"]), shard.vectors(rows["row"].to_numpy())) if len(rows) else None


def _gather(parts: list[NDArray[Any]], places: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of several arrays by their number, counted through all of them: parts are not joined for it."""
    gathered = np.empty((len(places), *parts[0].shape[1:]), parts[0].dtype)
    starts = np.cumsum([0, *map(len, parts)])
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], starts)
    for part, start, low, high in zip(parts, starts, bounds, bounds[1:], strict=False):
        here = order[low:high]
        gathered[here] = part[places[here] - start]
    return gathered


def _table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def _bare(table: pa.Table) -> pa.Table:
    """Without metadata, in which shards differ."""
    return table.replace_schema_metadata(None)


def _check_keys(rows: pd.DataFrame) -> None:
    keyed = rows["sha256"].astype("string").str.fullmatch(SHA256).fillna(False).astype(bool)
    if not keyed.all():
        raise StoreError(f"expected sha256 of 64 hexadecimal digits, found {rows['sha256'][~keyed].iloc[0]!r}")


def _asked(spec: EmbeddingSpec) -> str:
    """How `extract` is told of a backbone."""
    name = spec.recorded.get("backbone", spec.name)
    view = "".join(f",{key}={value}" for key, value in spec.view.items())
    return f"{name}{view}" if spec.seeded is None else f"{name}{view} --weights {SEEDED}{spec.seeded}"


def _is_foreign(entry: Place) -> bool:
    """Whether something that no store has; another job may be making this one at the same moment."""
    return entry.name not in ("store.json", "images", "embeddings") and not entry.name.startswith(".store.json.")


def _read_json(path: Place) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}): restore it or extract into a new store") from None
    if not isinstance(content, dict):
        raise StoreError(f"{path} must hold a JSON object: restore it or extract into a new store")
    return content
