"""The gallery: self-contained, bounded, safe whatever files are called, and at work in a real browser."""

import base64
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heads.folder import gallery as module
from heads.folder.gallery import MOST_FACES, SIDE, THUMBNAIL_BYTES, gallery
from tests.cli import ROOT
from tests.heads.folder.browser import Elements, answered, opened
from tests.heads.folder.scored import no_face, picture, row, table, turned, within

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of three pictures."""
    for name in ("b10.jpg", "b9.jpg", "x/c.png"):
        picture(tmp_path / "photos" / name, (640, 480))
    return tmp_path / "photos"


def scored() -> pd.DataFrame:
    """Two faces in one photograph, one in another, one photograph without and one that cannot be read."""
    male = {"gender": "male", "gender_proba": 0.7}
    return table(
        row("b10.jpg", 1, age=60.0, age_low=50.0, age_high=70.0, quality=0.5),
        row("b10.jpg", 2, age=8.0, age_low=4.0, age_high=12.0, **male, left=300.0, right=400.0),
        row("b9.jpg", 1, age=20.0, age_low=19.0, age_high=21.0, quality=0.9, **male),
        no_face("x/c.png"),
        no_face("gone.jpg", "missing", "no such file"),
    )


def made(photos: Path, rows: pd.DataFrame | None = None, **options) -> str:
    rows = scored() if rows is None else rows
    return gallery(rows, within(photos, rows), **options)


def thumbnails(page: str) -> list[Image.Image]:
    found = [attributes["src"] for attributes in Elements(page).all("img")]
    return [Image.open(io.BytesIO(base64.b64decode(each.removeprefix("data:image/jpeg;base64,")))) for each in found]


# ---- what is in it


def test_every_photograph_has_a_card_with_all_that_is_known_of_it(photos):
    page = Elements(made(photos, title="Summer"))
    assert [each["data-name"] for each in page.all("li") if each.get("class") == "card"] == [
        *("b10.jpg", "b9.jpg", "x/c.png", "gone.jpg")
    ]
    text = " ".join(page.text.split())
    assert "Summer 3 faces in 4 photographs" in text
    assert "1 60 (50–70) female 90% quality 0.50" in text
    assert "2 8 (4–12) male 70% quality 0.80" in text
    assert "no face hog finds no face in it" in text
    assert "missing no such file" in text
    assert len(page.all("img")) == 3


def test_boxes_are_drawn_where_the_faces_are_in_the_thumbnail(photos):
    page = made(photos)
    first = re.findall(r'<path class="face" d="M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H', page)
    assert [tuple(map(float, box)) for box in first[:2]] == [(5, 5, 15, 15), (150, 5, 200, 15)]
    assert thumbnails(page)[0].size == (SIDE, SIDE * 3 // 4)


def test_photographs_stand_upright_and_carry_no_metadata(photos):
    turned(photos / "t.jpg", (120, 200))
    (image,) = thumbnails(made(photos, table(row("t.jpg"))))
    assert image.size == (120, 200)
    assert not image.getexif()
    assert np.asarray(image)[:90, :50].max() < 40


def test_chips_as_they_are_have_no_box(photos):
    chip = row("b9.jpg", 0)
    page = made(photos, pd.DataFrame([{k: v for k, v in chip.items() if k not in ("left", "top", "right", "bottom")}]))
    assert 'class="face"' not in page
    assert "30 (24–36)" in page


def test_real_faces_are_shown(utkface_dir):
    names = sorted(path.name for path in utkface_dir.iterdir())[::3000]
    page = gallery(table(*(row(name, 0, left=None) for name in names)), [str(utkface_dir / name) for name in names])
    assert [image.size for image in thumbnails(page)] == [(200, 200)] * len(names)


def test_nothing_is_fetched_and_only_its_own_script_may_run(photos):
    page = made(photos)
    found = Elements(page)
    (policy,) = [each["content"] for each in found.all("meta") if "http-equiv" in each]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{own}'"
    for tag, attributes in found.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,"), tag
    assert not re.search(r"url\(|@import|https?://|fetch\(|import\(|innerHTML", page)


def test_every_text_is_escaped(photos):
    rows = table(row(HOSTILE, gender=HOSTILE, reason=HOSTILE), no_face(HOSTILE, HOSTILE, HOSTILE))
    page = gallery(rows, ["/nowhere"] * 2, title=HOSTILE)
    found = Elements(page)
    assert len(found.all("script")) == 1
    assert not [each for each in found.all("img") if "onerror" in each]
    assert "49.jpg" not in page
    assert page.count("&lt;script&gt;") == page.count("alert(1)") > 6


def test_ethnicity_is_there_only_if_rows_have_it(photos):
    assert "thnicity" not in made(photos)
    page = made(photos, scored().assign(ethnicity="asian", ethnicity_proba=0.6))
    assert re.search(r"<label>Ethnicity <select name=\"task1\">", page)
    assert "asian <small>60%</small>" in page


def test_class_that_is_empty_or_without_a_probability_is_shown_as_it_is(photos):
    rows = table(row("b9.jpg", hat="cap", hat_proba=float("nan")), row("b10.jpg", hat="", hat_proba=0.5))
    page = made(photos, rows)
    assert "nan%" not in page
    assert page.count("<option>") == 2  # cap, and female


def test_face_without_one_class_is_filtered_by_its_others(photos):
    page = made(photos, table(row("b9.jpg", gender=None, hat="cap", hat_proba=0.9)))
    (item,) = [each for each in Elements(page).all("li") if "data-status" in each]
    assert {name: text for name, text in item.items() if "task" in name} == {"data-task1": "cap"}


def test_untrained_weights_are_said_first(photos):
    page = Elements(made(photos, scored().assign(bundle="0123456789abcdef (random weights, not trained)")))
    assert [each.get("class") for each in page.all("p")].index("warning") < 3
    assert "these predictions mean nothing" in page.text


# ---- how large it may get


def test_page_says_how_many_photographs_it_shows_of_how_many(photos):
    page = Elements(made(photos, most=2))
    assert "The first 2 of 4 photographs are shown." in page.text
    assert len([each for each in page.all("li") if each.get("class") == "card"]) == 2
    assert "are shown" not in Elements(made(photos, most=4)).text


def test_photographs_of_crowds_are_fewer(photos, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    assert "The first 2 of 4 photographs are shown." in Elements(made(photos)).text


def test_rows_of_a_crowd_are_cut(photos):
    rows = table(*(row("b9.jpg", number) for number in range(1, MOST_FACES + 8)))
    page = Elements(made(photos, rows))
    assert len([each for each in page.all("li") if "data-status" in each]) == MOST_FACES
    assert "and 7 more" in page.text


def test_thumbnails_are_small_whatever_they_show(photos, draw_image):
    draw_image(photos / "noise.png", (700, 700))
    (image,) = thumbnails(made(photos, table(row("noise.png"))))
    assert image.size == (SIDE, SIDE)
    assert len(image.fp.getvalue()) <= THUMBNAIL_BYTES  # type: ignore[union-attr]


def test_small_pictures_are_not_blown_up(photos):
    picture(photos / "small.png", (60, 40))
    assert thumbnails(made(photos, table(row("small.png"))))[0].size == (60, 40)


# ---- in a browser

SHOWN = '[...document.querySelectorAll(".card:not([hidden])")].map(each => each.dataset.name)'
ASK = """(() => {
  const form = document.querySelector("form"), said = {};
  const ask = (name, fields) => {
    form.reset();
    for (const [key, value] of Object.entries(fields)) form.elements[key].value = value;
    show();
    said[name] = [SHOWN, form.querySelector("output").textContent, document.querySelectorAll("li.off").length];
  };
  ASKED
  return said;
})()""".replace("SHOWN", SHOWN)
QUESTIONS: dict[str, tuple[dict[str, str], list[str], str, int]] = {
    "as it is": ({}, ["b10.jpg", "b9.jpg", "x/c.png", "gone.jpg"], "3 faces in 4 of 4", 0),
    "name": ({"sort": "name"}, ["b9.jpg", "b10.jpg", "gone.jpg", "x/c.png"], "3 faces in 4 of 4", 0),
    "youngest": ({"sort": "age up"}, ["b10.jpg", "b9.jpg", "x/c.png", "gone.jpg"], "3 faces in 4 of 4", 0),
    "youngest woman or man of 15": (
        {"sort": "age up", "from": "15"},
        ["b9.jpg", "b10.jpg"],
        "2 faces in 2 of 4",
        3,
    ),
    "quality": (
        {"sort": "quality down"},
        ["b9.jpg", "b10.jpg", "x/c.png", "gone.jpg"],
        "3 faces in 4 of 4",
        0,
    ),
    "surest": (
        {"sort": "interval up"},
        ["b9.jpg", "b10.jpg", "x/c.png", "gone.jpg"],
        "3 faces in 4 of 4",
        0,
    ),
    "young men": ({"to": "15", "task0": "male"}, ["b10.jpg"], "1 face in 1 of 4", 4),
    "no woman below 15": ({"to": "15", "task0": "female"}, [], "0 faces in 0 of 4", 5),
    "status": ({"status": "no_face"}, ["x/c.png"], "0 faces in 1 of 4", 4),
    "text": ({"name": "B1"}, ["b10.jpg"], "2 faces in 1 of 4", 0),
}


def test_photographs_are_sorted_and_filtered_by_their_faces(tmp_path, photos):
    asked = "\n".join(f'ask("{name}", {fields});' for name, (fields, *_) in QUESTIONS.items())
    found = answered(tmp_path, made(photos), ASK.replace("ASKED", asked))
    assert found == {name: [names, words, off] for name, (_, names, words, off) in QUESTIONS.items()}


def test_script_runs_under_the_policy_and_hostile_names_do_nothing(tmp_path, photos):
    hostile = gallery(table(row(HOSTILE, gender=HOSTILE)), ["/nowhere"], title=HOSTILE)
    for page in (made(photos), hostile):
        shown = opened(tmp_path, page)
        assert re.search(r"<output>\d faces? in \d of \d</output>", shown)


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_page_fits_the_window_also_with_long_names(tmp_path, photos, width):
    picture(photos / ("long" * 50 + ".jpg"), (100, 400))
    rows = pd.concat([scored(), table(row("long" * 50 + ".jpg", 12))], ignore_index=True)
    asked = "[innerWidth, document.documentElement.scrollWidth, document.querySelector('form').hidden]"
    assert answered(tmp_path, made(photos, rows), asked, width=width) == [width, width, False]


def test_captions_lie_within_their_pictures(tmp_path, photos):
    outside = """[...document.querySelectorAll(".frame text")].filter(each => {
      const own = each.getBoundingClientRect(), box = each.closest("svg").getBoundingClientRect();
      return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top || own.bottom > box.bottom + 1;
    }).length"""
    assert answered(tmp_path, made(photos), f'[document.querySelectorAll(".frame text").length, {outside}]') == [3, 0]


def test_what_the_page_is_made_from_is_shipped_with_the_package():
    folder = Path(module.__file__).parent
    others = {path.suffix for path in folder.iterdir() if path.suffix not in (".py", "") and path.is_file()}
    shipped = (ROOT / "setup.cfg").read_text().partition("heads.folder =")[2].partition("heads.report")[0].split()
    assert {f"*{suffix}" for suffix in others} == set(shipped)
