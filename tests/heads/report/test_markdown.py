"""Markdown whose tables hold together whatever stands in them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from heads.report.blocks import Block, Cell, Face, Headline, Report, Row, Section, Table
from heads.report.markdown import render_markdown
from heads.report.sections import report_of
from tests.heads.report.small import whole

HOSTILE = "<script>alert(1)</script> | `x` *y* [z](http://example.org) \n# h"


def report(*blocks: Block, **changes) -> Report:
    plain = {"title": "t", "subtitle": "s", "summary": (), "warnings": ()}
    return Report(**{**plain, **changes}, sections=(Section("S", "s", blocks),))


def tables_of(text: str) -> list[list[list[str]]]:
    """Every table as lines of fields, split where a bar is not escaped."""
    blocks = (part.splitlines() for part in text.split("\n\n") if part.startswith("|"))
    return [[re.split(r"(?<!\\)\|", line)[1:-1] for line in lines] for lines in blocks]


def test_table_is_written_as_github_reads_it():
    rows = (Row((Cell("net"), Cell("4.1", best=True))), Row((Cell("x", badge="random"), Cell("5"))))
    text = render_markdown(report(Block("B", "c", tables=(Table("T", ("name", "MAE"), rows),))))
    assert text.endswith(
        "## S\n\n### B\n\nc\n\n**T**\n\n| name | MAE |\n| --- | --: |\n| net | **4.1** |\n| x (random) | 5 |\n"
    )


def test_summary_reads_as_a_sentence_and_a_warning_stands_before_it():
    text = render_markdown(
        report(summary=(Headline("Best on age by MAE", "4.1", "net", "dummy 9"),), warnings=("Mind",))
    )
    assert text == "# t\n\ns\n\n> **Mind**\n\n- Best on age by MAE: **4.1**, net (dummy 9)\n"


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), min_size=1, max_size=4))
def test_every_line_of_a_table_has_its_fields_whatever_stands_in_them(fields):
    rows = tuple(Row(tuple(map(Cell, line))) for line in fields)
    (table,) = tables_of(render_markdown(report(Block("", tables=(Table("", ("a", "b"), rows),)))))
    assert [len(line) for line in table] == [2] * (len(fields) + 2)


def test_names_are_text_and_neither_html_nor_markdown():
    text = render_markdown(
        report(Block(HOSTILE, HOSTILE, tables=(Table(HOSTILE, (HOSTILE,), (Row((Cell(HOSTILE),)),)),)))
    )
    assert "<" not in text
    assert "](" not in text.replace("\\](", "")
    assert not re.search(r"(?<!\\)`", text)
    assert "\n# h" not in text


def test_code_is_indented_on_every_line():
    assert "    faceprobe x\n    # y\n" in render_markdown(report(Block("", code="faceprobe x\n# y")))


def test_whole_report_has_valid_tables_and_no_image():
    comparison, data, run = whole()
    text = render_markdown(report_of(comparison, data, run, picture=lambda path: "data:image/jpeg;base64,FACE"))
    tables = tables_of(text)
    assert len(tables) > 15
    for table in tables:
        assert len({len(line) for line in table}) == 1
        assert all(re.fullmatch(r" (---|--:) ", field) for field in table[1])
    assert "FACE" not in text
    assert ".png" not in text


def test_faces_are_left_out():
    assert "secret" not in render_markdown(report(Block("", faces=(Face("secret", "a", "b"),))))
