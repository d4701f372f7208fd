"""The page: escaped, self-contained, and fit for a phone, as a real browser sees it."""

import functools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from heads.report import page as page_module
from heads.report.blocks import (
    Block,
    Cell,
    Crop,
    Face,
    Headline,
    Key,
    Label,
    Photo,
    Plot,
    Report,
    Row,
    Section,
    Shape,
    Table,
)
from heads.report.page import render_page
from heads.report.sections import report_of
from heads.tasks import Task
from tests.cli import ROOT
from tests.heads.report.pages import HOSTILE, Page, check_self_contained, in_browser, seen
from tests.heads.report.small import AGE, comparison_of, dataset_of, facts_of, people, predicted, run_of, whole

SECTIONS = 12


@functools.cache
def page_of(*, seeded: bool = False, **options) -> str:
    """The page of a whole comparison, with faces that have no pictures."""
    comparison, data, run = whole(test=True, **options)
    if seeded:
        name = options["net"]
        run = replace(run, backbones={name: facts_of(name, seeded=True)})
    return render_page(report_of(comparison, data, run, picture=lambda path: ""))


# ---- what is in it


def test_every_element_is_closed_and_ids_are_unique():
    found = Page(page_of())
    ids = Counter(attributes["id"] for _, attributes in found.elements if "id" in attributes)
    assert set(ids.values()) == {1}
    assert {a["href"].removeprefix("#") for a in found.all("a")} <= set(ids)


def test_contents_lead_to_every_section():
    found = Page(page_of())
    assert [a["href"] for a in found.all("a")] == [f"#{section['id']}" for section in found.all("section")]
    assert len(found.all("section")) == SECTIONS


def test_nothing_is_fetched_and_nothing_runs():
    check_self_contained(page_of())


def test_every_plot_says_in_words_what_it_shows():
    plots = [attributes for attributes in Page(page_of()).all("svg") if "aria-hidden" not in attributes]
    assert len(plots) > 10
    assert all(plot["role"] == "img" and len(plot["aria-label"]) > 10 and "viewbox" in plot for plot in plots)


def test_figures_of_the_table_are_on_the_page():
    comparison, data, run = whole()
    report = report_of(comparison, data, run)
    text = Page(render_page(report)).text
    for table in report.sections[0].blocks[0].tables:
        for row in table.rows:
            assert all(cell.text in text for cell in row.cells)


def hostile_report() -> Report:
    """A report in which every text is hostile."""
    h = HOSTILE
    cells = (Cell(h, best=True, badge=h), Cell(h, share=0.9))
    plot = Plot(h, h, (Shape("M0 0", h),), (Label(1, 2, h), Label(1, 2, h, look="axis up")), 10, 10)
    crop = Crop(h, h, ((h, h),), h, h, h)
    photos = tuple(Photo(h, status, h, plot, h, (crop,), (crop,)) for status in (h, "ok"))
    keys, tables = (Key((Shape("M0 0", h),), h),), (Table(h, (h, h), (Row(cells),)),)
    block = Block(h, h, h, keys, (plot,), tables, (Face(h, h, h, h),), photos)
    section = Section(h, "a", (block, Block(h, more=block)))
    return Report(h, h, (Headline(h, h, h, h),), (h,), (section,))


def test_every_text_is_escaped_wherever_it_stands():
    text = render_page(hostile_report())
    found = Page(text)
    assert "script" not in {tag for tag, _ in found.elements}
    assert not [attributes for attributes in found.all("img") if "onerror" in attributes]
    assert "49" not in text
    assert text.count("&lt;script&gt;") == text.count("alert(1)") > 20


def test_names_from_manifests_and_backbones_are_escaped():
    task = Task("<b>task</b>", "x", "class", ("<script>class</script>", "b"))
    net = ("<i>net</i>", "dense")
    predictions = predicted(task, net, [0, 1, 0, 1], [1, 1, 1, 1]).assign(image_id=["<u>0", "<u>1", "<u>2", "<u>3"])
    data = dataset_of(people(4).assign(image_id=predictions["image_id"]))
    run = run_of([task], [net[0]], paths={"command": "<s>"})
    text = render_page(report_of(comparison_of(predictions, tasks=[task]), data, run, picture=lambda path: ""))
    for name in ("<b>task", "<script>", "<i>net", "<u>", "<s>"):
        assert name not in text
        assert name.replace("<", "&lt;").replace(">", "&gt;") in text


def test_seeded_weights_are_marked_wherever_their_backbone_is_named():
    found = Page(page_of(seeded=True, net="ArcFace seeded:0"))
    assert [p["class"] for p in found.all("p") if "class" in p].count("warning") == 1
    assert "† ArcFace seeded:0: weights drawn at random, not trained; figures say nothing about ArcFace" in found.text
    named = [match.end() for match in re.finditer("ArcFace seeded:0", found.text)]
    assert len(named) > 30
    unmarked = {found.text[end : end + 2] for end in named} - {" †"}
    assert unmarked == {": "}  # in the warning itself
    badges = [span for span in found.all("span") if span.get("class") == "badge"]
    assert len(badges) == 2 * 2 * 4 + 1  # two heads, in both tables of four tasks; and how to repeat


def test_trained_weights_bear_no_mark():
    found = Page(page_of())
    assert "†" not in found.text
    assert not [span for span in found.all("span") if span.get("class") == "badge"]


# ---- shapes it must bear


@pytest.mark.parametrize("n", [24, 700])
def test_page_is_small_whatever_the_number_of_rows(n):
    assert len(page_of(n=n)) < 300_000


def test_one_task_one_backbone_and_four_people_make_a_page():
    comparison = comparison_of(predicted(AGE, ("net", "dense"), [1, 50, 99, 7], [2, 49, 98, 7]), tasks=[AGE])
    found = Page(render_page(report_of(comparison, dataset_of(people(4)), run_of([AGE]), picture=lambda path: "")))
    ids = ["results", "task-1", "calibration", "cost", "mistakes", "repeat"]
    assert [section["id"] for section in found.all("section")] == ids


# ---- in a browser

LONG = "a-backbone-with-a-name-that-somebody-thought-was-a-good-idea-at-the-time-v2-final(1)"


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("net", ["net", LONG], ids=["short", "long"])
def test_page_fits_the_window_with_all_its_sections(tmp_path, width, net):
    found = seen(tmp_path, page_of(net=net), width)
    assert (found.window, found.page, found.sections, found.outside) == (width, width, SECTIONS, 0)
    assert found.letters >= 9


def test_page_asks_for_nothing_and_its_policy_lets_its_style_and_pictures_through(tmp_path):
    assert "</html>" in in_browser(tmp_path, page_of())


# ---- what it is made from


def test_template_and_style_are_shipped_with_the_package():
    folder = Path(page_module.__file__).parent
    others = {path.suffix for path in folder.iterdir() if path.suffix not in (".py", "") and path.is_file()}
    shipped = (ROOT / "setup.cfg").read_text().partition("heads.report =")[2].split("[")[0].split()
    assert {f"*{suffix}" for suffix in others} == set(shipped)
