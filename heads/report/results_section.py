"""What a comparison comes to: the verdict of each task, the table with intervals, and its picture."""

from collections.abc import Sequence

import pandas as pd

from heads.compare import Comparison
from heads.dataset import Dataset
from heads.measures import MEASURES
from heads.report import tables
from heads.report.blocks import Block, Headline, Plot, Section
from heads.report.canvas import spread
from heads.report.facts import DUMMY, MODEL, goodness
from heads.report.forest import Line, Spot, forest
from heads.report.lines import Axis
from heads.report.study import Study
from heads.table import COLUMNS, figure
from heads.verdict import Difference, verdict

PAIRED = [f"{side}_{part}" for side in ("first", "second") for part in MODEL]  # columns that name a pair of models
ONE_SEED = "Heads were trained from one seed: the luck of seeds is in no interval, --seeds 3 includes it."


def headline(study: Study, verdicts: pd.DataFrame) -> Headline:
    """The best model of a task beside the dummy, and whether it is better than the next backbone and the next head."""
    metric = study.task.metrics[0]
    best = (study.shown or [DUMMY])[0]
    found = study.found[best]
    word = "Random weights" if study.run.is_seeded(best[0]) else "Best"
    lead, contrast = f"{word} on {study.task.name} by {COLUMNS[metric][0]}", f"on {found.n:,} rows"
    if DUMMY in study.found:
        floor = study.found[DUMMY].value
        contrast = f"dummy {figure(metric, floor)}, {contrast}"
        if not goodness(metric, found.value) > goodness(metric, floor):
            lead = f"Nothing beats the dummy on {study.task.name} by {COLUMNS[metric][0]}"
    said = tuple(_say(study, row) for row in _telling(study, verdicts))
    interval = tables.between(metric, found.low, found.high)
    return Headline(lead, figure(metric, found.value), study.name(best), contrast, interval, said)


def _telling(study: Study, verdicts: pd.DataFrame) -> list[pd.Series]:
    """The rows of `verdicts` on the best model against the next backbone's, and against the next head."""
    own = verdicts[verdicts["task"] == study.task.name]
    best, *backbones = study.shown or [DUMMY]
    heads = [model for model in study.others if model[0] == best[0]]
    pairs = [{best, rival} for rival in (*backbones[:1], *heads[:1])]
    pair_of = [{(a, b), (c, d)} for a, b, c, d in own[PAIRED].itertuples(index=False, name=None)]
    return [own.iloc[pair_of.index(pair)] for pair in pairs if pair in pair_of]


def _say(study: Study, row: pd.Series) -> str:
    """A verdict in words, with the names of the report."""
    first, second = (study.name((row[f"{side}_backbone"], row[f"{side}_head"])) for side in ("first", "second"))
    seeds = 2  # one seed is spoken of once, beneath the tables
    found = Difference(row["metric"], row["difference"], row["low"], row["high"], row["p"], seeds)
    return verdict(first, second, found, p=row["p_adjusted"], unit="years" if study.task.kind == "age" else "")


def results_section(studies: Sequence[Study], comparison: Comparison, data: Dataset) -> Section:
    """The tables, of the folds and of another manifest, and the models with their intervals."""
    run = studies[0].run
    folds = [tables.results_table(comparison.figures, comparison.cells, task, run) for task in run.tasks]
    several = len(comparison.cells[MODEL].drop_duplicates()) > 1
    words = Block("What the columns mean", tables=(tables.glossary(comparison.of_folds),))
    blocks = [Block("", _caption(comparison, several=several), tables=tuple(folds), more=words)]
    drawn = [plot for study in studies if (plot := _forest(study))]
    if drawn:
        blocks.append(_pairs(studies, comparison.verdicts, drawn))
    if data.test is not None:
        caption = (
            f"{len(data.test):,} rows on which nothing was trained, by the heads of all folds together. Rows with the "
            "bytes of an image trained on are left out."
        )
        tested = [tables.results_table(comparison.figures_of_test, comparison.cells, task, run) for task in run.tasks]
        blocks.append(Block("Tested on another manifest", caption, tables=tuple(tested)))
    return Section("Results", "results", tuple(blocks))


def _caption(comparison: Comparison, *, several: bool) -> str:
    """How to read the tables."""
    sentences = ["Every row is predicted by heads that have not seen it."]
    sentences.append("Beneath each figure stands its 95% interval: where it may lie for other people like these.")
    if comparison.predictions["seed"].nunique() == 1:
        sentences.append(ONE_SEED)
    if several:
        sentences.append(
            "★ marks the best of a column, random weights aside. What follows shows the head of each backbone that was "
            "best on validation rows, and folds the others away. The dummy predicts the median or the most frequent "
            "class of the training rows: a head must beat it."
        )
    return " ".join(sentences)


def _forest(study: Study) -> Plot | None:
    """The models of a task by their first metric, where they are several and have intervals."""
    metric = study.task.metrics[0]
    known = {model: of for model, of in study.found.items() if of.low <= of.high and model != DUMMY}
    if len(known) < 2:
        return None
    heading, form = COLUMNS[metric]
    rows = [
        Line(
            study.name(model),
            figure(metric, of.value),
            (Spot(of.value, of.low, of.high, study.style(model)),),
        )
        for model, of in known.items()
    ]
    better = "less" if MEASURES[metric].better < 0 else "more"
    ends = spread([end for of in known.values() for end in (of.low, of.high)])
    axis = Axis(f"{heading}, {better} is better", *ends, percent="%" in form)
    return forest(rows, axis, title=study.task.name)


def _pairs(studies: Sequence[Study], verdicts: pd.DataFrame, drawn: Sequence[Plot]) -> Block:
    """The forest plots, and every pair of models in words."""
    caption = (
        "Each mark is a model's figure, the line through it its 95% interval. Lines may overlap where the models "
        "differ beyond doubt: in a pair both meet the same rows, which the words below take into account."
    )
    made = []
    for study in studies:
        own = verdicts[verdicts["task"] == study.task.name]
        if len(own):
            made.append(tables.words_table(study.task.name, [_say(study, row) for _, row in own.iterrows()]))
    n = sum(len(table.rows) for table in made)
    more = Block(f"Every pair of models in words ({n})", tables=tuple(made)) if made else None
    return Block("Models with their intervals", caption, plots=tuple(drawn), more=more)
