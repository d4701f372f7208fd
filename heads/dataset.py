"""Dataset: a manifest's rows joined to their embeddings, with the labels of each task and a split."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import BackboneError, StoreError
from data.manifest import Manifest
from data.split import Split, make_folds, strata_of, union_groups
from embedder.backbone import load_backbone
from embedder.spec import EmbeddingSpec
from embedder.store import EmbeddingStore, path_key
from heads.tasks import Task


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a manifest that are ok for every backbone compared.

    Attributes
    ----------
    frame : DataFrame, the manifest's rows, numbered from 0, with their sha256.
    vectors : by fingerprint, ndarray of shape (n, *dim), in the order of `frame`.
    labels : by task name, ndarray of shape (n,), float64, NaN where a row is left out of the task.
    dropped : by backbone name, rows of the manifest that are not ok in the store.
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


@dataclass(frozen=True, eq=False)
class Dataset:
    """What heads are trained and tested on.

    Attributes
    ----------
    rows : the rows of the manifest.
    split : of `rows`, in their order.
    test : rows of another manifest, on which nothing is trained; or None.
    """

    rows: Rows
    split: Split
    test: Rows | None = None

    @property
    def parts(self) -> list[Rows]:
        """The rows, and those of the other manifest if there is one."""
        return [self.rows] if self.test is None else [self.rows, self.test]


def find_specs(store: EmbeddingStore, names: Sequence[str]) -> list[EmbeddingSpec]:
    """The specs of backbones named as in `extract`, by the store's own names, or by fingerprints; each once.

    Tables know a backbone by its name, so several settings of one have their fingerprints in theirs.

    Raises
    ------
    FingerprintMismatch : the store does not hold one, with the fields that differ.
    BackboneError : a name that neither the store nor the program knows.
    """
    found = [store.find(name) or _loaded_spec(store, name) for name in names]
    specs = {spec.fingerprint: spec for spec in found}.values()
    bearers = Counter(spec.name for spec in specs)
    return [
        spec if bearers[spec.name] == 1 else replace(spec, name=f"{spec.name} {spec.fingerprint}") for spec in specs
    ]


def _loaded_spec(store: EmbeddingStore, name: str) -> EmbeddingSpec:
    try:
        with load_backbone(name, cores=1) as backbone:
            spec = backbone.spec
    except BackboneError as error:
        held = ", ".join(held.name for held in store.specs().values()) or "nothing"
        raise BackboneError(f"{error}; {store.path} holds {held}") from None
    store.require(spec)
    return spec


def join(manifest: Manifest, store: EmbeddingStore, specs: Sequence[EmbeddingSpec], tasks: Sequence[Task]) -> Rows:
    """Join a manifest to its embeddings by content, never by row order; rows that a backbone lacks are dropped.

    Raises
    ------
    StoreError : no row is ok for every backbone.
    """
    frame = manifest.frame.assign(sha256=_contents(manifest.frame, store))
    found = {spec.fingerprint: store.read(spec.fingerprint, frame["sha256"]) for spec in specs}
    dropped = {spec.name: len(frame) - len(found[spec.fingerprint][0]) for spec in specs}
    common = pd.Index(sorted(set.intersection(*(set(rows.index) for rows, _ in found.values()))))
    if common.empty:
        names = ", ".join(dropped)
        raise StoreError(f"{store.path} has no image of the manifest that is ok for {names}: run `extract` on it first")
    vectors = {print_: held[rows.index.get_indexer(common)] for print_, (rows, held) in found.items()}
    frame = frame.iloc[common].reset_index(drop=True)
    encoded = {task.name: task.encode(frame) for task in tasks}
    labels = {name: y for name, (y, _) in encoded.items()}
    return Rows(frame, vectors, labels, dropped, {name: reasons for name, (_, reasons) in encoded.items()})


def _contents(frame: pd.DataFrame, store: EmbeddingStore) -> pd.Series:
    """Every row's SHA-256: the manifest's own, else what the store last found in the file."""
    seen = store.images().drop_duplicates("path_key", keep="last").set_index("path_key")["sha256"]
    known = pd.Series([path_key(path) for path in frame["path"]], index=frame.index).map(seen)
    return frame["sha256"].fillna(known) if "sha256" in frame else known


def make_dataset(
    manifest: Manifest,
    store: EmbeddingStore,
    specs: Sequence[EmbeddingSpec],
    tasks: Sequence[Task],
    *,
    folds: int = 5,
    seed: int = 0,
    test: Manifest | None = None,
) -> Dataset:
    """Join a manifest, split it, and join another manifest to test on. Raises as `join`, `split_rows`, `unseen`."""
    rows = join(manifest, store, specs, tasks)
    split = split_rows(rows.frame, folds=folds, seed=seed)
    return Dataset(rows, split, unseen(join(test, store, specs, tasks), rows) if test else None)


def unseen(test: Rows, rows: Rows) -> Rows:
    """The rows of another manifest whose bytes are not among those trained on.

    Raises
    ------
    StoreError : there are none.
    """
    fresh = ~test.frame["sha256"].isin(set(rows.frame["sha256"])).to_numpy()
    if not fresh.any():
        raise StoreError("every image of the test manifest is among those trained on: name another manifest")
    vectors = {print_: held[fresh] for print_, held in test.vectors.items()}
    labels = {name: y[fresh] for name, y in test.labels.items()}
    return Rows(test.frame[fresh].reset_index(drop=True), vectors, labels, test.dropped, test.left_out)


def split_rows(frame: pd.DataFrame, *, folds: int = 5, seed: int = 0) -> Split:
    """Folds in which copies of one image, and pictures of one subject where it is known, stay on one side."""
    keys = [frame[key] for key in ("sha256", "subject_id") if key in frame]
    return make_folds(frame["image_id"], union_groups(*keys), strata_of(frame), folds=folds, seed=seed)
