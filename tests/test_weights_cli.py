"""`faceprobe weights` as a user meets it."""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import click
import pytest

import run_pipeline
from embedder.store import open_store
from embedder.weights import RECORD
from tests.cli import ROOT, Outcome, faceprobe, finish, start
from tests.embedder.graphs import write_dense_onnx
from tests.embedder.weight_files import h5_bytes, set_row, sha256, stay_inside
from tests.http_server import claims, says, serving, stalls_after

NAME = "arcface_weights.h5"
COMMANDS = run_pipeline.weights.commands


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return stay_inside(monkeypatch, tmp_path / "home")


@pytest.fixture
def content(tmp_path):
    return h5_bytes(tmp_path)


@pytest.fixture
def site(content):
    with serving(content) as site:
        yield site


def assert_refused(done: Outcome, *words: str) -> None:
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("faceprobe: ")
    assert "Traceback" not in done.err
    assert [word for word in words if word not in done.err] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_it_understands(name):
    shown = faceprobe("weights", name, "--help")
    examples = [line.strip() for line in shown.out.splitlines() if line.startswith("    faceprobe ")]
    assert examples
    for example in examples:
        program, group, command, *arguments = shlex.split(example)
        assert (program, group, command) == ("faceprobe", "weights", name)
        COMMANDS[name].make_context(name, arguments)


def test_every_option_is_explained():
    options = [p for command in COMMANDS.values() for p in command.params if isinstance(p, click.Option)]
    assert not [option.name for option in options if not option.help]


def test_list_says_what_is_there_and_what_works(folder, content):
    folder.mkdir(parents=True)
    (folder / "openface_weights.h5").write_bytes(content)
    done = faceprobe("weights", "list")
    assert (done.code, done.err) == (0, "")
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in done.out.splitlines()}
    assert rows["OpenFace", "openface_weights.h5"] == ["0.4", "none", "known", "Apache-2.0"]
    assert rows["ArcFace", NAME][:2] == ["-", "known"]
    assert done.out.endswith(f"folder: {folder}\nworks now: OpenFace, Dlib, pixels\n")


def test_fetch_says_what_came_and_what_vouches_for_it(folder, site, content, monkeypatch):
    set_row(monkeypatch, NAME, site.url(NAME), known=content)
    set_row(monkeypatch, "facenet_weights.h5", site.url())
    done = faceprobe("weights", "fetch", NAME, "facenet_weights.h5")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"{folder / NAME}: 0.4 MB, SHA-256 {sha256(content)}, known",
        f"{folder / 'facenet_weights.h5'}: 0.4 MB, SHA-256 {sha256(content)}, recorded",
    ]


def test_fetch_that_fails_is_one_message(folder, site, content, monkeypatch):
    set_row(monkeypatch, NAME, site.url(NAME), site.url(f"mirror/{NAME}"), known=content)
    site.answers = [says(404), claims(5)]
    done = faceprobe("weights", "fetch", NAME)
    assert_refused(done, f"{NAME} could not be fetched:", "404 Not Found", "offers 5 bytes", "weights import FILE")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fetch", "Dlib"), "Dlib needs no weight file"),
        (("fetch", "ArcFase"), "unknown 'ArcFase'; known are ArcFace"),
        (("import", "absent.h5"), "no file absent.h5"),
        (("import", "a.h5", "b.h5", "--as", NAME), "--as is for one file at a time"),
    ],
)
def test_what_cannot_be_is_refused(folder, words, said):
    assert_refused(faceprobe("weights", *words), said)
    assert not folder.exists()


def test_import_says_where_the_file_went(folder, tmp_path, content, monkeypatch):
    set_row(monkeypatch, NAME, known=content)
    (tmp_path / "download").write_bytes(content)
    done = faceprobe("weights", "import", tmp_path / "download")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{folder / NAME}: 0.4 MB, SHA-256 {sha256(content)}, known\n"
    done = faceprobe("weights", "import", tmp_path / "download", "--as", "openface_weights.h5")
    assert_refused(done, f"is {NAME} by its SHA-256, not openface_weights.h5")


def test_verify_exits_with_one_when_a_file_has_changed(folder, content, monkeypatch):
    set_row(monkeypatch, NAME, known=content)
    folder.mkdir(parents=True)
    for name in (NAME, "openface_weights.h5", "vgg_face_weights.h5"):
        (folder / name).write_bytes(content)
    set_row(monkeypatch, "vgg_face_weights.h5")
    (folder / RECORD).write_text(f"{sha256(content)}  vgg_face_weights.h5\n")
    done = faceprobe("weights", "verify")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"{NAME}: ok, known",
        "vgg_face_weights.h5: ok, as recorded at its first use",
        "openface_weights.h5: not known yet, opens",
        f"3 files in {folder}",
    ]
    (folder / NAME).write_bytes(content + b"!")
    done = faceprobe("weights", "verify")
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith(f"{NAME}: its SHA-256 is {sha256(content + b'!')}, the known one is {sha256(content)}\n")


def test_cut_network_is_a_backbone_of_its_own(tmp_path, draw_image):
    network = write_dense_onnx(tmp_path / "net.onnx")
    done = faceprobe("weights", "cut", network, "-o", tmp_path / "cut.onnx")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path / 'cut.onnx'}: net 144-d, what flat gives; its settings are in cut.json\n"
    (tmp_path / "photos").mkdir()
    draw_image(tmp_path / "photos" / "a.png", seed=1)
    words = ["--backbone", tmp_path / "cut.onnx", "--backbone", network, "--store", tmp_path / "store"]
    assert faceprobe("extract", tmp_path / "photos", *words).code == 0
    assert {spec.name: spec.dim for spec in open_store(tmp_path / "store").specs().values()} == {
        "net 144-d": (144,),
        "net": (5,),
    }


def test_cut_that_cannot_be_is_one_message(tmp_path):
    network = write_dense_onnx(tmp_path / "net.onnx")
    assert_refused(faceprobe("weights", "cut", network, "--layer", "x", "-o", tmp_path / "a.onnx"), "no tensor 'x'")
    assert_refused(faceprobe("weights", "cut", network, "-o", network), "is there already")
    assert_refused(faceprobe("weights", "cut", network, "-o", tmp_path / "a.h5"), ".onnx")
    assert_refused(faceprobe("weights", "cut", "Dlib", "-o", tmp_path / "a.onnx"), "Dlib on dlib")


def test_verify_of_nothing_is_fine(folder):
    assert faceprobe("weights", "verify") == Outcome(0, f"0 files in {folder}\n", "")


# what only a process of its own can show

FETCH = """
import sys, run_pipeline
from embedder.weights import WEIGHTS, WeightFile
WEIGHTS[{name!r}] = WeightFile({name!r}, ({url!r},), {sha256!r}, {bytes})
sys.argv = ["faceprobe", "weights", "fetch", {name!r}]
run_pipeline.main()
"""


def start_fetch(url: str, content: bytes):
    code = FETCH.format(name=NAME, url=url, sha256=sha256(content), bytes=len(content))
    return start([sys.executable, "-c", code], cwd=ROOT)


def wait_until(done, what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != ".faceprobe.lock")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_stopped_fetch_is_continued_by_the_same_command(folder, site, content, number):
    site.answers = [stalls_after(300_000)]
    part = folder / f"{NAME}.part"
    process = start_fetch(site.url(), content)
    wait_until(lambda: part.exists() and part.stat().st_size > 100_000, "nothing came")
    process.send_signal(number)
    stopped = finish(process)
    if number != signal.SIGKILL:
        assert (stopped.code, stopped.err.strip()) == (130, "faceprobe: interrupted")
    assert files(folder) == [part.name, f"{part.name}.json"]
    left = part.stat().st_size
    done = finish(start_fetch(site.url(), content))
    assert (done.code, done.err) == (0, "")
    assert site.ranges() == [None, f"bytes={left}-"]
    assert (folder / NAME).read_bytes() == content
    assert files(folder) == [NAME]


def test_processes_that_fetch_at_once_all_end_well(folder, site, content):
    processes = [start_fetch(site.url(), content) for _ in range(3)]
    assert [finish(process).code for process in processes] == [0, 0, 0]
    assert (folder / NAME).read_bytes() == content
    assert len(site.asked) == 1
