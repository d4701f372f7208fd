"""Annotated copies: what is drawn, where, and what becomes of the photographs."""

import numpy as np
import pytest
from PIL import Image

from heads.folder.annotate import annotate
from heads.folder.places import FAILED, THERE, WRITTEN, FolderError
from tests.heads.folder.scored import no_face, picture, row, table, turned, within

BLUE = (90, 140, 200)


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


def changed(path, *, from_colour=BLUE) -> np.ndarray:
    """Which pixels are another colour, by more than a JPEG changes them."""
    return (np.abs(pixels(path) - from_colour) > 60).any(axis=2)


def test_copy_has_boxes_where_the_faces_are_and_text_beside_them(tmp_path):
    picture(tmp_path / "in" / "a.jpg", (400, 300))
    rows = table(row("a.jpg", left=100.0, top=80.0, right=180.0, bottom=160.0))
    annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    drawn = changed(tmp_path / "out" / "a.jpg")
    assert drawn[80:160, 98:102].any(axis=1).all()
    assert drawn[78:82, 100:180].any(axis=0).all()
    assert not drawn[95:145, 115:165].any()
    assert drawn[165:200, 100:180].sum() > 100
    assert not drawn[:60].any()
    assert not drawn[:, 250:].any()


def test_photographs_stay_as_they_are_and_copies_hold_nothing_but_pixels(tmp_path):
    (tmp_path / "in").mkdir()
    original = turned(tmp_path / "in" / "a.jpg", (120, 200))
    before, rows = original.read_bytes(), table(row("a.jpg"))
    annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    assert original.read_bytes() == before
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        assert image.size == (120, 200)
        assert not image.getexif()
        assert (image.getpixel((50, 90)), image.getpixel((100, 180))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize(("size", "letters"), [((300, 200), 12), ((2560, 1920), 40)])
def test_letters_grow_with_the_picture(tmp_path, size, letters):
    picture(tmp_path / "in" / "a.jpg", size)
    rows = table(row("a.jpg", 0, left=None, gender=None))
    annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    lines = np.flatnonzero(changed(tmp_path / "out" / "a.jpg").any(axis=1))
    assert 0.7 * letters < np.ptp(lines) < 1.5 * letters


def test_names_and_sub_folders_are_kept_and_other_endings_get_jpg_behind_them(tmp_path):
    names = ["a.jpg", "x/b.JPEG", "x/c.png"]
    for name in names:
        picture(tmp_path / "in" / name)
    rows = table(*(row(name) for name in names))
    found = annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    assert found["place"].tolist() == ["a.jpg", "x/b.JPEG", "x/c.png.jpg"]
    for place in found["place"]:
        with Image.open(tmp_path / "out" / place) as image:
            assert image.format == "JPEG"


def test_picture_without_a_face_says_so_in_its_corner(tmp_path):
    picture(tmp_path / "in" / "a.jpg", (300, 200))
    rows = table(no_face("a.jpg"))
    annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    drawn = changed(tmp_path / "out" / "a.jpg")
    assert drawn[:25, :80].sum() > 50
    assert not drawn[40:].any()


def test_pictures_that_cannot_be_drawn_are_listed_with_the_reason(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.jpg").write_text("no picture")
    rows = table(no_face("text.jpg", "unreadable"), no_face("gone.jpg", "missing"), row("../a.jpg"))
    picture(tmp_path / "a.jpg")
    found = annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    assert found["outcome"].tolist() == [FAILED] * 3
    assert found["reason"].tolist()[1:] == ["no such file", "its name leads out of the folder"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_same_copies_are_made_once_and_a_file_of_another_content_is_never_written_over(tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    rows = table(row("a.jpg"))
    outcomes = [annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")["outcome"][0] for _ in range(2)]
    assert outcomes == [WRITTEN, THERE]
    before = (tmp_path / "out" / "a.jpg").read_bytes()
    older = annotate(rows.assign(age=70.0), within(tmp_path / "in", rows), tmp_path / "out")
    assert (older["outcome"][0], older["reason"][0]) == (FAILED, "another file of that name is there already")
    assert (tmp_path / "out" / "a.jpg").read_bytes() == before


def test_names_that_come_to_the_same_place_are_drawn_once(tmp_path):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "a.png.jpg", colour=(0, 200, 0))
    rows = table(row("a.png"), row("a.png.jpg"))
    found = annotate(rows, within(tmp_path / "in", rows), tmp_path / "out")
    assert found["outcome"].tolist() == [WRITTEN, FAILED]


def test_real_face_is_boxed_and_the_rest_of_its_picture_is_as_it_was(tmp_path, utkface_dir):
    original = min(utkface_dir.iterdir())
    rows = table(row("face.jpg", left=50.0, top=50.0, right=150.0, bottom=150.0, gender=None))
    annotate(rows, [str(original)], tmp_path / "out")
    difference = np.abs(pixels(tmp_path / "out" / "face.jpg") - pixels(original)).max(axis=2)
    assert difference[:, :45].mean() < 4
    assert difference[50:150, 48:52].mean() > 40
    assert difference[152:166, 60:140].max() > 100


def test_photographs_own_folder_is_refused(tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    rows = table(row("a.jpg"))
    with pytest.raises(FolderError):
        annotate(rows, within(tmp_path / "in", rows), tmp_path / "in")


def test_progress_counts_photographs(tmp_path):
    picture(tmp_path / "in" / "a.jpg")
    counted: list[int] = []
    rows = table(row("a.jpg", 1), row("a.jpg", 2), no_face("gone.jpg"))
    annotate(rows, within(tmp_path / "in", rows), tmp_path / "out", on_progress=counted.append)
    assert counted == [1, 1]
