"""The numbers behind the sections on calibration, leakage and embeddings: pandas and NumPy alone, as in `facts`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import AgeGroups
from heads.calibrate import coverage_table, risk_coverage
from heads.metrics import Array, calibration_curve
from heads.net import unit_rows
from heads.report.facts import one_of_each, traits_of

CURVE_BINS = 10  # of a reliability curve: with 15 its points are mostly noise
HISTOGRAM_BINS = 40
MOST_POINTS = 1500  # of a map: more hide each other


class Histogram(NamedTuple):
    """Shares of rows, (bins,), between edges, (bins + 1,)."""

    shares: Array
    edges: Array


def reliability(rows: pd.DataFrame) -> tuple[list[float], list[float]]:
    """How often a model is right by how sure it says it is: mean confidence, and share right, of bins of equal size."""
    known = rows.dropna(subset=["confidence"])
    sure = known["confidence"].to_numpy()
    proba = np.stack([sure, np.zeros(len(known))], axis=1)  # the class it chose, and any other
    said, right, _ = calibration_curve(known["error"].to_numpy(), proba, bins=CURVE_BINS)
    return said.tolist(), right.tolist()


def coverage(rows: pd.DataFrame, groups: AgeGroups) -> pd.DataFrame:
    """How many ages of one model lie in their intervals, in all and by people; see `heads.calibrate.coverage_table`.

    Returns
    -------
    DataFrame as of `coverage_table`: trait is all, gender, ethnicity, "predicted age group" or "true age group", the
    groups of both in their order.
    """
    own = one_of_each(rows).dropna(subset=["low", "high"])
    traits = traits_of(own, groups).astype(object).drop(columns="age group", errors="ignore")
    for name, ages in {"predicted": own["predicted"].clip(lower=0), "true": own["y"]}.items():
        codes = groups.assign(ages.to_numpy())
        traits[f"{name} age group"] = np.where(codes >= 0, codes, np.nan)
    table = coverage_table(own["y"].to_numpy(), own[["low", "high"]].to_numpy(), traits)
    numbered = table["trait"].str.endswith("age group")
    names = [groups.names[int(float(code))] for code in table.loc[numbered, "group"]]
    table.loc[numbered, "group"] = names
    return table


def risk(rows: pd.DataFrame) -> tuple[Array, Array]:
    """MAE of the ages that are kept as the least sure are left out, by the share kept."""
    own = one_of_each(rows).dropna(subset=["low", "high"])
    y, predicted, bounds = own["y"].to_numpy(), own["predicted"].to_numpy(), own[["low", "high"]].to_numpy()
    found = risk_coverage(y, predicted, bounds)
    return found.kept, found.mae


def histograms(similarities: Mapping[str, Array]) -> dict[str, Histogram]:
    """Histograms of several samples over the same bins, which hold all but the lowest hundredth."""
    everything = np.concatenate([*similarities.values()])
    low, high = np.quantile(everything, 0.005), everything.max()
    edges = np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)
    return {
        name: Histogram(np.histogram(np.clip(own, *edges[[0, -1]]), edges)[0] / len(own), edges)
        for name, own in similarities.items()
    }


def drawn_rows(n: int) -> NDArray[np.int64]:
    """The rows of a map: all, or as many as can be told apart, evenly from all."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(np.int64))


def flat_map(vectors: NDArray[Any]) -> Array:
    """The two directions in which rows of length 1 differ most: (n, ...) to (n, 2), both axes within 0..1.

    Principal components: they show age and gender nearly as well as t-SNE does, in half a second where that takes 30,
    and distances on the map are distances between embeddings.
    """
    from sklearn.decomposition import PCA

    places = PCA(2, random_state=0).fit_transform(unit_rows(vectors))
    low, high = places.min(axis=0), places.max(axis=0)
    middle, length = (low + high) / 2, (high - low).max() or 1.0
    return (places - middle) / length + 0.5  # of one scale, so that neither direction is stretched
