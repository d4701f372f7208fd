"""`faceprobe faces` as a user meets it."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import run_pipeline
from embedder.faces.detect import DETECTORS, load_detector
from embedder.faces.detectors import table
from embedder.preprocess import decode
from tests.cli import faceprobe
from tests.embedder.faces.squares import NoDetector, SquareDetector, draw_squares

TWO = [(20, 30, 60), (150, 60, 120)]


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let red squares be the faces that hog finds, in this process."""
    monkeypatch.setattr("embedder.faces.finder.load_detector", lambda setting: SquareDetector())
    monkeypatch.setattr("embedder.backbone.usable_cores", lambda: 1)


@pytest.fixture
def photos(tmp_path: Path, squares: None) -> Path:
    """Return a folder with a picture of two faces, one of none and a file that is no picture."""
    folder = tmp_path / "photos"
    draw_squares(folder / "a.png", TWO)
    draw_squares(folder / "b <b>.png", [])
    (folder / "c.png").write_text("no picture")
    return folder


def names(page: Path) -> list[str]:
    return re.findall(r'<p class="id">(.*?)</p>', page.read_text("utf-8"))


# ---- detectors


def test_every_detector_is_listed_with_its_state_side_and_licence():
    shown = faceprobe("faces", "detectors")
    assert (shown.code, shown.err) == (0, "")
    for row in DETECTORS.values():
        assert re.search(
            rf"^{row.name} +(works|needs a file|needs a package|does not work) +{row.side}  \S", shown.out, re.M
        )
    assert shown.out.count("licence: ") == len(DETECTORS)


def test_what_a_detector_lacks_is_said(monkeypatch):
    monkeypatch.setattr(table.importlib.util, "find_spec", lambda module: None)
    shown = faceprobe("faces", "detectors").out
    assert re.search(r"^hog +needs a package +2000  pip install dlib-bin face_recognition_models", shown, re.M)
    assert "hog" not in shown.partition("works now:")[2].partition(";")[0]


# ---- show


@pytest.mark.parametrize("words", [["faces"], ["faces", "detectors"], ["faces", "show"]])
def test_examples_are_understood(words):
    examples = re.findall(r"^    faceprobe faces (.*)$", faceprobe(*words, "--help").out, re.M)
    assert examples
    for example in examples:
        name, *arguments = shlex.split(example)
        run_pipeline.faces.commands[name].make_context(name, arguments)


def test_page_of_a_folder_holds_every_picture_and_is_private(photos, tmp_path):
    page = tmp_path / "faces.html"
    done = faceprobe("faces", "show", photos, "--faces", "all", "-o", page)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:2] == ["3 pictures: ok 1, no_face 1, unreadable 1", "2 faces, 2 wanted"]
    assert names(page) == ["a.png", "b &lt;b&gt;.png", "c.png"]
    assert page.stat().st_mode & 0o777 == 0o600
    assert "faces show" in page.read_text("utf-8")


def test_page_of_one_picture(photos, tmp_path):
    done = faceprobe("faces", "show", photos / "a.png", "--min-face", 100, "-o", tmp_path / "a.html")
    assert done.out.splitlines()[:2] == ["1 picture: ok 1", "2 faces, 1 wanted"]
    text = (tmp_path / "a.html").read_text("utf-8")
    assert "not wanted: the face has size 60, --min-face asks for 100" in text


def test_named_picture_that_is_gone_is_on_the_page_as_missing(photos, tmp_path):
    done = faceprobe("faces", "show", photos / "gone.png", "-o", tmp_path / "a.html")
    assert (done.code, done.out.splitlines()[0]) == (0, "1 picture: missing 1")


def test_page_of_a_manifest(photos, tmp_path):
    faceprobe("index", photos, "-o", tmp_path / "m.csv")
    done = faceprobe("faces", "show", tmp_path / "m.csv", "-o", tmp_path / "m.html")
    assert done.out.splitlines()[0] == "2 pictures: ok 1, no_face 1"  # `index` has rejected the third


def test_more_pictures_than_the_limit_are_told(photos, tmp_path):
    done = faceprobe("faces", "show", photos, "--limit", 2, "-o", tmp_path / "a.html")
    assert done.out.splitlines()[0] == "2 pictures of 3: ok 1, unreadable 1"
    assert names(tmp_path / "a.html") == ["a.png", "c.png"]
    assert "2 of 3 pictures" in (tmp_path / "a.html").read_text("utf-8")


def test_second_run_with_a_store_detects_nothing_again(photos, tmp_path, monkeypatch):
    show = ["faces", "show", photos, "--store", tmp_path / "store", "-o"]
    faceprobe(*show, tmp_path / "a.html")
    monkeypatch.setattr("embedder.faces.finder.load_detector", lambda setting: NoDetector())
    done = faceprobe(*show, tmp_path / "b.html", "--crop", "arcface", "--margin", 10)
    assert done.code == 0
    assert names(tmp_path / "a.html") == names(tmp_path / "b.html")
    assert "arcface, margin 10%" in (tmp_path / "b.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--detector", "nose"], "unknown detector 'nose'"),
        (["--detector", "hog:7"], "found 'hog:7'"),
        (["--crop", "oval"], "expected a template"),
        (["--crop", "80"], "expected a template"),
        (["--margin", "-100"], "margin above -100 percent"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_options_that_make_no_sense_are_one_line(photos, tmp_path, options, words):
    done = faceprobe("faces", "show", photos, *options, "-o", tmp_path / "a.html")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) <= 4
    assert "Traceback" not in done.err
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("source", ["gone", "empty", "gone.csv"])
def test_nothing_to_show_is_said(squares, tmp_path, source):
    os.mkdir(tmp_path / "empty")
    done = faceprobe("faces", "show", tmp_path / source, "-o", tmp_path / "a.html")
    assert (done.code, done.out) == (2, "")
    assert re.match("faceprobe: (.*: )?expected ", done.err)
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("output", "words"), [("a.txt", ".html"), ("no/a.html", "there is no folder")])
def test_page_that_could_not_be_written_is_refused_before_the_work(photos, tmp_path, monkeypatch, output, words):
    monkeypatch.setattr("embedder.faces.finder.load_detector", lambda setting: NoDetector())
    done = faceprobe("faces", "show", photos, "-o", tmp_path / output)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_real_faces_are_found_drawn_and_cut_out(utkface_dir, tmp_path):
    chip = sorted(utkface_dir.rglob("*.jpg"))[0]
    done = faceprobe("faces", "show", chip, "--detector", "hog:400", "-o", tmp_path / "a.html")
    assert done.out.splitlines()[:2] == ["1 picture: ok 1", "1 face, 1 wanted"]
    text = (tmp_path / "a.html").read_text("utf-8")
    points = re.findall(r'class="point[^"]*" d="([^"]*)"', text)[0]
    places = [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+?)h0", points)]
    (face,) = load_detector("hog:400").detect(decode(chip.read_bytes()))
    assert np.abs(np.array(places) - face.landmarks).max() < 0.06
