"""The page of pictures with their faces: whole, drawn where they are, escaped, and fit for a phone."""

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heads.report.faces_page import FACTS, FOLDED, faces_report
from heads.report.page import render_page
from tests.heads.report.pages import HOSTILE, Page, check_self_contained, in_browser, seen


def jpeg(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, "JPEG")
    return out.getvalue()


def pictures_of(*statuses: str) -> pd.DataFrame:
    """A row per status; what is "unreadable" has no thumbnail."""
    read = [status != "unreadable" for status in statuses]
    return pd.DataFrame(
        {
            "image_id": [f"day {i}/p{i}.jpg" for i in range(len(statuses))],
            "status": statuses,
            "reason": ["" if status == "ok" else f"because of {status}" for status in statuses],
            "width": [4000 if yes else 0 for yes in read],
            "height": [3000 if yes else 0 for yes in read],
            "thumbnail": [jpeg(400, 300) if yes else b"" for yes in read],
        }
    )


def face_of(image: int, face: int, box: tuple[float, float, float, float], **changes: object) -> dict[str, object]:
    left, top, right, bottom = box
    places = np.array([(0.3, 0.35), (0.7, 0.35), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
    row = {"image": image, "face": face, "left": left, "top": top, "right": right, "bottom": bottom}
    row |= {"landmarks": places * (right - left, bottom - top) + (left, top)}
    row |= dict.fromkeys(FACTS, 0.5) | {"confidence": 1.25, "turned": 0.0, "size": right - left}
    row |= {"quality": 0.75, "weakest": "sharpness", "refusal": "", "why": "", "crop": jpeg(112, 112)}
    return row | changes


SMALL = {"refusal": "face_too_small", "why": "the face has size 90, --min-face asks for 100"}
FACES = [
    face_of(0, 1, (100, 200, 1100, 1200)),
    face_of(0, 2, (3910, 10, 4000, 100), **SMALL),
    face_of(2, 1, (-50, 2500, 700, 3250), turned=90.0),
    face_of(3, 1, (10, 20, 100, 110), **SMALL),
]
STATUSES = ("ok", "no_face", "ok", "face_too_small", "unreadable")


def page_of(statuses=STATUSES, faces=None, **changes: object) -> str:
    rows = pd.DataFrame(FACES if faces is None else faces, columns=[*FACES[0]])
    given = {"source": "photos", "listed": len(statuses), "settings": {"detector": "hog"}} | changes
    return render_page(faces_report(pictures_of(*statuses), rows, **given))  # type: ignore[arg-type]


def articles(text: str) -> list[str]:
    return re.findall(r'<article class="photo.*?</article>', text, re.DOTALL)


def test_every_picture_and_every_face_is_there():
    text = page_of()
    found = Page(text)
    assert re.findall(r'<p class="id">(.*?)</p>', text) == [f"day {i}/p{i}.jpg" for i in range(5)]
    assert len(found.all("image")) == 4  # the unreadable one cannot be shown
    assert [each.count("<dl>") for each in articles(text)] == [2, 0, 1, 1, 0]
    for status in STATUSES[1:2] + STATUSES[3:]:
        assert f'<span class="badge">{status}</span>' in text
        assert f"because of {status}" in text


def test_boxes_and_landmarks_are_where_the_table_says():
    drawn = articles(page_of())
    faces = [(0, 0), (0, 1), (2, 0), (3, 0)]
    for row, (image, number) in zip(FACES, faces, strict=True):
        assert 'viewBox="0 0 4000 3000"' in drawn[image]
        box = re.findall(r'class="box[^"]*" d="M(\S+) (\S+)H(\S+)V(\S+)H(\S+)z"', drawn[image])[number]
        expected = [row[side] for side in ("left", "top", "right", "bottom", "left")]
        assert [float(edge) for edge in box] == expected
        points = re.findall(r'class="point[^"]*" d="([^"]*)"', drawn[image])[number]
        places = [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+?)h0", points)]
        assert np.allclose(places, row["landmarks"], atol=0.06)


def test_pictures_are_the_ones_that_were_given():
    found = Page(page_of())
    shown = [base64.b64decode(image["href"].partition(",")[2]) for image in found.all("image")]
    assert shown == [*pictures_of(*STATUSES)["thumbnail"].drop(4)]
    assert {(image["width"], image["height"]) for image in found.all("image")} == {("4000", "3000")}


def test_unwanted_faces_look_otherwise_and_say_why():
    ok, _, _, small, _ = articles(page_of())
    assert re.findall(r'class="box ([^"]*)"', ok) == ["s0", "dashed s1"]
    assert re.findall(r'class="box ([^"]*)"', small) == ["dashed s1"]
    assert ok.count("not wanted: the face has size 90, --min-face asks for 100") == 1


def test_face_has_its_figures_and_the_deciding_one_is_marked():
    text = articles(page_of())[0]
    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text.partition("</li>")[0])
    assert [name for name, _ in facts] == [*FACTS]
    assert dict(facts) | {"size": "1000 px", "confidence": "1.25", "inside": "50%", "exposure": "0.50"} == dict(facts)
    assert re.findall(r'<div class="weakest"><dt>(\w+)', text) == ["sharpness"] * 2
    best = articles(page_of(["ok"], [face_of(0, 1, (0, 0, 90, 90), quality=1.0)]))[0]
    assert "weakest" not in best
    assert "<dt>turned</dt><dd>90°</dd>" in articles(page_of())[2]


def test_angle_of_nothing_has_no_sign():
    text = page_of(["ok"], [face_of(0, 1, (0, 0, 90, 90), yaw=-0.3, roll=-10.0)])
    assert "<dt>yaw</dt><dd>0°</dd>" in text
    assert "<dt>roll</dt><dd>-10°</dd>" in text


def test_counts_stand_at_the_top():
    text = Page(page_of()).text
    head = " ".join(text.partition("What was found")[0].split())
    assert "2 of 5" in head
    assert "2 show no face at all" in head
    assert "2 of 4" in head
    assert "2 face too small" in head


def test_more_pictures_than_are_shown_are_told():
    assert "5 of 1,234 pictures" in page_of(listed=1234)
    assert "the others are not shown" not in page_of()


def test_smaller_faces_of_a_crowd_are_folded_away_and_those_without_a_crop_are_listed():
    crowd = [face_of(0, n, (n, n, n + 30, n + 30), crop=jpeg(20, 20) if n <= 12 else b"") for n in range(1, 31)]
    text = articles(page_of(["ok"], crowd))[0]
    shown, _, folded = text.partition("<details>")
    assert (shown.count("<dl>"), folded.count("<dl>")) == (FOLDED, 30 - FOLDED)
    assert text.count("<img") == 12
    assert text.count('class="number small"') == 30


def test_no_face_at_all_makes_a_page_without_plots():
    text = page_of(["no_face", "unreadable"], [])
    assert len(articles(text)) == 2
    assert not [svg for svg in Page(text).all("svg") if "how many of" in svg.get("aria-label", "")]
    assert "0 of 2" in text


def test_nothing_is_fetched_and_nothing_runs():
    check_self_contained(page_of())


def test_hostile_names_are_escaped():
    h = HOSTILE
    pictures = pictures_of("ok", "ok").assign(image_id=h, status=["ok", h], reason=h)
    faces = pd.DataFrame([face_of(0, 1, (0, 0, 90, 90), refusal=h, why=h)])
    text = render_page(faces_report(pictures, faces, source=h, listed=2, settings={h: h}))
    found = Page(text)
    assert "script" not in {tag for tag, _ in found.elements}
    assert not [attributes for attributes in found.all("img") if "onerror" in attributes]
    assert text.count("&lt;script&gt;") == text.count("alert(1)") > 8


# ---- in a browser


@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_window_with_all_its_pictures(tmp_path, width):
    long = [face_of(0, 1, (0, 0, 900, 900), refusal="low_quality", why="x" * 90)]
    found = seen(tmp_path, page_of(faces=FACES + long), width)
    assert (found.window, found.page, found.sections, found.outside, found.photos) == (width, width, 3, 0, 5)
    assert found.letters >= 9


def test_pictures_of_one_status_can_be_seen_alone_without_a_script(tmp_path):
    text = page_of().replace('class="pick-1"', 'class="pick-1" checked')
    assert seen(tmp_path, text, 1280).photos == STATUSES.count("ok")


def test_policy_of_the_page_lets_its_pictures_and_style_through(tmp_path):
    assert "</html>" in in_browser(tmp_path, page_of())
