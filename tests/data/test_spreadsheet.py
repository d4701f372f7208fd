"""No text in a table becomes a formula, a further cell or a further line."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.images import printable
from data.spreadsheet import to_csv


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """Read a table back as a spreadsheet does, without the names of its columns."""
    return list(csv.reader(io.StringIO(to_csv(frame), newline="")))[1:]


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", " =1+1", "\t=1", "\r=1", "\n=1", "＝1+1", "－1", "＠x"])
def test_text_like_a_formula_gets_an_apostrophe_or_an_escape(text):
    ((cell,),) = cells(pd.DataFrame({"path": [text]}))
    assert cell in ("'" + text, printable(text))
    assert cell.lstrip()[0] in "'\\"


@pytest.mark.parametrize("text", ["a b.jpg", 'a "b".jpg', "a,b.jpg", "a;b.jpg", "a-b=c@d+e.jpg", "é.jpg", "脸.jpg", ""])
def test_other_text_comes_back_as_it_was(text):
    assert cells(pd.DataFrame({"path": [text], "n": [1]})) == [[text, "1"]]


def test_numbers_stay_numbers_and_what_is_missing_stays_empty():
    frame = pd.DataFrame({"path": ["-1", None], "age": [-1.5, None], "face": pd.array([-1, None], "Int16")})
    assert cells(frame) == [["'-1", "-1.5", "-1"], ["", "", ""]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_every_text_is_one_cell_of_one_line_and_can_be_had_back(texts):
    found = cells(pd.DataFrame({"path": texts, "n": 1}))
    assert [n for _, n in found] == ["1"] * len(texts)
    assert [cell.removeprefix("'") for cell, _ in found] == [printable(text) for text in texts]
    assert to_csv(pd.DataFrame({"path": texts})).count("\n") == len(texts) + 1
