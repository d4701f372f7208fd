"""Study: one task's predictions with the order, the names and the looks of its models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from heads.compare import Comparison
from heads.dataset import Dataset
from heads.report.blocks import Key
from heads.report.canvas import STYLES, key
from heads.report.facts import DUMMY, MODEL, Estimate, Model, first_metric, of_model, ranking, rows_of
from heads.report.run import Run
from heads.table import marked
from heads.tasks import Task


@dataclass(frozen=True)
class Study:
    """What the sections of one task are made from.

    Attributes
    ----------
    task : whose.
    rows : of `rows_of`.
    found : the first metric of every model, best first, the dummy as any other.
    chosen : the best head of each backbone, best first: both by validation rows, so that no test row chooses.
    figures : of the `Comparison`, this task's.
    run : what is said beside the figures.
    """

    task: Task
    rows: pd.DataFrame
    found: Mapping[Model, Estimate]
    chosen: Sequence[Model]
    figures: pd.DataFrame
    run: Run

    @property
    def ranked(self) -> list[Model]:
        """The models, best first."""
        return [*self.found]

    @property
    def shown(self) -> list[Model]:
        """The best head of each backbone, best first: what plots show at once. Random weights come last."""
        own = [model for model in self.chosen if model in self.found]
        return sorted(own, key=lambda model: self.run.is_seeded(model[0]))

    @property
    def others(self) -> list[Model]:
        """The heads that are folded away."""
        return [model for model in self.ranked if model not in self.shown and model != DUMMY]

    def of(self, model: Model) -> pd.DataFrame:
        """A model's rows."""
        return of_model(self.rows, model)

    def name(self, model: Model) -> str:
        """A model in words, marked if its backbone is seeded."""
        return "dummy" if model == DUMMY else f"{marked(model[0], self.run.backbones)}, {model[1]}"

    def style(self, model: Model) -> int:
        """How the plots of the whole report show a model's backbone."""
        return [*self.run.backbones].index(model[0]) % STYLES

    @property
    def keys(self) -> tuple[Key, ...]:
        """The legend of plots of what is shown."""
        return tuple(key(self.name(model), self.style(model)) for model in self.shown)

    @property
    def measure(self) -> str:
        """What `error` of the rows is called when averaged."""
        return "share wrong" if self.task.kind == "class" else "MAE"

    def error(self, value: float) -> str:
        """An averaged error as people read it."""
        if pd.isna(value):
            return "-"
        return f"{value:.1%}" if self.task.kind == "class" else f"{value:.2f}"

    def label(self, value: float) -> str:
        """A label or a prediction as people read it: the name of a class, years, or a number."""
        if self.task.kind == "class":
            return str(self.task.classes[int(value)])
        return f"{value:.0f}" if float(value).is_integer() else f"{value:.1f}"


def studies_of(comparison: Comparison, data: Dataset, run: Run) -> list[Study]:
    """A study of every task."""
    kept = dict(zip(data.split.ids, data.split.groups, strict=True))
    frame = data.rows.frame.assign(kept=data.rows.frame["image_id"].map(kept))
    best = comparison.best_heads
    studies = []
    for task in run.tasks:
        found = first_metric(comparison.figures, task)
        ranked = {model: found[model] for model in ranking(found, task)}
        chosen = [*best[best["task"] == task.name][MODEL].itertuples(index=False, name=None)]
        figures = comparison.figures[comparison.figures["task"] == task.name]
        studies.append(Study(task, rows_of(comparison.predictions, task, frame), ranked, chosen, figures, run))
    return studies
