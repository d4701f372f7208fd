"""Pictures and their faces made small: all of them, in order, each what the store says of it."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embedder.extract import extract
from embedder.faces import album
from embedder.faces.album import CROP, THUMBNAIL, evenly, look
from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.finder import FinderSettings, load_finder
from embedder.faces.templates import AlignmentError
from embedder.store import open_store
from embedder.workers import Workers
from tests.embedder.faces.squares import NoDetector, draw_squares, square_finder

TWO = [(20, 30, 60), (150, 60, 120)]


def listed(*paths):
    return pd.DataFrame({"image_id": [path.name for path in paths], "path": [str(path) for path in paths]})


def size(jpeg):
    return Image.open(io.BytesIO(jpeg)).size


@pytest.fixture
def images(tmp_path):
    """Return two faces, none, the first again, one small, no picture and no file."""
    folder = tmp_path / "images"
    two, none = draw_squares(folder / "two.png", TWO), draw_squares(folder / "none.png", [])
    small = draw_squares(folder / "small.png", [(10, 10, 20)], size=(900, 600))
    (folder / "again.png").write_bytes(two.read_bytes())
    (folder / "text.png").write_text("no picture")
    return listed(two, none, folder / "again.png", small, folder / "text.png", folder / "gone.png")


def test_every_picture_has_a_row_in_order_with_its_status_and_size(images):
    pictures = look(images, square_finder(min_face=30)).pictures
    assert pictures["image_id"].tolist() == images["image_id"].tolist()
    assert pictures["status"].tolist() == ["ok", "no_face", "ok", "face_too_small", "unreadable", "missing"]
    assert pictures["width"].tolist() == [320, 320, 320, 900, 0, 0]
    assert [size(jpeg) for jpeg in pictures["thumbnail"][:4]] == [(320, 240)] * 3 + [(THUMBNAIL, 267)]
    assert [*pictures["thumbnail"][4:]] == [b"", b""]


def test_every_face_has_a_row_where_it_was_found_with_its_crop(images):
    faces = look(images, square_finder(faces="all", min_face=30)).faces
    assert faces[["image", "face"]].to_numpy().tolist() == [[0, 1], [0, 2], [2, 1], [2, 2], [3, 1]]
    assert faces[["left", "top", "right", "bottom"]].iloc[0].tolist() == [150, 60, 270, 180]
    assert faces["landmarks"].iloc[1].shape == (68, 2)
    assert np.allclose(faces["landmarks"].iloc[1][36], (20 + 0.3 * 60, 30 + 0.35 * 60))
    assert {size(jpeg) for jpeg in faces["crop"]} == {(CROP, CROP)}
    middle = np.asarray(Image.open(io.BytesIO(faces["crop"].iloc[0])))[CROP // 2, CROP // 2]
    assert middle[0] > 200 > 60 > middle[1]


def test_face_that_is_not_wanted_says_why(images):
    largest = look(images[:1], square_finder()).faces
    assert largest["refusal"].tolist() == ["", "not_largest"]
    small = look(images[3:4], square_finder(min_face=30)).faces
    assert small[["refusal", "why"]].iloc[0].tolist() == [
        "face_too_small",
        "the face has size 20, --min-face asks for 30",
    ]


def test_smaller_face_is_the_wanted_one_where_the_largest_is_not_fit(tmp_path):
    path = draw_squares(tmp_path / "a.png", [(0, 0, 40), (100, 100, 100)])
    faces = look(listed(path), square_finder(min_confidence=0.5)).faces
    assert faces["refusal"].tolist() == ["", "low_confidence"]


def test_measure_that_decides_the_quality_is_named(tmp_path):
    path = draw_squares(tmp_path / "a.png", [(100, 100, 120)])  # one colour: no contrast in it
    faces = look(listed(path), square_finder()).faces
    assert faces[["quality", "weakest"]].iloc[0].tolist() == [0.0, "contrast"]


def test_known_pictures_are_not_looked_at_again(images, tmp_path):
    first = look(images, square_finder(), store=tmp_path / "store")
    again = look(images, square_finder(NoDetector()), store=tmp_path / "store", alignment="arcface, margin 20%")
    pd.testing.assert_frame_equal(first.pictures, again.pictures)
    same = ["image", "face", "left", "bottom", "quality", "refusal", "why"]
    pd.testing.assert_frame_equal(first.faces[same], again.faces[same])
    assert first.faces["crop"].iloc[0] != again.faces["crop"].iloc[0]


def test_detector_that_fails_is_an_error_and_no_picture_without_a_face(images, tmp_path):
    with pytest.raises(RuntimeError, match="known"):
        look(images[:1], square_finder(NoDetector()), store=tmp_path / "store")
    assert look(images[:1], square_finder(), store=tmp_path / "store").pictures["status"].tolist() == ["ok"]


def test_picture_that_changed_meanwhile_is_not_shown_with_the_boxes_of_another(images, tmp_path, monkeypatch):
    faces_of = album._faces_of

    def change(*given):
        draw_squares(tmp_path / "images" / "two.png", [])
        return faces_of(*given)

    monkeypatch.setattr(album, "_faces_of", change)
    shown = look(images[:1], square_finder())
    assert shown.pictures[["status", "width", "thumbnail"]].iloc[0].tolist() == ["ok", 0, b""]
    assert shown.faces["crop"].tolist() == [b"", b""]


def test_crowd_is_cut_out_up_to_a_number_and_listed_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(album, "CROPPED", 10)
    path = draw_squares(
        tmp_path / "a.png", [(x, y, 18) for x in range(0, 600, 30) for y in range(0, 450, 30)], size=(640, 480)
    )
    faces = look(listed(path), square_finder(faces="all")).faces
    assert len(faces) == 300
    assert [bool(jpeg) for jpeg in faces["crop"]] == [True] * 10 + [False] * 290


def test_nothing_that_can_be_read_gives_an_album_without_faces(images):
    shown = look(images[4:], square_finder())
    assert (len(shown.pictures), len(shown.faces)) == (2, 0)
    assert set(look(images[:1], square_finder()).faces) == set(shown.faces)


@pytest.mark.parametrize("alignment", ["oval", "chip, margin -100%"])
def test_template_that_there_is_not_is_refused_before_the_work(images, alignment):
    with pytest.raises(AlignmentError, match="expected a template"):
        look(images, square_finder(NoDetector()), alignment=alignment)


def test_progress_is_told_twice_of_each_picture(images):
    told = []
    look(images, square_finder(), on_progress=told.append)
    assert sum(told) == 2 * len(images)


@pytest.mark.parametrize(("n", "most", "expected"), [(3, 5, [0, 1, 2]), (10, 4, [0, 3, 6, 9]), (5, 1, [0])])
def test_pictures_are_taken_evenly(n, most, expected):
    assert evenly(pd.DataFrame({"image_id": range(n)}), most)["image_id"].tolist() == expected


def test_worker_processes_find_what_one_process_does_without_a_backbone(utkface_dir, tmp_path):
    images = listed(*sorted(utkface_dir.rglob("*.jpg"))[:3])
    with load_finder(FinderSettings(parse_detector("hog:400"), Choice())) as finder:
        stores = [open_store(tmp_path / name, create=True) for name in ("one", "two")]
        extract(images, [], stores[0], finder=finder)
        report = extract(images, [], stores[1], finder=finder, engine=Workers([], 2, finder=finder))
        assert report.statuses == {"ok": 3}
        found = [store.read_all(finder.spec.fingerprint, report.images["sha256"]) for store in stores]
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])
