"""Measure how often intervals cover, how often equal heads are called different, and which effects are found.

    python -m benchmarks.statistics [--manifest manifest.csv --store store --backbone NAME] [--seeds 20]

Simulated people come in groups that err alike; their heads have luck of their own, as a whole and row by row. Real
heads are dense ones that differ in their seeds alone, on one split: three against three others must not differ.
"""

import argparse
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from data.manifest import read_manifest
from embedder.store import open_store
from heads.base import make_head
from heads.dataset import find_specs, make_dataset
from heads.measures import MEASURES
from heads.statistics import LEVEL, Figure, measure
from heads.tasks import make_task
from heads.verdict import Difference, difference

Floats = NDArray[np.float64]

OF_AGES, OF_CLASSES = ("mae", "cs5", "rmse"), ("accuracy", "balanced_accuracy", "macro_f1")
SHARES = np.array([0.6, 0.3, 0.1])  # of simulated classes, and by class what a head says of them:
CONFUSION = np.array([[0.95, 0.03, 0.02], [0.10, 0.88, 0.02], [0.25, 0.10, 0.65]])
ARM = 3  # seeds on each side of a comparison
PAIRS = 200


class People(NamedTuple):
    """Groups, and labels with predictions of ages and of classes; all of shape (n,)."""

    groups: NDArray[np.int64]
    ages: tuple[Floats, Floats]
    classes: tuple[Floats, Floats]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", help="with ages and genders; no real heads if left out")
    parser.add_argument("--store", help="its embeddings")
    parser.add_argument("--backbone", help="which of them")
    parser.add_argument("--seeds", type=int, default=20, help="heads to train")
    parser.add_argument("--trials", type=int, default=400, help="simulations of each kind")
    arguments = parser.parse_args()
    print(f"share of {arguments.trials} intervals of {LEVEL:.0%} that hold the truth:\n{coverage(arguments.trials)}\n")
    print(f"simulated, {ARM} heads against {ARM}:\n{alarms(arguments.trials)}\n")
    if arguments.manifest:
        print(f"real dense heads, {ARM} seeds against {ARM} others out of {arguments.seeds}:\n{real(arguments)}")


def coverage(trials: int) -> str:
    """Count how often percentile and BCa intervals hold the truth, by rows and metric."""
    everyone = simulate(np.random.default_rng(0), 1_000_000)
    truth = {name: figure.value for name, figure in _figures(everyone, resamples=1).items()}
    shares: dict[tuple[int, str], Floats] = {}
    for n in (60, 150, 500, 2000):
        hits: dict[str, list[list[bool]]] = {"percentile": [], "BCa": []}
        for trial in range(trials):
            people = simulate(np.random.default_rng([n, trial]), n)
            figures = _figures(people, resamples=1000)
            ends = {
                "percentile": [figures[name].interval for name in truth],
                "BCa": [bca(figures[name], people) for name in truth],
            }
            for way, own in ends.items():
                hits[way].append([low <= true <= high for true, (low, high) in zip(truth.values(), own, strict=True)])
        shares |= {(n, way): np.mean(own, axis=0) for way, own in hits.items()}
    return pd.DataFrame(shares, index=list(truth)).T.to_string(float_format="{:.3f}".format)


def simulate(rng: np.random.Generator, n: int) -> People:
    """Draw about n rows in groups of 1 to 4, whose rows mostly err alike; errors of ages are skewed."""
    count = round(n / 1.3)
    groups = np.repeat(np.arange(count), np.where(rng.random(count) < 0.85, 1, rng.integers(2, 5, count)))
    alike = rng.random(len(groups)) < 0.7
    errors = np.where(alike, rng.gamma(0.8, 5.5, count)[groups], rng.gamma(0.8, 5.5, len(groups)))
    ages = rng.uniform(0, 100, len(groups))
    classes = rng.choice(len(SHARES), count, p=SHARES)[groups]
    chance = np.where(alike, rng.random(count)[groups], rng.random(len(groups)))
    said = (chance[:, None] > CONFUSION[classes].cumsum(axis=1)[:, :-1]).sum(axis=1)
    return People(groups, (ages, ages + errors), (classes.astype(np.float64), said.astype(np.float64)))


def _figures(people: People, *, resamples: int) -> dict[str, Figure]:
    """Measure all metrics."""
    of_ages = measure(OF_AGES, *people.ages, people.groups, resamples=resamples)
    return of_ages | measure(OF_CLASSES, *people.classes, people.groups, resamples=resamples)


def bca(figure: Figure, people: People) -> tuple[float, float]:
    """Give a bias-corrected accelerated interval (Efron, JASA 1987), its jackknife over groups."""
    drawn = figure.resampled[:, 0]
    if np.ptp(drawn) == 0:  # no row is wrong
        return figure.value, figure.value
    own = MEASURES[figure.metric]
    terms = own.terms(*(people.ages if figure.metric in OF_AGES else people.classes))
    sums = np.zeros((figure.groups, terms.shape[1]))
    np.add.at(sums, people.groups, terms)
    left_out = own.value(sums.sum(axis=0) - sums)
    gaps = left_out.mean() - left_out
    acceleration = (gaps**3).sum() / (6 * (gaps**2).sum() ** 1.5)
    below = (drawn < figure.value).mean() + (drawn == figure.value).mean() / 2
    bias = norm.ppf(np.clip(below, 0.001, 0.999))
    ends = bias + norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(drawn, norm.cdf(bias + ends / (1 - acceleration * ends)))
    return float(low), float(high)


def alarms(trials: int) -> str:
    """Compare heads that are equal, or differ by a planted effect, for little and for much luck of whole heads."""
    rows = {}
    for luck in (0.0, 0.05, 0.2):
        for effect in (0.0, 0.1, 0.3):
            found = [_simulated_pair(np.random.default_rng(trial), luck, effect) for trial in range(trials)]
            rows[luck, effect] = _summary([pair.p for pair in found], [pair.high - pair.value for pair in found])
    table = pd.DataFrame(rows).T.rename_axis(["luck of heads, years", "planted, years"])
    return table.to_string(float_format="{:.3f}".format)


def _simulated_pair(rng: np.random.Generator, luck: float, effect: float) -> Difference:
    """Compare two cells of ARM heads each, on the same 1,000 people."""
    people = simulate(rng, 1000)
    y, predicted = people.ages
    arms = []
    for more in (effect, 0.0):
        own = more + luck * rng.normal(size=(ARM, 1)) + rng.normal(size=(ARM, len(y)))
        arms.append(measure(["mae"], y, np.abs(predicted - y) + 20 + own + y, people.groups, resamples=500)["mae"])
    return difference(*arms)


def _summary(p: list[float], half: list[float]) -> dict[str, float]:
    """Share called different, and half an interval's mean width."""
    return {"called different": float(np.mean(np.array(p) < 1 - LEVEL)), "interval +-": float(np.mean(half))}


def real(arguments: argparse.Namespace) -> str:
    """Compare real heads that differ in their seeds alone, then the same with one side's errors stretched."""
    manifest, store = read_manifest(arguments.manifest), open_store(arguments.store)
    specs = find_specs(store, [arguments.backbone])
    task = make_task("age", manifest.frame)
    data = make_dataset(manifest, store, specs, [task])
    X, y = data.rows.vectors[specs[0].fingerprint], data.rows.labels["age"]
    folds = [data.split.indices(fold) for fold in range(data.split.n_folds)]
    predicted = np.full((arguments.seeds, len(y)), np.nan)
    for seed in range(arguments.seeds):
        for head, (_, _, test) in zip(
            make_head("dense", (task,), seed=seed).fit_folds(X, y, folds), folds, strict=True
        ):
            predicted[seed, test] = task.point(head.net_.predict(X[test])["age"])
    known = np.isfinite(y)
    y, predicted, groups = y[known], predicted[:, known], data.split.groups[known]
    plain = measure(["mae", "cs5", "balanced_mae", "rmse"], y, predicted, groups)
    rows = {(name, 0.0): _compare_triples(figure, figure) for name, figure in plain.items()}
    for stretch in (1.01, 1.02, 1.05):
        worse = measure(["mae"], y, y + stretch * (predicted - y), groups)["mae"]
        rows["mae", worse.value - plain["mae"].value] = _compare_triples(worse, plain["mae"])
    table = pd.DataFrame(rows).T.rename_axis(["metric", "planted"])
    return table.to_string(float_format="{:.3f}".format)


def _compare_triples(first: Figure, second: Figure) -> dict[str, float]:
    """Compare random seeds of one figure with others of another."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(PAIRS):
        seeds = rng.permutation(len(first.by_seed))[: 2 * ARM]
        found.append(difference(_of_seeds(first, seeds[:ARM]), _of_seeds(second, seeds[ARM:])))
    return _summary([pair.p for pair in found], [pair.high - pair.value for pair in found])


def _of_seeds(figure: Figure, seeds: NDArray[np.int64]) -> Figure:
    """Leave only some seeds in a figure."""
    return replace(figure, by_seed=figure.by_seed[seeds], resampled=figure.resampled[:, seeds])


if __name__ == "__main__":
    main()
