"""Write a report: a page with plots, and Markdown with the same tables."""

from dataclasses import replace
from pathlib import Path

from data.files import PRIVATE, write_text
from heads.compare import Comparison
from heads.dataset import Dataset
from heads.report.markdown import render_markdown
from heads.report.page import render_page
from heads.report.run import Run
from heads.report.sections import report_of
from heads.report.thumbnails import thumbnail

PAGE, MARKDOWN = "report.html", "report.md"


def write_report(folder: Path, comparison: Comparison, data: Dataset, run: Run, *, pictures: bool = False) -> None:
    """Write PAGE and MARKDOWN into a folder.

    Its owner alone may read the page; the Markdown names no image.

    Parameters
    ----------
    pictures : whether the page shows the images of the worst mistakes, by their names.
    """
    report = report_of(comparison, data, run, picture=thumbnail if pictures else None)
    write_text(folder / PAGE, render_page(report), mode=PRIVATE)
    write_text(folder / MARKDOWN, render_markdown(report))


def bundle_page(comparison: Comparison, data: Dataset, run: Run) -> str:
    """The page that goes into a bundle: it names no image, and is titled by its backbone and head."""
    models = dict.fromkeys(zip(comparison.cells["backbone"], comparison.cells["head"], strict=True))
    heads = " and ".join(f"{head} heads on {backbone}" for backbone, head in models)
    report = report_of(comparison, data, run)
    return render_page(replace(report, title=f"{report.title}: a bundle of {heads}"))
