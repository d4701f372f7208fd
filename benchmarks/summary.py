"""Measure how often the intervals of a folder's summary hold what they are to hold, on simulated folders.

    python -m benchmarks.summary [--trials 200]

A photograph has one to eight faces, which are near each other in age and of mixed gender. Heads are as calibrated as
they claim, and err independently: what real heads do worse, no interval of the summary can show.
"""

import argparse
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS
from heads.folder.figures import folder_figures
from heads.statistics import LEVEL

SIZES = (20, 40, 100, 400)  # photographs of a folder
POPULATION = 200_000  # photographs that stand for all there could be
HALF = 1.645  # of a 90% interval, in standard deviations

Floats = NDArray[np.float64]


class Folder(NamedTuple):
    """Rows of scores, and the truth about each: age and whether female."""

    rows: pd.DataFrame
    ages: Floats
    female: NDArray[np.bool_]

    def truth(self) -> Floats:
        """Mean age, share of each age group, shares of males and females."""
        groups = AGE_GROUPS[DEFAULT_AGE_GROUPS]
        counts = np.bincount(np.maximum(groups.assign(self.ages), 0), minlength=len(groups))
        female = self.female.mean()
        return np.array([self.ages.mean(), *counts / len(self.ages), 1 - female, female])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="folders of each size")
    trials = parser.parse_args().trials
    everyone = simulated(POPULATION, seed=0).truth()
    table = pd.DataFrame({size: covered(size, everyone, trials) for size in SIZES}).T.rename_axis("photographs")
    print(f"share of intervals of {LEVEL:.0%} that hold the truth\n{table.to_string(float_format='{:.3f}'.format)}")


def covered(size: int, everyone: Floats, trials: int) -> dict[str, float]:
    """How often intervals hold the truth of these very faces, and of everyone."""
    own, all_ = [], []
    for trial in range(trials):
        folder = simulated(size, seed=1 + trial)
        figures = folder_figures(folder.rows).dropna(subset=["low"])
        low, high = figures["low"].to_numpy(), figures["high"].to_numpy()
        own.append((low <= folder.truth()) & (folder.truth() <= high))
        all_.append((low <= everyone) & (everyone <= high))
    these, such = np.mean(own, axis=0), np.mean(all_, axis=0)
    return {
        "these: age groups": these[1:-2].mean(),
        "these: gender": these[-1],
        "such: age groups": such[1:-2].mean(),
        "the worst": such[1:-2].min(),
        "such: gender": such[-1],
        "such: mean age": such[0],
    }


def simulated(photographs: int, *, seed: int) -> Folder:
    """Draw a folder."""
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(photographs), rng.integers(1, 9, photographs))
    said = np.clip(rng.uniform(2, 65, photographs)[number] + rng.normal(0, 10, len(number)), 0, 95)
    spread = 1 + said * 0.1
    ages = np.maximum(said + rng.normal(0, 1, len(number)) * spread, 0)
    chance = np.clip(rng.beta(0.6, 0.6, photographs)[number] + rng.normal(0, 0.15, len(number)), 0.02, 0.98)
    rows = pd.DataFrame({"path": number.astype(str), "face": 1, "status": "ok", "age": said})
    rows = rows.assign(age_low=said - HALF * spread, age_high=said + HALF * spread)
    rows = rows.assign(gender=np.where(chance > 0.5, "female", "male"), gender_proba=np.maximum(chance, 1 - chance))
    return Folder(rows, ages, rng.random(len(number)) < chance)


if __name__ == "__main__":
    main()
