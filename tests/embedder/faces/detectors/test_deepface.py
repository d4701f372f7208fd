"""deepface's classes: whose left is left, what they are shown, and what they hide."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from data.errors import DetectorError
from embedder.faces import detect
from embedder.faces.detect import DETECTORS, load_detector, parse_detector
from embedder.faces.detectors import deepface
from embedder.faces.detectors.deepface import DeepFace, Haar

RED = np.zeros((60, 50, 3), np.uint8) + np.array([200, 10, 20], np.uint8)


def region(**changes):
    """What deepface returns of a face: person's sides, x, y, width, height."""
    points = {
        "left_eye": (40, 20),
        "right_eye": (20, 21),
        "nose": (30, 30),
        "mouth_left": (38, 40),
        "mouth_right": (22, 41),
    }
    return SimpleNamespace(**{"x": 10, "y": 5, "w": 40, "h": 50, "confidence": 0.9, **points, **changes})


class Client:
    """A class as in deepface's table."""

    answer = (region(),)

    def detect_faces(self, img):
        self.seen = img
        return list(self.answer)


@pytest.fixture
def shown(monkeypatch):
    """Return the library over a client that answers with one region."""
    from deepface.modules import modeling

    monkeypatch.setattr(modeling, "get_model_class", lambda task, name: Client)
    return DeepFace("yunet")


def test_the_picture_is_shown_as_bgr(shown):
    shown.find(RED)
    assert shown._client.seen[0, 0].tolist() == [20, 10, 200]


def test_left_is_the_left_of_the_picture(shown):
    (found,) = shown.find(RED)
    assert found.box == (10, 5, 50, 55)
    assert found.landmarks.tolist() == [[20, 21], [40, 20], [30, 30], [22, 41], [38, 40]]


@pytest.mark.parametrize("absent", [("nose", "mouth_left", "mouth_right"), ("left_eye", "right_eye"), ("mouth_left",)])
def test_points_that_are_not_all_there_are_left_to_dlib(shown, monkeypatch, absent):
    monkeypatch.setattr(Client, "answer", [region(**dict.fromkeys(absent))])
    (found,) = shown.find(RED)
    assert found.landmarks is None
    (face,) = detect._Detector(parse_detector("yunet"), shown).detect(RED)
    assert face.landmarks.shape == (68, 2)


def test_a_face_without_area_is_none(shown, monkeypatch):
    monkeypatch.setattr(Client, "answer", [region(w=0)])
    assert detect._Detector(parse_detector("yunet"), shown).detect(RED) == []


class Cascade:
    def __init__(self, *, empty: bool = False) -> None:
        self._empty = empty

    def empty(self) -> bool:
        return self._empty

    def detectMultiScale3(self, img, *settings, **named):
        if img.mean() > 50:
            raise cv2.error("out of memory")
        return [np.array([5, 6, 30, 40])], [20], np.array([7.5])


def with_cascade(monkeypatch, cascade):
    client = SimpleNamespace(OpenCvClient=lambda: SimpleNamespace(model={"face_detector": cascade}))
    monkeypatch.setitem(sys.modules, "deepface.models.face_detection.OpenCv", client)


def test_opencv_gives_the_score_of_its_cascade(monkeypatch):
    with_cascade(monkeypatch, Cascade())
    (found,) = Haar().find(np.zeros((60, 60, 3), np.uint8))
    assert (found.box, found.confidence, found.landmarks) == ((5, 6, 35, 46), 7.5, None)


def test_what_deepface_hides_of_opencv_is_an_error(monkeypatch):
    with_cascade(monkeypatch, Cascade())
    with pytest.raises(DetectorError, match=r"opencv failed on a picture of .*out of memory"):
        detect._Detector(parse_detector("opencv"), Haar()).detect(np.full((60, 60, 3), 200, np.uint8))


def test_a_cascade_that_cannot_be_read_is_refused(monkeypatch):
    with_cascade(monkeypatch, Cascade(empty=True))
    with pytest.raises(DetectorError, match="put the file there again"):
        Haar()


def test_the_rows_are_those_of_deepface_and_their_files_its_own():
    from deepface.models.face_detection import CenterFace, OpenCv, Ssd, YuNet
    from deepface.models.face_detection.Yolo import YoloModel
    from deepface.modules.modeling import AVAILABLE_MODELS

    named = set(AVAILABLE_MODELS["face_detector"]) - {"dlib", "mtcnn"}  # which are here without deepface
    assert named == {row.name for row in deepface.ROWS}
    files = {file.name: file.urls[0] for row in deepface.ROWS for file in row.files if file.urls}
    assert {model.value[0]: model.value[1] for model in YoloModel}.items() <= files.items()
    urls = {CenterFace.WEIGHTS_URL, YuNet.WEIGHTS_URL, Ssd.MODEL_URL, Ssd.WEIGHTS_URL}
    urls |= {OpenCv.HAARCASCADE_URL.format(file_name=name) for name in OpenCv.HAARCASCADE_FILES.values()}
    assert urls <= set(files.values())


def test_an_older_opencv_or_another_engine_is_told(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier")
    assert "CascadeClassifier" in deepface.unusable(DETECTORS["opencv"])
    monkeypatch.setenv("DEEPFACE_BACKEND_ENGINE", "onnx")
    assert "unset" in deepface.unusable(DETECTORS["retinaface"])


def test_mediapipe_is_usable_where_it_has_what_deepface_calls(monkeypatch, tmp_path):
    assert "0.10.30" in deepface.unusable(DETECTORS["mediapipe"])
    solutions = tmp_path / "mediapipe" / "python" / "solutions"
    solutions.mkdir(parents=True)
    (tmp_path / "mediapipe" / "__init__.py").touch()
    (solutions / "face_detection.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert deepface.unusable(DETECTORS["mediapipe"]) is None


def test_nothing_is_downloaded_for_a_file_that_is_not_there(monkeypatch, tmp_path):
    import gdown
    import requests

    def refuse(*arguments, **named):
        pytest.fail("the network was asked")

    monkeypatch.setattr(requests, "head", refuse)
    monkeypatch.setattr(gdown, "download", refuse)
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(DetectorError, match="does not download") as caught:
        load_detector("centerface")
    assert str(tmp_path) in str(caught.value)
    assert "https://github.com/Star-Clouds/CenterFace" in str(caught.value)
