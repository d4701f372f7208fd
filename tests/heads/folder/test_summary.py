"""The summary as a page."""

import numpy as np
import pytest

from heads.folder.summary import folder_summary
from heads.statistics import FEWEST
from tests.heads.folder.browser import Elements, answered, opened
from tests.heads.folder.scored import no_face, row, table
from tests.heads.folder.test_figures import folder, of

HOSTILE = "<script>alert(1)</script>"


def text_of(page: str) -> str:
    return " ".join(Elements(page).text.split())


def test_page_says_what_the_table_says():
    page, figures = folder_summary(folder(40), title="Shop, Monday")
    text = text_of(page)
    assert "Shop, Monday" in text
    for name in ("age group", "gender"):
        for group, value, low, high in of(figures, name)[["value", "low", "high"]].itertuples():
            assert group in text
            assert f"{value:.1%} [{low:.0%}, {high:.0%}]" in text
    mean = of(figures, "mean age").iloc[0]
    assert f"mean {mean['value']:.1f} years [{mean['low']:.1f}, {mean['high']:.1f}]" in text


def test_page_holds_no_photograph_and_fetches_nothing():
    page, _ = folder_summary(folder(30))
    assert not {"img", "script", "link"} & {tag for tag, _ in Elements(page).found}
    assert ".jpg" not in page


def test_page_says_what_it_cannot_tell():
    text = text_of(folder_summary(folder(30))[0])
    for words in ("Errors that all faces share", "Who is not in the photographs", "counts five times"):
        assert words in text


def test_few_photographs_are_warned_of_and_have_no_intervals():
    text = text_of(folder_summary(folder(FEWEST - 1))[0])
    assert f"Fewer than {FEWEST} photographs" in text
    assert "[" not in text
    assert "Fewer than" not in text_of(folder_summary(folder(FEWEST))[0])


def test_folder_without_faces_has_a_page():
    text = text_of(folder_summary(table(no_face("a"), no_face("b", "unreadable", "broken")))[0])
    assert "2 photographs, 0 faces" in text
    assert "unreadable" in text
    assert "Ages" not in text


@pytest.mark.parametrize("columns", [["gender", "gender_proba"], ["age", "age_low", "age_high"], ["quality"]])
def test_page_needs_no_column_of_predictions(columns):
    assert "faces" in text_of(folder_summary(folder(30).drop(columns=columns))[0])


def test_ages_without_intervals_and_faces_without_ages_are_said():
    rows = folder(30)
    assert "no intervals of ages" in text_of(folder_summary(rows.assign(age_low=np.nan, age_high=np.nan))[0])
    rows.loc[:4, "age"] = np.nan
    assert "5 faces have no age" in text_of(folder_summary(rows)[0])


def test_names_of_classes_are_escaped_and_untrained_weights_are_said():
    rows = folder(30).assign(hat=HOSTILE, hat_proba=0.9, bundle="0 (random weights, not trained)")
    page, _ = folder_summary(rows, title=HOSTILE)
    assert "<script" not in page
    assert "predictions mean nothing" in text_of(page)


def test_same_scores_give_the_same_page():
    assert folder_summary(folder(30))[0] == folder_summary(folder(30))[0]


def test_one_photograph_makes_a_page():
    assert "1 photograph, 1 face" in text_of(folder_summary(table(row("a")))[0])


@pytest.mark.parametrize("width", [360, 1280])
def test_page_fits_the_window(tmp_path, width):
    page, _ = folder_summary(folder(60).assign(hat=["with a very long name indeed"] * len(folder(60)), hat_proba=0.8))
    asked = "[innerWidth, document.documentElement.scrollWidth]"
    assert answered(tmp_path, page, asked, width=width) == [width, width]


def test_policy_lets_the_page_be_shown(tmp_path):
    assert "</html>" in opened(tmp_path, folder_summary(folder(30))[0])
