"""Findings that need embeddings: near copies, labels of theirs that disagree, and what a split leaks through them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.phash import DISTANCE, group_alike
from data.split import Grouping, Split, group_pairs

CHANCE = 0.01  # neighbours that a row may have by chance within what counts as near
NEIGHBOURS = 20  # by which the density around a row is known, or fewer: one in _ROWS_PER_NEIGHBOUR rows
_ROWS_PER_NEIGHBOUR = 50
_MOST_DIMENSIONS = 100.0  # beyond it a neighbour's distance says nothing of the density

BYTES, HASH = "bytes", "perceptual hash"  # what links rows beside backbones

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The rows next to each row by one backbone, and how near is nearer than chance.

    Faces are dense in places (infants lie so close that all of them hang together above a cosine of 0.75) and thin in
    others, and backbones differ in their cosines. So near is relative: around a row whose k-th neighbour is at d_k,
    chance alone puts k (d / d_k)^m rows within d, if the rows lie evenly in m dimensions; below CHANCE they are near
    copies. m is learned from how much farther k-th neighbours are than the k/2-th ones.

    Attributes
    ----------
    rows : ndarray of shape (n, numbers), float32, of length 1.
    places : ndarray of shape (n, k), int64, the nearest first; k is 0 with fewer than 100 rows, too few to judge by.
    distances : ndarray of shape (n, k), Euclidean between `rows`: sqrt(2 - 2 cosine).
    limits : ndarray of shape (n,): two rows nearer than the limits of both are near copies.
    """

    rows: NDArray[np.float32]
    places: NDArray[np.int64]
    distances: Floats
    limits: Floats

    def pairs(self) -> pd.DataFrame:
        """Near copies: DataFrame with left < right, int64, and similarity, their cosine."""
        left = np.repeat(np.arange(len(self.rows)), self.places.shape[1])
        right, distances = self.places.ravel(), self.distances.ravel()
        near = distances < np.minimum(self.limits[left], self.limits[right])
        ends = np.sort(np.stack([left[near], right[near]], axis=1), axis=1)
        pairs = pd.DataFrame({"left": ends[:, 0], "right": ends[:, 1], "similarity": _cosine(distances[near])})
        return pairs.drop_duplicates(["left", "right"], ignore_index=True)


def find_neighbours(vectors: NDArray[Any]) -> Neighbours:
    """Find the nearest rows of each row, in bounded memory: 7,219 rows of 128 numbers take half a second on two cores.

    Parameters
    ----------
    vectors : ndarray of shape (n, ...), one backbone's embeddings, no image twice.
    """
    from sklearn.neighbors import NearestNeighbors

    rows = _unit_rows(vectors)
    k = min(NEIGHBOURS, len(rows) // _ROWS_PER_NEIGHBOUR)
    if k < 2:
        return Neighbours(rows, np.empty((len(rows), 0), np.int64), np.empty((len(rows), 0)), np.zeros(len(rows)))
    distances, places = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows).kneighbors()
    return Neighbours(rows, places, distances, near_limits(distances))


def near_limits(distances: Floats) -> Floats:
    """How near is nearer than chance, around rows whose nearest neighbours are at these distances (n, k), ascending.

    No limit is less than it would be at half of the median d_k: more than k views of one picture would otherwise be
    each other's only measure, and pass for a dense place.
    """
    k = distances.shape[1]
    half, last = distances[:, k // 2 - 1], distances[:, -1]
    growth = np.median((last / half)[half > 0]) if (half > 0).any() else 1.0
    dimensions = np.log(k / (k // 2)) / max(np.log(growth), 1e-9)
    factor = (CHANCE / k) ** (1 / min(dimensions, _MOST_DIMENSIONS))
    limits: Floats = factor * np.maximum(last, np.median(last) / 2)
    return limits


@dataclass(frozen=True, eq=False)
class NearCopies:
    """Pairs of rows that show one picture, or what nobody can tell from it.

    Attributes
    ----------
    n : how many rows there are.
    links : DataFrame with left, right (positions of rows), found_by (BYTES, HASH or a backbone's name) and similarity
        (cosine; NaN if no backbone found it). Each row with the bytes or the hash of others is linked to the first.
    limits : by backbone, ndarray of shape (n,), as in `Neighbours`.
    rule : in words.
    """

    n: int
    links: pd.DataFrame
    limits: Mapping[str, Floats]
    rule: str

    @property
    def grouping(self) -> Grouping:
        """Rows that links connect, directly or through other rows."""
        return Grouping(group_pairs(self.links["left"].to_numpy(), self.links["right"].to_numpy(), self.n), self.rule)


def find_near_copies(frame: pd.DataFrame, vectors: Mapping[str, NDArray[Any]]) -> NearCopies:
    """Link rows by bytes, by perceptual hash if the manifest has it, and by each backbone's embeddings.

    Parameters
    ----------
    frame : a manifest's, with sha256 in every row; n rows.
    vectors : by a backbone's name, ndarray of shape (n, ...): its embeddings.
    """
    codes, _ = pd.factorize(frame["sha256"])
    _, first, content = np.unique(codes, return_index=True, return_inverse=True)  # first row of each content
    links = [_to_first(content, BYTES).assign(similarity=1.0)]
    means = ["equal bytes"]
    if "phash" in frame:
        links.append(_to_first(group_alike(frame["phash"]), HASH))
        means.append(f"perceptual hashes that differ in at most {DISTANCE} of 64 bits, mirrored or not")
    limits = {}
    for name, embeddings in vectors.items():
        neighbours = find_neighbours(np.asarray(embeddings)[first])
        pairs = neighbours.pairs()
        links.append(pairs.assign(left=first[pairs["left"]], right=first[pairs["right"]], found_by=name))
        limits[name] = neighbours.limits[content]
    if len(first) < 2 * _ROWS_PER_NEIGHBOUR:
        means.append(f"not by embeddings, for which {len(first)} pictures are too few")
    elif vectors:
        means.append(f"pairs placed nearer by {' or '.join(vectors)} than chance would for {CHANCE:.0%} of rows")
    rule = f"near copies together: {'; '.join(means)}. No identities: other photographs of a person may be apart"
    return NearCopies(len(frame), pd.concat(links, ignore_index=True), limits, rule)


def find_conflicts(frame: pd.DataFrame, copies: NearCopies, *, years: float = 5) -> pd.DataFrame:
    """List near copies whose labels cannot both be right.

    Parameters
    ----------
    years : ages of one picture may differ by this much.

    Returns
    -------
    DataFrame, a row per pair, the most different ages first: image_id, other_id, found_by (all that did, joined by
        ", "), similarity (the greatest), differs (age, gender, ethnicity, joined), years (difference of ages, NaN if
        one is unknown). A label that is unknown disagrees with none.
    """
    by_pair = copies.links.groupby(["left", "right"], sort=True)
    pairs = by_pair.agg(found_by=("found_by", ", ".join), similarity=("similarity", "max")).reset_index()
    left, right = (frame.iloc[pairs[side]].reset_index(drop=True) for side in ("left", "right"))
    unknown = pd.Series(np.nan, index=left.index)
    pairs["years"] = (left.get("age", unknown) - right.get("age", unknown)).abs()
    wrong = {"age": pairs["years"] > years}
    for label in {"gender", "ethnicity"} & set(frame):
        wrong[label] = (left[label] != right[label]) & left[label].notna() & right[label].notna()
    table = pd.DataFrame({label: wrong[label] for label in ("age", "gender", "ethnicity") if label in wrong})
    pairs["differs"] = [", ".join(table.columns[row]) for row in table.to_numpy(dtype=bool)]
    pairs["image_id"], pairs["other_id"] = left["image_id"], right["image_id"]
    columns = ["image_id", "other_id", "found_by", "similarity", "differs", "years"]
    found = pairs.loc[pairs["differs"] != "", columns]
    return found.sort_values("years", ascending=False, kind="stable", ignore_index=True)


def nearest_training_rows(vectors: NDArray[Any], split: Split, limits: Floats) -> pd.DataFrame:
    """For every test row of every fold, the training row that one backbone places nearest: the leakage meter.

    Parameters
    ----------
    vectors : ndarray of shape (n, ...), in the order of the split's ids.
    limits : ndarray of shape (n,), as `NearCopies` has them for the backbone.

    Returns
    -------
    DataFrame, a row per fold and test row: fold, image_id, nearest (an image_id), similarity (cosine) and near, whether
        the two are near copies. The mean of `near` is the share of test rows that training has all but seen.
    """
    from sklearn.neighbors import NearestNeighbors

    rows = _unit_rows(vectors)
    parts = []
    for fold in range(split.n_folds):
        train, _, test = split.indices(fold)
        distances, places = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(rows[train]).kneighbors(rows[test])
        nearest = train[places[:, 0]]
        near = distances[:, 0] < np.minimum(limits[test], limits[nearest])
        columns = {"fold": fold, "image_id": split.ids[test], "nearest": split.ids[nearest]}
        parts.append(pd.DataFrame({**columns, "similarity": _cosine(distances[:, 0]), "near": near}))
    return pd.concat(parts, ignore_index=True)


def _unit_rows(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Flatten and scale to length 1; a row of zeros stays as it is."""
    rows = np.array(vectors, dtype=np.float32).reshape(len(vectors), -1)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(lengths > 0, lengths, 1)
    return rows


def _cosine(distances: Floats) -> Floats:
    """Of rows of length 1."""
    return 1 - distances**2 / 2


def _to_first(groups: NDArray[np.int64], found_by: str) -> pd.DataFrame:
    """Link every row of a group to the first of it."""
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[codes] != np.arange(len(codes)))
    return pd.DataFrame({"left": first[codes[later]], "right": later, "similarity": np.nan, "found_by": found_by})
