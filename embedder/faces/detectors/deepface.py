"""deepface's other detectors, through its own classes, on model files that are there: nothing is downloaded.

Its classes see BGR, and call an eye left that is the person's left, on the right of the picture. Where one gives all
five points they are taken; where it gives eyes or nothing, the landmarks are dlib's 68 on its box (`landmarks_68`).
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.errors import DetectorError
from embedder.faces.detectors.dlib import LANDMARKS, PACKAGES, WITHIN
from embedder.faces.detectors.row import DetectorRow, Found
from embedder.faces.face import Landmarks
from embedder.preprocess import Picture
from embedder.weights import WeightFile

_HAAR = "https://github.com/opencv/opencv/raw/4.9.0/data/haarcascades/"
_YUNET = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
_SSD = "https://github.com/opencv/opencv_3rdparty/raw/dnn_samples_face_detector_20170830/"
_RELEASE = "https://github.com/serengil/deepface_models/releases/download/v1.0/"
_YAPALAB = "https://github.com/YapaLab/yolo-face/releases/download/1.0.0/"
_AKANAMETOV = "https://github.com/akanametov/yolo-face/releases/download/1.0.0/"
_YOLO = {  # in the order of deepface's table; no hash of any is known
    "yolov8n": "https://drive.google.com/uc?id=1qcr9DbgsX3ryrz2uU8w4Xm3cOrRywXqb",
    **{name: f"{_YAPALAB}{name}-face.pt" for name in ("yolov8m", "yolov8l")},
    **{name: f"{_AKANAMETOV}{name}-face.pt" for name in ("yolov11n", "yolov11s", "yolov11m")},
    **{name: f"{_YAPALAB}{name}-face.pt" for name in ("yolov11l", "yolov12n", "yolov12s", "yolov12m", "yolov12l")},
}


def _row(name: str, *files: WeightFile, side: int, packages: dict[str, str], licence: str, about: str) -> DetectorRow:
    """A row whose landmarks are dlib's, so that it needs those as well."""
    return DetectorRow(
        name=name,
        module="deepface",
        side=side,
        packages={"deepface": "deepface", **packages, **PACKAGES},
        files=(*files, LANDMARKS),
        within=("cv2/data", *WITHIN),
        licence=f"{licence}; its 68 landmarks are not for commercial products (learnt on iBUG 300-W)",
        about=about,
    )


_CV2 = {"cv2": "opencv-contrib-python-headless"}

# Files and URLs: deepface 0.0.103. A hash stands here where projects that do not copy each other agree on it.
ROWS = (
    DetectorRow(
        name="retinaface",
        module="deepface",
        side=1280,
        landmarks=5,
        packages={"deepface": "deepface", "retinaface": "retina-face", "tensorflow": "tensorflow"},
        files=(
            WeightFile(
                "retinaface.h5",
                (f"{_RELEASE}retinaface.h5", "https://huggingface.co/serengil/deepface/resolve/main/retinaface.h5"),
                "ecb2393a89da3dd3d6796ad86660e298f62a0c8ae7578d92eb6af14e0bb93adf",
                118_667_368,
            ),
        ),
        licence="MIT; its weights, of InsightFace, for research only",
        about="ResNet-50 with five points of its own; scales to 1024 to 1980 pixels itself",
    ),
    _row(
        "yunet",
        WeightFile(
            "face_detection_yunet_2023mar.onnx",
            (f"{_YUNET}face_detection_yunet_2023mar.onnx",),
            "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            232_589,
        ),
        side=640,
        packages=_CV2,
        licence="MIT",
        about="OpenCV's small network; fast; shrinks to 640 pixels itself",
    ),
    _row(
        "centerface",
        WeightFile(
            "centerface.onnx", ("https://github.com/Star-Clouds/CenterFace/raw/master/models/onnx/centerface.onnx",)
        ),
        side=960,
        packages=_CV2,
        licence="MIT",
        about="a small network; read again for every picture",
    ),
    _row(
        "opencv",
        WeightFile(
            "haarcascade_frontalface_default.xml",
            (f"{_HAAR}haarcascade_frontalface_default.xml",),
            "0f7d4527844eb514d4a4948e822da90fbb16a34a0bbbbc6adc6498747a5aafb0",
            930_127,
        ),
        WeightFile("haarcascade_eye.xml", (f"{_HAAR}haarcascade_eye.xml",)),
        side=960,
        packages=_CV2,
        licence="Apache 2.0; its cascade Intel's, as BSD",
        about="Haar features (Viola and Jones 2001): finds much that is no face",
    ),
    _row(
        "ssd",
        WeightFile(
            "deploy.prototxt",
            ("https://github.com/opencv/opencv/raw/3.4.0/samples/dnn/face_detector/deploy.prototxt",),
        ),
        WeightFile(
            "res10_300x300_ssd_iter_140000.caffemodel",
            (f"{_SSD}res10_300x300_ssd_iter_140000.caffemodel",),
            "2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
        ),
        side=640,
        packages=_CV2,
        licence="Apache 2.0",
        about="OpenCV's older network; squeezes to 300 x 300 itself: large faces only",
    ),
    _row(
        "mediapipe",
        side=960,
        packages={"mediapipe": "mediapipe<0.10.30"},
        licence="Apache 2.0",
        about="Google's BlazeFace: for faces within two metres of a telephone",
    ),
    _row(
        "fastmtcnn",
        side=640,
        packages={"facenet_pytorch": "facenet-pytorch", "torch": "torch"},
        licence="MIT",
        about="the networks of mtcnn on PyTorch; facenet-pytorch 2.6 asks for NumPy 1",
    ),
    *(
        _row(
            name,
            WeightFile(f"{name}-face.pt", (url,)),
            side=640,
            packages={"ultralytics": "ultralytics"},
            licence="AGPL 3.0",
            about="scales to 640 pixels itself; a .pt file runs code when it is read: use one that you trust",
        )
        for name, url in _YOLO.items()
    ),
)


class DeepFace:
    """A detector of deepface's table."""

    def __init__(self, name: str) -> None:
        if name == "retinaface":
            import embedder.tensorflow  # noqa: F401  first, so that it decides how TensorFlow is loaded
        os.environ.setdefault("YOLO_OFFLINE", "true")  # ultralytics asks the network for itself and sends what it did
        from deepface.modules.modeling import get_model_class

        self._client = get_model_class("face_detector", name)()

    def find(self, picture: Picture) -> list[Found]:
        """See `Library`."""
        return [_found(region) for region in self._client.detect_faces(np.ascontiguousarray(picture[..., ::-1]))]


class Haar:
    """The cascade that deepface's class `OpenCvClient` holds; its own method takes every exception for no face."""

    def __init__(self) -> None:
        from deepface.models.face_detection.OpenCv import OpenCvClient

        self._cascade = OpenCvClient().model["face_detector"]
        if self._cascade.empty():
            raise DetectorError("opencv cannot read haarcascade_frontalface_default.xml: put the file there again")

    def find(self, picture: Picture) -> list[Found]:
        """See `Library`. With deepface's settings; the confidence is the cascade's score."""
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        boxes, _, scores = self._cascade.detectMultiScale3(gray, 1.1, 10, outputRejectLevels=True)
        return [
            Found((int(x), int(y), int(x + width), int(y + height)), float(score))
            for (x, y, width, height), score in zip(boxes, scores, strict=True)
        ]


def load(row: DetectorRow) -> DeepFace | Haar:
    """Load a row of this module, whose packages and files are there."""
    return Haar() if row.name == "opencv" else DeepFace(row.name)


def unusable(row: DetectorRow) -> str | None:
    """Why a detector cannot work with the installed versions, None if nothing is known against it."""
    if row.name == "opencv" and not hasattr(cv2, "CascadeClassifier"):
        return f"OpenCV {cv2.__version__} has no CascadeClassifier: pip install opencv-contrib-python-headless"
    if row.name == "ssd" and not hasattr(cv2.dnn, "readNetFromCaffe"):
        return f"OpenCV {cv2.__version__} does not read Caffe models: pip install 'opencv-contrib-python-headless<5'"
    if row.name == "mediapipe" and not _has_solutions():
        return "deepface calls mediapipe.solutions, which went with 0.10.30; what has it needs NumPy 1"
    engine = os.environ.get("DEEPFACE_BACKEND_ENGINE") or "tensorflow"
    if row.name == "retinaface" and engine.strip().lower() != "tensorflow":
        return f"$DEEPFACE_BACKEND_ENGINE is {engine}, its file here is TensorFlow's: unset the variable"
    return None


def _has_solutions() -> bool:
    found = importlib.util.find_spec("mediapipe")
    folders = (found and found.submodule_search_locations) or []
    return any((Path(folder) / "python" / "solutions" / "face_detection.py").is_file() for folder in folders)


def _found(region: Any) -> Found:
    box = (region.x, region.y, region.x + region.w, region.y + region.h)
    left, top, right, bottom = (float(edge) for edge in box)
    return Found((left, top, right, bottom), float(region.confidence or 0.0), _five(region))


def _five(region: Any) -> Landmarks | None:
    """The five points by their side in the picture; None unless all are there."""
    points = (region.right_eye, region.left_eye, region.nose, region.mouth_right, region.mouth_left)
    return None if any(point is None for point in points) else np.array(points, np.float32)
