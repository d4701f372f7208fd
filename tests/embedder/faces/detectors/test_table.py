"""What each detector lacks here, told without loading any of them."""

import dataclasses
import importlib.util
import json

import pytest

from data.errors import DetectorError
from embedder.faces.detectors import table
from embedder.faces.detectors.row import DetectorRow
from embedder.faces.detectors.table import DETECTORS, list_detectors, require_detector
from embedder.weights import WeightFile
from tests.process import run_python

STATES = {"works", "needs a file", "needs a package", "does not work"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return deepface's folder, which is empty."""
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    path = tmp_path / ".deepface" / "weights"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def known(monkeypatch):
    """Return a function that puts a row into the table."""

    def put(**changes) -> DetectorRow:
        row = dataclasses.replace(
            DetectorRow("mine", "deepface", 640, "ours", "for tests"),
            files=(WeightFile("mine.bin", ("https://example.org/mine.bin",)),),
            **changes,
        )
        monkeypatch.setitem(DETECTORS, "mine", row)
        return row

    return put


def test_every_detector_has_a_state_and_a_reason():
    states = list_detectors()
    assert [found.name for found in states] == list(DETECTORS)
    assert {found.state for found in states} <= STATES
    assert all(found.why and "\n" not in found.why for found in states)


def test_the_list_loads_no_library():
    code = """
import json, sys
from embedder.faces.detect import list_detectors
list_detectors()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    loaded = set(json.loads(run_python(code).stdout))
    assert not loaded & {"tensorflow", "deepface", "dlib", "mtcnn", "retinaface", "onnxruntime", "torch", "keras"}


def test_a_package_that_is_not_installed_is_named(known):
    known(packages={"no_such_module": "no-such<2", "json": "json"})
    (found,) = [found for found in list_detectors() if found.name == "mine"]
    assert (found.state, found.why) == ("needs a package", "pip install 'no-such<2' (for tests)")


def test_a_file_that_is_not_there_is_named_with_its_address(known, folder):
    known()
    with pytest.raises(DetectorError, match=r"mine needs a file: mine\.bin") as caught:
        require_detector("mine")
    assert "https://example.org/mine.bin" in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "Works right now:  " in str(caught.value)


def test_a_web_page_in_place_of_a_file_is_no_file(known, folder):
    known()
    (folder / "mine.bin").write_text("<html>not found</html>")
    with pytest.raises(DetectorError, match="it is a web page"):
        require_detector("mine")


def test_a_file_whose_hash_is_not_the_known_one_is_refused(known, folder):
    row = known()
    (folder / "mine.bin").write_bytes(b"trained")
    assert require_detector("mine") == row
    wrong = WeightFile("mine.bin", ("https://example.org/mine.bin",), "0" * 64)
    table.DETECTORS["mine"] = dataclasses.replace(row, files=(wrong,))
    with pytest.raises(DetectorError, match=r"its SHA-256 is [0-9a-f]{64}, the known one is 0{64}"):
        require_detector("mine")


def test_a_package_without_its_model_file_is_told(monkeypatch, folder, tmp_path):
    (tmp_path / "face_recognition_models").mkdir()
    (tmp_path / "face_recognition_models" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DetectorError, match="face_recognition_models is installed without shape_predictor_68"):
        require_detector("hog")


def test_what_needs_only_dlib_works_after_a_plain_install():
    states = {found.name: found.state for found in list_detectors()}
    if importlib.util.find_spec("dlib") is None:
        pytest.skip("needs dlib")
    assert (states["hog"], states["cnn"]) == ("works", "works")
