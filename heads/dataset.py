"""Dataset: a manifest's rows joined to their embeddings, with the labels of each task and a split."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import BackboneError, StoreError
from data.manifest import Manifest
from data.split import Grouping, Split, make_folds, make_holdout, random_groups, strata_of, subject_groups
from data.split_file import read_split
from embedder.backbone import load_backbone
from embedder.faces.annotated import annotated_faces
from embedder.faces.table import column
from embedder.resolve import split_name
from embedder.spec import EmbeddingSpec
from embedder.store import EmbeddingStore, path_key
from heads.audit import find_near_copies
from heads.balance import Balance
from heads.tasks import Task

_TRAINED_ON = {"sha256": "with the bytes of an image trained on", "subject_id": "of a subject trained on"}


@dataclass(frozen=True)
class Concatenation:
    """Embeddings of several backbones side by side, which a head reads as one row."""

    parts: tuple[EmbeddingSpec, ...]

    @property
    def name(self) -> str:
        """As on the command line: ArcFace+Facenet."""
        return "+".join(part.name for part in self.parts)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 over the fingerprints of the parts, in their order."""
        return hashlib.sha256("+".join(part.fingerprint for part in self.parts).encode()).hexdigest()[:16]

    @property
    def dim(self) -> tuple[int]:
        """Shape of one row: as many numbers as the parts have together."""
        return (sum(math.prod(part.dim) for part in self.parts),)


AnySpec = EmbeddingSpec | Concatenation


def parts_of(spec: AnySpec) -> tuple[EmbeddingSpec, ...]:
    """The backbones whose embeddings make a row."""
    return spec.parts if isinstance(spec, Concatenation) else (spec,)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a manifest that are ok for every backbone compared.

    Attributes
    ----------
    frame : DataFrame, the manifest's rows, numbered from 0, with their sha256.
    vectors : by fingerprint, ndarray of shape (n, *dim), in the order of `frame`.
    labels : by task name, ndarray of shape (n,), float64, NaN where a row is left out of the task.
    dropped : rows of the manifest that are not among these, by reason.
    left_out : by task name, rows without a usable label, by reason.
    """

    frame: pd.DataFrame
    vectors: dict[str, NDArray[Any]]
    labels: dict[str, NDArray[np.float64]]
    dropped: dict[str, int]
    left_out: dict[str, dict[str, int]]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.frame)


@dataclass(frozen=True)
class SplitPlan:
    """How rows are to be split.

    Attributes
    ----------
    rule : what stays together: "subject", "near-copy", or nothing, "random", for contrast. None: subjects where the
        manifest knows any, else near copies.
    folds : 1 is a holdout.
    repeats, seed : as in `make_folds`.
    file : of a split, in place of all of these; see `read_split`.
    """

    rule: str | None = None
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    file: Path | None = None

    def rule_for(self, frame: pd.DataFrame) -> str:
        """The rule for these rows of a manifest."""
        known = "subject_id" in frame and frame["subject_id"].notna().any()
        return self.rule or ("subject" if known else "near-copy")


DEFAULT_PLAN = SplitPlan()
AS_THEY_ARE = Balance()
NOT_IN_FILE = "not in the split's file"

QUALITY = "face quality"  # a column of the rows: one of these words, and where each ends
QUALITIES = {"": 0.0, "poor, below 0.3": 0.3, "fair, 0.3 to 0.7": 0.7, "good, from 0.7": np.inf}


@dataclass(frozen=True, eq=False)
class Dataset:
    """What heads are trained and tested on.

    Attributes
    ----------
    rows : the rows of the manifest.
    split : of `rows`, in their order.
    test : rows of another manifest, on which nothing is trained; or None.
    balance : which training rows are left out, by age, and how much the others count; see `Balance.weigh_training`.
    """

    rows: Rows
    split: Split
    test: Rows | None = None
    balance: Balance = AS_THEY_ARE

    @property
    def parts(self) -> list[Rows]:
        """The rows, and those of the other manifest if there is one."""
        return [self.rows] if self.test is None else [self.rows, self.test]


def find_specs(store: EmbeddingStore, names: Sequence[str]) -> list[AnySpec]:
    """The specs of backbones named as in `extract`, by the store's own names, or by fingerprints; each once.

    Names joined by "+" give a concatenation. Tables know a backbone by its name, so several settings of one have
    their fingerprints in theirs.

    Raises
    ------
    FingerprintMismatch : the store does not hold one, with the fields that differ.
    BackboneError : a name that neither the store nor the program knows, or a concatenation of one with itself.
    """
    held = {name for spec in store.specs().values() for name in (spec.name, spec.fingerprint)}
    asked = [[_find_spec(store, part) for part in split_name(name, held)] for name in names]
    bearers = Counter(name for _, name in {(spec.fingerprint, spec.name) for parts in asked for spec in parts})
    specs = {}
    for name, parts in zip(names, asked, strict=True):
        if len({spec.fingerprint for spec in parts}) < len(parts):
            raise BackboneError(f"{name}: expected different backbones on both sides of +")
        told_apart = tuple(
            spec if bearers[spec.name] == 1 else replace(spec, name=f"{spec.name} {spec.fingerprint}") for spec in parts
        )
        spec = Concatenation(told_apart) if len(parts) > 1 else told_apart[0]
        specs[spec.fingerprint] = spec
    return list(specs.values())


def _find_spec(store: EmbeddingStore, name: str) -> EmbeddingSpec:
    spec = store.find(name)
    return _loaded_spec(store, name) if spec is None or spec.holds_faces else spec


def _loaded_spec(store: EmbeddingStore, name: str) -> EmbeddingSpec:
    try:
        with load_backbone(name, cores=1) as backbone:
            spec = backbone.spec
    except BackboneError as error:
        held = ", ".join(held.name for held in store.specs().values() if not held.holds_faces) or "nothing"
        raise BackboneError(f"{error}; {store.path} holds {held}") from None
    store.require(spec)
    return spec


def join(
    manifest: Manifest,
    store: EmbeddingStore,
    specs: Sequence[AnySpec],
    tasks: Sequence[Task],
    *,
    trained_on: Rows | None = None,
) -> Rows:
    """Join a manifest to its embeddings by content, never by row order.

    Rows that a backbone lacks are dropped for all of them; so are those whose bytes or subjects are among the rows
    `trained_on`.

    Raises
    ------
    StoreError : no row is left.
    """
    frame = manifest.frame.assign(sha256=_contents(manifest.frame, store))
    dropped = {}
    if trained_on is not None:
        for column, what in (
            ("sha256", "with the bytes of an image trained on"),
            ("subject_id", "of people trained on"),
        ):
            if column in frame and column in trained_on.frame:
                known = frame[column].isin(set(trained_on.frame[column].dropna()))
                frame, dropped[what] = frame[~known].reset_index(drop=True), int(known.sum())
    backbones = {part.fingerprint: part for spec in specs for part in parts_of(spec)}
    found = {
        fingerprint: store.read(fingerprint, frame["sha256"], face=annotated_faces(store, backbone, frame))
        for fingerprint, backbone in backbones.items()
    }
    for fingerprint, backbone in backbones.items():
        dropped[f"not ok in the store for {backbone.name}"] = len(frame) - len(found[fingerprint][0])
    common = pd.Index(sorted(set.intersection(*(set(rows.index) for rows, _ in found.values()))))
    if common.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise StoreError(
            f"no row of the manifest can be used with {store.path}; of {len(manifest)} images {reasons}. "
            "Run `extract` on the manifest, or name another"
        )
    held = {print_: vectors[rows.index.get_indexer(common)] for print_, (rows, vectors) in found.items()}
    vectors = {spec.fingerprint: side_by_side([held[part.fingerprint] for part in parts_of(spec)]) for spec in specs}
    faces = {backbones[print_]: rows["face"].loc[common].reset_index(drop=True) for print_, (rows, _) in found.items()}
    frame = _with_quality(frame.iloc[common].reset_index(drop=True), store, faces)
    encoded = {task.name: task.encode(frame) for task in tasks}
    labels = {name: y for name, (y, _) in encoded.items()}
    left_out = {name: reasons for name, (_, reasons) in encoded.items()}
    return Rows(frame, vectors, labels, {reason: count for reason, count in dropped.items() if count}, left_out)


def _with_quality(frame: pd.DataFrame, store: EmbeddingStore, faces: Mapping[EmbeddingSpec, pd.Series]) -> pd.DataFrame:
    """The rows with how well each face can be seen, in words, where a detector of the store has looked at them.

    Parameters
    ----------
    faces : by backbone, which face of each row it has embedded; 0 for the whole picture, of which the largest counts.
    """
    looked = {spec.detector: spec for spec in store.specs().values() if spec.holds_faces}
    asked = next((spec for spec in faces if spec.detector in looked), None)
    table = looked[asked.detector] if asked else next(iter(looked.values()), None)
    if table is None or QUALITY in frame:
        return frame
    numbers = faces[asked].astype("Int64") if asked else pd.Series(0, frame.index, dtype="Int64")
    found, rows = store.read(table.fingerprint, frame["sha256"], face=numbers.where(numbers > 0))
    scores = pd.Series(column(rows, "quality"), index=found.index).reindex(frame.index)
    return frame.assign(**{QUALITY: pd.cut(scores, [*QUALITIES.values()], right=False, labels=[*QUALITIES][1:])})


def side_by_side(vectors: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows of one backbone as they are; of several, (n, numbers of all), float32."""
    if len(vectors) == 1:
        return vectors[0]
    return np.concatenate([rows.reshape(len(rows), -1).astype(np.float32) for rows in vectors], axis=1)


def _contents(frame: pd.DataFrame, store: EmbeddingStore) -> pd.Series:
    """Every row's SHA-256: the manifest's own, else what the store last found in the file."""
    seen = store.images().drop_duplicates("path_key", keep="last").set_index("path_key")["sha256"]
    known = pd.Series([path_key(path) for path in frame["path"]], index=frame.index).map(seen)
    return frame["sha256"].fillna(known) if "sha256" in frame else known


def make_dataset(
    manifest: Manifest,
    store: EmbeddingStore,
    specs: Sequence[AnySpec],
    tasks: Sequence[Task],
    *,
    plan: SplitPlan = DEFAULT_PLAN,
    test: Manifest | None = None,
    balance: Balance = AS_THEY_ARE,
) -> Dataset:
    """Join a manifest, split it, and join another manifest to test on; see `join` and `split_rows`.

    Rows that a split's file does not name are dropped.
    """
    given = read_split(plan.file, manifest.frame["image_id"]) if plan.file else None
    if given is not None:
        held = given.holds(manifest.frame["image_id"])
        manifest = Manifest(manifest.frame[held])
    rows = join(manifest, store, specs, tasks)
    if given is None:
        vectors = {spec.name: rows.vectors[spec.fingerprint] for spec in specs}
        split = split_rows(rows.frame, vectors, plan)
    else:
        split = given.select(rows.frame["image_id"])
        if not held.all():
            rows = replace(rows, dropped={NOT_IN_FILE: int((~held).sum()), **rows.dropped})
    return Dataset(rows, split, join(test, store, specs, tasks, trained_on=rows) if test else None, balance)


def split_rows(frame: pd.DataFrame, vectors: Mapping[str, NDArray[Any]], plan: SplitPlan = DEFAULT_PLAN) -> Split:
    """Split rows as planned; `vectors` are embeddings (n, ...) by the names of backbones.

    Raises
    ------
    SplitError : too few groups for the folds, or no subjects where a split by them was asked for.
    """
    grouping = _GROUPINGS[plan.rule_for(frame)](frame, vectors)
    dealing = {"repeats": plan.repeats, "seed": plan.seed}
    ids, strata = frame["image_id"], strata_of(frame)
    if plan.folds == 1:
        return make_holdout(ids, grouping, strata, **dealing)
    return make_folds(ids, grouping, strata, folds=plan.folds, **dealing)


_GROUPINGS: Mapping[str, Callable[[pd.DataFrame, Mapping[str, NDArray[Any]]], Grouping]] = {
    "subject": lambda frame, vectors: subject_groups(frame),
    "near-copy": lambda frame, vectors: find_near_copies(frame, vectors).grouping,
    "random": lambda frame, vectors: random_groups(len(frame)),
}
