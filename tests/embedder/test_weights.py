import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.errors import BackboneError
from data.files import sha256_of_file
from embedder.spec import BACKBONES
from embedder.weights import (
    RECORD,
    WEIGHTS,
    Check,
    expected_sha256,
    find_weights,
    remember,
    require_weights,
    verify_weights,
    weights_folder,
    working_backbones,
)
from tests.cli import ROOT
from tests.embedder.weight_files import h5_bytes, set_row, sha256, stay_inside
from tests.fakes import write_mean_colour_onnx

ARCFACE = BACKBONES["ArcFace"].files
ONNX, H5 = ARCFACE


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = stay_inside(monkeypatch, tmp_path / "home")
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def content(tmp_path):
    return h5_bytes(tmp_path)


@pytest.fixture
def other(tmp_path):
    return h5_bytes(tmp_path, seed=1)


# the table


def test_every_file_of_a_backbone_has_a_row_and_no_other():
    assert {file for row in BACKBONES.values() for file in row.files} == set(WEIGHTS)


@pytest.mark.parametrize("row", WEIGHTS.values(), ids=lambda row: row.name)
def test_row_is_well_formed(row):
    assert row.urls
    assert all(url.startswith("https://") for url in row.urls)
    assert row.sha256 is None or re.fullmatch("[0-9a-f]{64}", row.sha256)
    assert row.sha256 or not row.bytes


def deepface_source() -> dict[str, str]:
    """The text of the modules of deepface that name weight files, by path."""
    spec = importlib.util.find_spec("deepface")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs deepface, whose table is compared")
    folder = Path(spec.submodule_search_locations[0]) / "models" / "facial_recognition"
    return {str(path): path.read_text("utf-8") for kind in ("onnx", "tf") for path in (folder / kind).glob("*.py")}


@pytest.mark.parametrize("row", WEIGHTS.values(), ids=lambda row: row.name)
def test_names_and_addresses_are_those_of_deepface(row):
    (text,) = [text for text in deepface_source().values() if f'"{row.name}"' in text]
    by_deepface = [url for url in row.urls if url in text]
    assert by_deepface == list(row.urls) or (row.name.startswith("face_recognition_sface") and by_deepface)


# where they are


def test_folder_is_that_of_deepface(folder):
    assert weights_folder() == folder
    ask = "from deepface.commons import folder_utils as f; f.initialize_folder(); print(f.get_deepface_home())"
    if importlib.util.find_spec("deepface"):
        folder.rmdir()
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
        assert folder.is_dir()
        assert folder == Path(done.stdout.splitlines()[-1]) / ".deepface" / "weights"


def test_folder_is_below_the_home_directory_by_default(monkeypatch):
    monkeypatch.delenv("DEEPFACE_HOME", raising=False)
    assert weights_folder() == Path.home() / ".deepface" / "weights"


def test_preferred_file_is_found_first(folder):
    (folder / H5).write_bytes(b"")
    assert find_weights(ARCFACE) == folder / H5
    (folder / ONNX).write_bytes(b"")
    assert find_weights(ARCFACE) == folder / ONNX
    (folder / ONNX).unlink()
    (folder / ONNX).mkdir()
    assert find_weights(ARCFACE) == folder / H5


# what they must be


def test_missing_weights_are_one_message_with_every_way_out(folder, content, monkeypatch):
    monkeypatch.setenv("FACEPROBE_WEIGHTS_URL", "http://intranet/weights/")
    (folder / "openface_weights.h5").write_bytes(content)
    with pytest.raises(BackboneError) as caught:
        require_weights("ArcFace", ARCFACE)
    message = str(caught.value)
    assert message.startswith(f"ArcFace needs {ONNX} or {H5} in {folder}, which holds none of them.\n")
    order = [ONNX, "not known: that of the first file will be recorded", f"http://intranet/weights/{ONNX}"]
    order += [*WEIGHTS[ONNX].urls, WEIGHTS[H5].sha256, *WEIGHTS[H5].urls, "faceprobe weights fetch ArcFace"]
    order += ["faceprobe weights import FILE", "--weights seeded:0", "OpenFace, Dlib, pixels, and any .onnx file"]
    places = [message.index(words) for words in order]
    assert places == sorted(places)


def test_no_dry_run_is_offered_of_a_network_that_cannot_be_seeded(folder):
    with pytest.raises(BackboneError) as caught:
        require_weights("SFace", ["face_recognition_sface_2021dec.onnx"])
    assert "faceprobe weights fetch SFace" in str(caught.value)
    assert "seeded" not in str(caught.value)


def test_file_of_ones_own_is_recorded_too(folder, content):
    with pytest.raises(BackboneError, match=r"ArcFace needs tuned\.h5 in .*\n  tuned\.h5  SHA-256 not known"):
        require_weights("ArcFace", ["tuned.h5"])
    (folder / "tuned.h5").write_bytes(content)
    require_weights("ArcFace", ["tuned.h5"])
    assert (folder / RECORD).read_text() == f"{sha256(content)}  tuned.h5\n"


def test_known_file_is_used_and_nothing_recorded(folder, content, monkeypatch):
    set_row(monkeypatch, H5, known=content)
    (folder / H5).write_bytes(content)
    assert require_weights("ArcFace", ARCFACE) == folder / H5
    assert os.listdir(folder) == [H5]


def test_file_that_is_not_the_known_one_is_not_used(folder, content, other, monkeypatch):
    set_row(monkeypatch, H5, known=content)
    (folder / H5).write_bytes(other)
    with pytest.raises(BackboneError) as caught:
        require_weights("ArcFace", ARCFACE)
    assert str(caught.value) == (
        f"{folder / H5} is not used: its SHA-256 is {sha256(other)}, the known one is {sha256(content)}.\n"
        f"Replace it with `faceprobe weights fetch {H5}` or `faceprobe weights import FILE`."
    )


def test_bad_preferred_file_is_not_passed_over(folder, content, monkeypatch):
    set_row(monkeypatch, H5, known=content)
    (folder / H5).write_bytes(content)
    (folder / ONNX).write_bytes(b"<html>Please log in")
    with pytest.raises(BackboneError, match=f"{ONNX} is not used: it is a web page, not weights"):
        require_weights("ArcFace", ARCFACE)


def test_unknown_file_is_recorded_at_its_first_use_and_a_change_refused(folder):
    write_mean_colour_onnx(folder / ONNX)
    for _ in range(2):
        require_weights("ArcFace", ARCFACE)
    first = sha256_of_file(folder / ONNX)
    assert (folder / RECORD).read_text() == f"{first}  {ONNX}\n"
    write_mean_colour_onnx(folder / ONNX, side=32)
    with pytest.raises(BackboneError, match=f"the recorded one is {first} .*delete its line in {folder / RECORD}"):
        require_weights("ArcFace", ARCFACE)
    (folder / RECORD).write_text("")
    assert require_weights("ArcFace", ARCFACE) == folder / ONNX


def test_unknown_file_that_is_damaged_is_neither_used_nor_recorded(folder, content):
    (folder / "openface_weights.h5").write_bytes(content[:-1000])
    with pytest.raises(BackboneError, match=r"it is damaged or of another kind: .*truncated"):
        require_weights("OpenFace", ["openface_weights.h5"])
    assert not (folder / RECORD).exists()


def test_sha256sum_checks_the_record(folder, content):
    if not shutil.which("sha256sum"):
        pytest.skip("needs sha256sum")
    (folder / "openface_weights.h5").write_bytes(content)
    require_weights("OpenFace", ["openface_weights.h5"])
    done = subprocess.run(["sha256sum", "-c", RECORD], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "openface_weights.h5: OK\n")


@pytest.mark.parametrize(
    "text",
    [
        "# ours\n\nfa  openface_weights.h5\nfb  vgg_face_weights.onnx\n",
        "fa *openface_weights.h5",
        "FA  openface_weights.h5\r\nxx\n",
        b"\xff\xfe\nfa  openface_weights.h5",
    ],
)
def test_record_that_people_edited_is_understood(folder, text):
    (folder / RECORD).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert expected_sha256("openface_weights.h5") == ("fa", "recorded")


def test_line_is_added_after_one_that_has_no_end(folder):
    (folder / RECORD).write_text("fa  openface_weights.h5")
    remember(Check("openface_weights.onnx", folder, "fb", "", None))
    assert (folder / RECORD).read_text() == "fa  openface_weights.h5\nfb  openface_weights.onnx\n"


def test_first_record_of_a_file_counts(folder):
    for digest in ("fa", "fb"):
        remember(Check("openface_weights.h5", folder, digest, "", None))
    assert (folder / RECORD).read_text() == "fa  openface_weights.h5\n"


def test_record_waits_for_that_of_another_process(folder):
    mine = threading.Thread(target=remember, args=[Check("openface_weights.h5", folder, "fb", "", None)])
    with open(folder / RECORD, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        mine.start()
        mine.join(0.1)
        assert mine.is_alive()
        file.write(b"fa  openface_weights.h5\n")
    mine.join(60)
    assert (folder / RECORD).read_text() == "fa  openface_weights.h5\n"


def test_folder_that_may_not_be_written_to_is_used_as_it_is(folder, content):
    (folder / "openface_weights.h5").write_bytes(content)
    code = "import sys; from embedder.weights import *; print(require_weights('OpenFace', ['openface_weights.h5']))"
    words = [sys.executable, "-c", code]
    if not os.geteuid():
        if not shutil.which("setpriv"):
            pytest.skip("runs as root, and without setpriv permissions do not bind root")
        words = ["setpriv", "--bounding-set", "-dac_override", *words]
    folder.chmod(0o555)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    folder.chmod(0o755)
    assert (done.returncode, done.stdout) == (0, f"{folder / 'openface_weights.h5'}\n"), done.stderr
    assert os.listdir(folder) == ["openface_weights.h5"]


def test_file_is_hashed_once_until_it_changes(folder, content, other, monkeypatch):
    path = folder / H5
    path.write_bytes(content)
    opened = []
    monkeypatch.setattr("builtins.open", lambda *words, real=open: opened.append(words[0]) or real(*words))
    assert [sha256_of_file(path) for _ in range(3)] == [sha256(content)] * 3
    assert opened == [path]
    path.write_bytes(other)
    os.utime(path, ns=(0, 0))
    assert sha256_of_file(path) == sha256(other)


def test_verify_says_of_each_file_what_it_is(folder, content, other, monkeypatch):
    set_row(monkeypatch, H5, known=content)
    set_row(monkeypatch, "facenet_weights.h5", known=content)
    for name, written in {H5: content, "facenet_weights.h5": other, "openface_weights.h5": content}.items():
        (folder / name).write_bytes(written)
    write_mean_colour_onnx(folder / ONNX)
    require_weights("ArcFace", ARCFACE)
    before = sorted(os.listdir(folder))
    found = {check.name: (check.origin, check.problem is None) for check in verify_weights()}
    assert found == {
        ONNX: ("recorded", True),
        H5: ("known", True),
        "facenet_weights.h5": ("known", False),
        "openface_weights.h5": ("", True),
    }
    assert sorted(os.listdir(folder)) == before


def test_backbones_that_work_are_those_without_files_or_with_one(folder, content):
    assert working_backbones() == ["Dlib", "pixels"]
    for page in (b"", b"<html>Log in"):
        (folder / H5).write_bytes(page)
        assert working_backbones() == ["Dlib", "pixels"]
    (folder / H5).write_bytes(content)
    assert working_backbones() == ["ArcFace", "Dlib", "pixels"]


def test_file_that_cannot_be_read_is_one_of_the_findings(folder, content, monkeypatch):
    (folder / H5).mkdir()
    assert verify_weights() == []
    (folder / H5).rmdir()
    (folder / H5).write_bytes(content)
    monkeypatch.setattr("embedder.weights.sha256_of_file", refuse)
    (found,) = verify_weights()
    assert found.problem == "it cannot be read: Permission denied"


def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))


# the network

OFFLINE = """
import importlib, pkgutil, sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise PermissionError(f"{event} {arguments}")

sys.addaudithook(refuse)
for layer in ("data", "embedder"):
    for module in pkgutil.walk_packages([layer], f"{layer}."):
        importlib.import_module(module.name)
from embedder.weights import require_weights, verify_weights
verify_weights()
try:
    require_weights("ArcFace", ("arcface_weights.onnx",))
except Exception as error:
    assert str(error).startswith("ArcFace needs"), error
import run_pipeline
sys.argv = ["faceprobe", "weights", "list"]
run_pipeline.main()
"""


def test_nothing_but_fetch_opens_a_socket(folder):
    done = subprocess.run([sys.executable, "-c", OFFLINE], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "works now: Dlib, pixels" in done.stdout
