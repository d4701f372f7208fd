"""What a comparison comes to, in words, tables and a picture."""

from dataclasses import replace

import numpy as np
import pandas as pd

from heads.report.results_section import ONE_SEED, headline, results_section
from heads.report.study import studies_of
from tests.heads.report.small import AGE, DUMMY, comparison_of, dataset_of, facts_of, people, predicted, run_of

N = 60
A, A_LINEAR, B = ("a", "dense"), ("a", "linear"), ("b", "dense")


def outcome(*, seeded: bool = False, **said):
    """A comparison of models of two backbones, off by so many years, and its study."""
    y = np.linspace(10, 70, N)
    wobble = np.where(np.arange(N) % 2, 1.0, -1.0)
    off = {DUMMY: 20, A: 1, A_LINEAR: 3, B: 5}
    off |= {model: said[name] for name, model in {"a": A, "a_linear": A_LINEAR, "b": B}.items() if name in said}
    noise = np.random.default_rng(0).uniform(0.8, 1.2, (len(off), N))
    parts = [predicted(AGE, model, y, y + years * wobble * noise[i]) for i, (model, years) in enumerate(off.items())]
    comparison = comparison_of(*parts, tasks=[AGE])
    run = run_of([AGE], backbones={"a": facts_of("a"), "b": facts_of("b", seeded=seeded)})
    data = dataset_of(people(N))
    return comparison, data, studies_of(comparison, data, run)


def test_verdicts_are_on_the_next_backbone_and_then_on_the_next_head():
    comparison, _, (study,) = outcome()
    backbones, heads = headline(study, comparison.verdicts).verdicts
    assert backbones.startswith("a, dense is better than b, dense by ")
    assert heads.startswith("a, dense is better than a, linear by ")
    assert " years, 95% interval " in backbones


def test_no_difference_is_said_plainly():
    comparison, _, (study,) = outcome(b=1.001)
    assert "no difference can be shown" in headline(study, comparison.verdicts).verdicts[0]


def test_random_weights_are_marked_in_verdicts_too():
    comparison, _, (study,) = outcome(seeded=True)
    assert "b †, dense" in headline(study, comparison.verdicts).verdicts[0]


def test_headline_has_the_interval_of_its_figure():
    comparison, _, (study,) = outcome()
    said = headline(study, comparison.verdicts)
    low, high = (float(end) for end in said.interval.split(" to "))
    assert low < float(said.figure) < high


def test_models_are_drawn_best_first_without_the_dummy():
    comparison, data, studies = outcome()
    (plot,) = results_section(studies, comparison, data).blocks[1].plots
    names = [label.text for label in sorted(plot.labels, key=lambda each: each.y) if label.look == "name"]
    assert names == ["a, dense", "a, linear", "b, dense"]
    assert "MAE, less is better" in [label.text for label in plot.labels]


def test_every_pair_is_folded_away_in_words():
    comparison, data, studies = outcome()
    more = results_section(studies, comparison, data).blocks[1].more
    assert more.title == "Every pair of models in words (3)"
    assert all("better than" in row.cells[0].text for row in more.tables[0].rows)


def test_luck_of_seeds_is_spoken_of_where_there_is_one():
    comparison, data, studies = outcome()
    assert ONE_SEED in results_section(studies, comparison, data).blocks[0].caption
    seeds = [comparison.predictions.assign(seed=seed) for seed in (0, 1)]
    several = replace(comparison, predictions=pd.concat(seeds))
    assert ONE_SEED not in results_section(studies, several, data).blocks[0].caption
