"""Which of the faces found is the one that a table says a picture is of, as IMDB-WIKI's face_location does."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import ManifestError
from embedder.faces.table import BOX, as_frame
from embedder.spec import EmbeddingSpec
from embedder.store import EmbeddingStore

ANNOTATION = tuple(f"face_{side}" for side in BOX)  # columns of a manifest, in pixels of the upright picture
LEAST_OVERLAP = 0.25  # intersection over union; detectors and annotators draw boxes of very different widths
NONE_OF_THEM = -1  # the number of no face


def annotated_faces(store: EmbeddingStore, spec: EmbeddingSpec, images: pd.DataFrame) -> pd.Series | None:
    """The number of each image's annotated face among those that the spec's detector found.

    Parameters
    ----------
    images : DataFrame with sha256 and, perhaps, the columns ANNOTATION.

    Returns
    -------
    Series of Int64, of the index of `images`: missing where nothing is annotated or the detector has not looked,
    NONE_OF_THEM where it found no face there. None if that is so everywhere.

    Raises
    ------
    ManifestError : an annotation is no number.
    """
    table = next((held for held in store.specs().values() if held.holds_faces and held.detector == spec.detector), None)
    if table is None or not set(ANNOTATION) <= set(images):
        return None
    boxes = _boxes(images[[*ANNOTATION]])
    asked = boxes.notna().all(axis=1) & images["sha256"].notna()
    found, rows = store.read_all(table.fingerprint, images["sha256"][asked])
    if found.empty:
        return None
    found = pd.concat([found, as_frame(rows)[[*BOX]]], axis=1)
    pairs = images.loc[asked, ["sha256"]].join(boxes).rename_axis("image").reset_index().merge(found, on="sha256")
    overlap = _overlap(pairs[[*ANNOTATION]].to_numpy(), pairs[[*BOX]].to_numpy(float))
    best = pairs.assign(overlap=overlap).sort_values("overlap", ascending=False, kind="stable").drop_duplicates("image")
    numbers = best["face"].where(best["overlap"] >= LEAST_OVERLAP, NONE_OF_THEM)
    return pd.Series(numbers.to_numpy(), index=best["image"], dtype="Int64").reindex(images.index)


def _boxes(annotation: pd.DataFrame) -> pd.DataFrame:
    """The columns ANNOTATION as float64."""
    boxes = annotation.apply(pd.to_numeric, errors="coerce").astype(float)
    wrong = boxes.isna() & annotation.notna()
    for column in wrong.columns[wrong.any()]:
        found = annotation[column][wrong[column]]
        raise ManifestError(
            f"expected {column} in pixels; found {found.iloc[0]!r} in {len(found)} row(s): mend or empty them"
        )
    return boxes


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) with boxes (n, 4)."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = [np.prod(np.clip(box[:, 2:] - box[:, :2], 0, None), axis=1) for box in (one, other)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)
