"""Check every byte of a store, and whether what it says of itself is true."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.errors import FaceprobeError, StoreError
from data.remote import Place, StorageError
from embedder.backbone import usable_cores
from embedder.shards import IMAGES, ROWS, facts_of, live_shards, name_hash, read_npy_header
from embedder.spec import EmbeddingSpec
from embedder.store import MARKER, SHA256, EmbeddingStore, read_spec, require_version, spec_files
from embedder.upkeep.files import Entry, inventory, relative, unchanged
from embedder.upkeep.repeats import SAME_DIRECTION, find_repeats, sha256_bytes

_BLOCK = 4 << 20  # bytes of vectors looked at at once

_REMARKS = {
    "replaced": ("was replaced by another shard, a stopped command left it", "run `store gc`"),
    "orphan": ("vectors without a table: of a stopped job, or of one at work", "run `store gc` when no job is"),
    "temporary": ("half-written: of a stopped job, or of one at work", "run `store gc` when no job is"),
    "foreign": ("not a file of a store", "move it elsewhere"),
}
_LOST = "restore both files of the shard from a copy, or remove them and run `extract` again"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: in which file, what, and what to do. A remark unless something is `damaged`."""

    file: str
    problem: str
    remedy: str
    damaged: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}: {self.remedy}"


@dataclass
class Verification:
    """What `verify` found.

    Attributes
    ----------
    findings : in order of file.
    norms : by fingerprint, the lengths of its vectors: (smallest, median, largest).
    files, bytes : that were read.
    """

    findings: list[Finding] = field(default_factory=list)
    norms: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0

    @property
    def damaged(self) -> bool:
        return any(finding.damaged for finding in self.findings)


def verify(path: Place, *, on_progress: Callable[[int, int], object] = lambda done, total: None) -> Verification:
    """Check a store: every byte against the hashes, every row and vector against what the store promises.

    About 100 bytes are held per row, and a block of vectors per core.

    Parameters
    ----------
    path : of its folder, or RemotePath; a store whose store.json is damaged is one still.
    on_progress : called with the bytes done and to do.

    Raises
    ------
    StoreError : there is no store, or it is of a newer version.
    """
    if not (path / "store.json").is_file():
        raise StoreError(f"no embedding store at {path}: name the folder that `extract --store` filled")
    entries = inventory(path)
    report = Verification(_check_marker(path))
    if not report.damaged:
        require_version(path)
    report.findings += [finding for entry in entries for finding in _remarks(path, entry)]
    tables = [entry.path for entry in entries if entry.kind == "table"]
    total = sum(entry.bytes for entry in entries if entry.kind in ("table", "vectors"))
    specs = _check_specs(path, {table.parent for table in tables}, report)
    norms: dict[str, list[NDArray[np.float32]]] = {}
    with ThreadPoolExecutor(usable_cores()) as threads:
        for checked in threads.map(partial(_check_shard, path, specs), tables):
            report.findings += checked.findings
            report.files += 1 + bool(checked.norms)
            report.bytes += checked.bytes
            norms.setdefault(checked.folder, []).extend(checked.norms)
            on_progress(report.bytes, total)
    of_faces = {name for name, spec in specs.items() if spec.holds_faces}  # whose rows have no meaning as vectors
    lengths = {name: parts for name, parts in norms.items() if parts and name not in of_faces}
    report.norms = {name: _summary(np.concatenate(parts)) for name, parts in lengths.items()}
    if not report.damaged:  # what follows reads through the store
        store = EmbeddingStore(path)
        with unchanged(store):
            report.findings += [*_disagreements(store, specs), *_images_without_rows(store, specs)]
    report.findings.sort(key=lambda finding: finding.file)
    return report


def _check_marker(path: Place) -> list[Finding]:
    if (path / "store.json").read_bytes() == MARKER.encode():
        return []
    try:
        require_version(path)
    except StoreError as error:
        if isinstance(error, StorageError) or "this program reads up to" in str(error):
            raise
    return [Finding("store.json", "a byte of it was changed", f"write into it: {MARKER}", damaged=True)]


def _remarks(root: Place, entry: Entry) -> Iterator[Finding]:
    name = relative(root, entry.path)
    if entry.kind in _REMARKS:
        yield Finding(name, *_REMARKS[entry.kind])
    if entry.mode & 0o077:
        yield Finding(name, f"others may open it (mode {entry.mode:o})", f"chmod go= {name}")


def _check_specs(path: Place, folders: set[Place], report: Verification) -> dict[str, EmbeddingSpec]:
    """The specs that can be relied on, by fingerprint."""
    specs = {}
    for folder in sorted({*folders, *(file.parent for file in spec_files(path))}):
        if folder.parent.name == "embeddings":
            try:
                specs[folder.name] = read_spec(folder / "spec.json")
            except StorageError:
                raise
            except FaceprobeError:
                name = relative(path, folder / "spec.json")
                remedy = "restore it from a copy, or remove its folder and run `extract` again"
                report.findings.append(Finding(name, "it was altered or is not there", remedy, damaged=True))
    return specs


@dataclass
class _Checked:
    """What was found in one shard."""

    folder: str
    findings: list[Finding] = field(default_factory=list)
    bytes: int = 0
    norms: list[NDArray[np.float32]] = field(default_factory=list)


def _check_shard(root: Place, specs: dict[str, EmbeddingSpec], path: Place) -> _Checked:
    """Check a table and its vectors; a shard that was replaced meanwhile is no finding."""
    checked = _Checked(path.parent.name)
    file = path
    try:
        content = path.read_bytes()
        checked.bytes += len(content)
        _expect(name_hash(content) == path.stem[-16:], "a byte of it was changed: its name does not fit its content")
        table = pq.read_table(pa.BufferReader(content))
        facts = facts_of(table.schema)
        _check_table(table, facts, IMAGES if checked.folder == "images" else ROWS)
        absolute = _absolute_paths(table) if checked.folder == "images" else 0
        if absolute:
            problem = f"{absolute:,} paths are absolute"
            checked.findings.append(Finding(relative(root, path), problem, "extract from the folder, relative to it"))
        if facts.get("vectors"):
            file = path.with_suffix(".npy")
            _check_vectors(file, facts, specs.get(checked.folder), checked)
            zeros = sum(int((norms == 0).sum()) for norms in checked.norms)
            if zeros:
                problem = f"{zeros:,} vectors are all zeros"
                checked.findings.append(Finding(relative(root, file), problem, "look at their images: are they black?"))
    except (_Damage, OSError, ValueError, TypeError, KeyError, EOFError, pa.ArrowException) as error:
        if path.exists():
            checked.findings.append(Finding(relative(root, file), str(error), _LOST, damaged=True))
    return checked


class _Damage(Exception):
    """What is wrong, in words."""


def _expect(true: Any, problem: str) -> None:
    if not true:
        raise _Damage(problem)


def _check_table(table: pa.Table, facts: dict[str, Any], schema: pa.Schema) -> None:
    _expect(table.schema.equals(schema), "its columns are not those of a store")
    _expect(facts["rows"] == len(table), f"it has {len(table)} rows and should have {facts['rows']}")
    keyed = pc.match_substring_regex(table["sha256"], f"^{SHA256}$")
    _expect(table["sha256"].null_count == 0 and pc.all(keyed, min_count=0).as_py(), "a sha256 is not one")
    if schema is ROWS:
        ok = pc.equal(table["status"].cast(pa.string()), "ok")
        rows = table["row"].filter(ok)
        _expect(rows.null_count == 0 and rows.to_pylist() == list(range(facts["vectors"])), "`row` does not count up")
        _expect(table["row"].filter(pc.invert(ok)).null_count == len(table) - len(rows), "a failure has a vector")


def _absolute_paths(table: pa.Table) -> int:
    return pc.sum(pc.match_substring_regex(table["path"], r"^(/|[A-Za-z]:[\\/])")).as_py() or 0


def _check_vectors(path: Place, facts: dict[str, Any], spec: EmbeddingSpec | None, checked: _Checked) -> None:
    """Read the .npy once: hash, finiteness and lengths from the same blocks. A spec is None if it is damaged itself."""
    with path.open("rb") as file:
        shape, dtype = read_npy_header(file)
        begin = file.tell()
        if spec:
            expected = (facts["vectors"], *spec.dim), np.dtype(spec.dtype)
            _expect((shape, dtype) == expected, f"it holds {dtype} {shape}, expected {expected[1]} {expected[0]}")
        file.seek(0)
        digest = hashlib.sha256(file.read(begin))
        size = int(np.prod(shape[1:])) * dtype.itemsize
        buffer = bytearray(max(1, _BLOCK // max(1, size)) * max(1, size))
        norms = []
        while count := file.readinto(buffer):
            block = memoryview(buffer)[:count]
            digest.update(block)
            checked.bytes += count
            norms.append(_norms(np.frombuffer(block[: count // size * size], dtype).reshape(-1, *shape[1:])))
        checked.bytes += begin
    _expect(digest.hexdigest() == facts["vectors_sha256"], "a byte of it was changed: its SHA-256 is another")
    _expect(not any(np.isnan(lengths).any() for lengths in norms), "it holds NaN or infinity")
    checked.norms = norms


def _norms(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Lengths of vectors; NaN for those with a number that is not finite."""
    flat = vectors.reshape(len(vectors), -1)
    if flat.dtype not in (np.float32, np.float64):
        flat = flat.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", flat, flat)).astype(np.float32)
    if not np.isfinite(norms).all():  # or too long for the arithmetic
        norms[~np.isfinite(flat).all(axis=1)] = np.nan
    return norms


def _summary(norms: NDArray[np.float32]) -> tuple[float, float, float]:
    return float(norms.min()), float(np.median(norms)), float(norms.max())


def _disagreements(store: EmbeddingStore, specs: dict[str, EmbeddingSpec]) -> Iterator[Finding]:
    """Images of which two shards have different vectors: damage if more than rounding."""
    for fingerprint in specs:
        shards = live_shards(store.folder(fingerprint))
        for repeats in find_repeats(shards):
            differ = ~repeats.equal
            if differ.any():
                largest, cosine = repeats.difference[differ].max(), repeats.cosine[differ].min()
                yield Finding(
                    relative(store.path, shards[repeats.shard].vectors_path),
                    f"{differ.sum():,} vectors differ from those of the same images in "
                    f"{shards[repeats.first].name}, by {largest:.3g} at most, cosine {cosine:.7f} at least",
                    "readers take the earlier; `store forget` them and run `extract` again to have one",
                    damaged=bool(cosine < SAME_DIRECTION),
                )


def _images_without_rows(store: EmbeddingStore, specs: dict[str, EmbeddingSpec]) -> Iterator[Finding]:
    """Files whose content has no row under any fingerprint."""
    held = [
        sha256_bytes(shard.table(["sha256"]))
        for fingerprint in specs
        for shard in live_shards(store.folder(fingerprint))
    ]
    known = np.unique(np.concatenate([np.empty(0, "S32"), *held]))
    for shard in live_shards(store.path / "images"):
        lacking = ~np.isin(sha256_bytes(shard.table(["sha256"])), known)
        if lacking.any():
            name = relative(store.path, shard.table_path)
            yield Finding(name, f"{lacking.sum():,} images have no embedding", "run `extract` again, it embeds them")
