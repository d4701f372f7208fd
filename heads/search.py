"""A dense head whose settings are searched for, on each fold's own training and validation rows alone.

A random search with one halving (Bergstra and Bengio, JMLR 2012; Jamieson and Talwalkar, AISTATS 2016): recipes are
drawn and screened with one net per fold, all folds in one stack; the best of each fold are trained again as they would
be used. What is chosen for a fold depends on no row of another's, so its test rows were never searched on.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heads.base import Fold, validation_loss
from heads.dense import DenseHead
from heads.estimator import OneTaskHead
from heads.net import Net
from heads.recipe import Recipe
from heads.tasks import Floats, Task

SCREENING = 0.6  # of the seconds; the finals get the rest
FINALISTS = 3  # recipes of each fold that are trained again
AGE_LOSSES = ("dldl", "meanvariance", "crossentropy")  # the others lose by half a year and more, whatever the rest
WIDTHS = ((256,), (512,), (1024,), (512, 256))
BATCH_SIZES = (256, 512)


def draw_recipe(task: Task, *, seed: int, trial: int) -> Recipe:
    """Draw a trial's recipe; trial 0 is the default, so that a search can only gain on it."""
    if trial == 0:
        return Recipe()
    rng = np.random.default_rng([seed, trial])
    return Recipe(
        loss=str(rng.choice(AGE_LOSSES)) if task.kind == "age" else Recipe.loss,
        hidden=WIDTHS[rng.integers(len(WIDTHS))],
        input_dropout=float(rng.uniform(0, 0.6)),
        dropout=float(rng.uniform(0.2, 0.7)),
        weight_decay=float(rng.choice([0, 10 ** rng.uniform(-1, 0.7)])),
        learning_rate=float(10 ** rng.uniform(-3, -1.7)),
        batch_size=int(rng.choice(BATCH_SIZES)),
        sigma=float(rng.uniform(0.5, 3)),
        expectation=float(rng.uniform(0, 1)),
    )


class SearchedHead(OneTaskHead):
    """A dense head with the best settings found within some seconds.

    Parameters
    ----------
    task : what to learn.
    seconds : for all folds of a call together; one trial and one final are run in any case.
    trials : most recipes to screen. With the same number of trials and finals a search gives the same again;
        the clock decides how many there are where this leaves it open.
    seed : of the recipes, and of the nets.

    Attributes
    ----------
    recipe_ : the one chosen.
    trials_ : DataFrame, of this fold, a row per trial and final: trial, final, the settings, validation (mean
        absolute error, or log-loss over classes, of the validation rows), seconds (its share).
    net_, history_, seconds_ : as of `DenseHead`; seconds are this fold's share of the whole search.
    """

    net_: Net
    history_: dict[str, Floats]
    recipe_: Recipe
    trials_: pd.DataFrame
    seconds_: float

    def __init__(self, task: Task, *, seconds: float = 60.0, trials: int | None = None, seed: int = 0) -> None:
        """Store."""
        self.task = task
        self.seconds = seconds
        self.trials = trials
        self.seed = seed

    def _fit_all(
        self, heads: Sequence["SearchedHead"], X: NDArray[Any], y: Floats, folds: Sequence[Fold], weights: Floats
    ) -> None:
        _Search(self, X, y, folds, weights).run(heads)


class _Search:
    """One search over all folds."""

    def __init__(self, asked: SearchedHead, X: NDArray[Any], y: Floats, folds: Sequence[Fold], weights: Floats) -> None:
        self.asked, self.X, self.y, self.folds, self.weights = asked, X, y, folds, weights
        self.started = time.perf_counter()
        self.slowest = 0.0  # seconds of a trial
        self.table: list[dict[str, Any]] = []

    def run(self, heads: Sequence[SearchedHead]) -> None:
        """Search, and fit the head of each fold with what was found."""
        seeds = [head.seed for head in heads]
        recipes = self._screen(seeds)
        found = self._finals(recipes, seeds)
        seconds = (time.perf_counter() - self.started) / len(heads)
        table = pd.DataFrame(self.table)
        for fold, (head, best) in enumerate(zip(heads, found, strict=True)):
            head.net_, head.history_, head.recipe_ = best.net_, best.history_, best.recipe
            head.trials_ = table[table["fold"] == fold].drop(columns="fold").reset_index(drop=True)
            head.seconds_ = seconds

    @property
    def final_seconds(self) -> float:
        """What it takes to train one recipe per fold as it would be used, judged by the slowest trial, of one net."""
        return Recipe.members * self.slowest

    def _screen(self, seeds: Sequence[int]) -> list[Recipe]:
        """Train one net per fold with each recipe, as many as there is time for."""
        asked, every = self.asked, range(len(self.folds))
        recipes: list[Recipe] = []
        while len(recipes) != asked.trials:
            began = time.perf_counter()
            left = asked.seconds - (began - self.started)
            if recipes and left < max((1 - SCREENING) * asked.seconds, self.final_seconds) + self.slowest:
                break
            recipes.append(draw_recipe(asked.task, seed=asked.seed, trial=len(recipes)))
            self._train(replace(recipes[-1], members=1), every, seeds, trial=len(recipes) - 1, final=False)
            self.slowest = max(self.slowest, time.perf_counter() - began)
        return recipes

    def _finals(self, recipes: Sequence[Recipe], seeds: Sequence[int]) -> list[DenseHead]:
        """Train each fold's best recipes again, the best ones first, while there is time; return the best heads."""
        screened = (
            pd.DataFrame(self.table).sort_values("validation", kind="stable").groupby("fold")["trial"].apply(list)
        )
        best: dict[int, tuple[float, DenseHead]] = {}
        for rank in range(min(FINALISTS, len(recipes))):
            if rank and time.perf_counter() - self.started + self.final_seconds > self.asked.seconds:
                break
            wanted = pd.Series({fold: trials[rank] for fold, trials in screened.items()})
            for trial in wanted.unique():
                folds = [int(fold) for fold in wanted.index[wanted == trial]]
                heads, losses = self._train(recipes[trial], folds, seeds, trial=int(trial), final=True)
                for fold, head, loss in zip(folds, heads, losses, strict=True):
                    best[fold] = min(best.get(fold, (np.inf, head)), (loss, head), key=lambda pair: pair[0])
        return [best[fold][1] for fold in range(len(self.folds))]

    def _train(
        self, recipe: Recipe, chosen: Sequence[int], seeds: Sequence[int], *, trial: int, final: bool
    ) -> tuple[list[DenseHead], list[float]]:
        """Train a recipe on some folds at once, judge it on their validation rows and note it down."""
        task, folds = self.asked.task, [self.folds[fold] for fold in chosen]
        heads = DenseHead(task, recipe=recipe).fit_folds(
            *(self.X, self.y, folds), seeds=[seeds[fold] for fold in chosen], sample_weight=self.weights[[*chosen]]
        )
        losses = []
        for fold, head, (_, valid, _) in zip(chosen, heads, folds, strict=True):
            valid = valid[np.isfinite(self.y[valid])]
            losses.append(validation_loss(task, head.net_, self.X[valid], self.y[valid]))
            row = {"trial": trial, "final": final, "fold": fold, **asdict(recipe)}
            self.table.append({**row, "validation": losses[-1], "seconds": head.seconds_})
        return heads, losses
