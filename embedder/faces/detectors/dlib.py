"""dlib's two detectors of upright faces, and its 68 landmarks.

Its weights come with the PyPI package face_recognition_models, whose import needs a module that newer setuptools
lack; the files are found without importing it.
"""

import functools
from typing import Any

import cv2
import numpy as np

from embedder.faces.detectors.row import DetectorRow, Found, find_file
from embedder.faces.face import Landmarks
from embedder.preprocess import Picture
from embedder.weights import WeightFile

PACKAGES = {"dlib": "dlib-bin", "face_recognition_models": "face_recognition_models"}
WITHIN = ("face_recognition_models/models",)
LANDMARKS = WeightFile("shape_predictor_68_face_landmarks.dat", ())
_CNN = WeightFile("mmod_human_face_detector.dat", ())
_LICENCE = "Boost 1.0; its 68 landmarks are not for commercial products (learnt on iBUG 300-W)"

# dlib's own is 0. Of the 594 faces above its least size in 120 composed scenes (`python -m benchmarks.faces`) HOG found
# 528, 545, 567, 577 and 585 at 0.1, 0, -0.1, -0.2 and -0.4, and 1, 1, 2, 4 and 21 that were none. The lower, the more
# it sees upright faces in faces that stand on their heads: in 2% of them at 0, 3% at -0.1, 5% at -0.2, 19% at -0.4.
HOG_THRESHOLD = -0.1
CNN_THRESHOLD = 0.0

ROWS = (
    DetectorRow(
        name="hog",
        module="dlib",
        side=2000,
        least=60,
        threshold=HOG_THRESHOLD,
        packages=PACKAGES,
        files=(LANDMARKS,),
        within=WITHIN,
        licence=_LICENCE,
        about="dlib's histograms of gradients: fast, frontal faces",
    ),
    DetectorRow(
        name="cnn",
        module="dlib",
        side=640,
        least=70,
        threshold=CNN_THRESHOLD,
        packages=PACKAGES,
        files=(LANDMARKS, _CNN),
        within=WITHIN,
        licence=_LICENCE,
        about="dlib's network: 30 times slower at the same side, also half profiles",
    ),
)

# The predictor compares single pixels, which are noise in a large face. With noise of 15 of 255 in faces 1000 pixels
# wide the five points were off by 1.2% of the distance of the eyes, and by 0.8% where those faces were reduced first.
_PREDICTED_SIDE = 200
_AROUND = 0.5  # of the box on each side: what the predictor may look at


class Hog:
    """Felzenszwalb's HOG in five directions of the face (King 2009)."""

    def __init__(self) -> None:
        import dlib

        self._detector = dlib.get_frontal_face_detector()

    def find(self, picture: Picture) -> list[Found]:
        """See `Library`."""
        rectangles, scores, _ = self._detector.run(picture, 0, HOG_THRESHOLD)
        return [Found(_edges(rectangle), score) for rectangle, score in zip(rectangles, scores, strict=True)]


class Cnn:
    """A network of seven layers on a pyramid, learnt with a max-margin loss (King 2015)."""

    def __init__(self, file: str) -> None:
        import dlib

        self._detector = dlib.cnn_face_detection_model_v1(file)

    def find(self, picture: Picture) -> list[Found]:
        """See `Library`."""
        found = ((_edges(face.rect), face.confidence) for face in self._detector(picture, 0))
        return [Found(box, confidence) for box, confidence in found if confidence > CNN_THRESHOLD]


def load(row: DetectorRow) -> Hog | Cnn:
    """Load a row of this module, whose packages and files are there."""
    return Hog() if row.name == "hog" else Cnn(str(find_file(row, _CNN.name)))


def unusable(row: DetectorRow) -> None:
    """Nothing but packages and files is in the way of these."""


def landmarks_68(picture: Picture, box: tuple[float, float, float, float]) -> Landmarks:
    """The 68 landmarks of an upright face, (68, 2) float32 (Kazemi and Sullivan 2014).

    Parameters
    ----------
    picture : at its full size.
    box : as any detector draws it; the predictor was taught on HOG's squares and sees the square about its middle.
    """
    import dlib

    left, top, right, bottom = box
    side = (right - left + bottom - top) / 2
    middle = np.array([left + right, top + bottom]) / 2
    height, width = picture.shape[:2]
    start = np.clip(np.floor(middle - side * (0.5 + _AROUND)), 0, (width - 1, height - 1)).astype(int)
    stop = np.clip(np.ceil(middle + side * (0.5 + _AROUND)), start + 1, (width, height)).astype(int)
    seen = np.ascontiguousarray(picture[start[1] : stop[1], start[0] : stop[0]])
    if side > _PREDICTED_SIDE:
        factor = _PREDICTED_SIDE / side
        size = [max(1, round(float(length) * factor)) for length in stop - start]
        seen = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    scale = np.array(seen.shape[1::-1]) / (stop - start)
    low, high = (middle - side / 2 - start) * scale, (middle + side / 2 - start) * scale
    square = dlib.rectangle(*(round(float(edge)) for edge in (*low, *(high - 1))))
    points = np.array([(point.x, point.y) for point in _predictor()(seen, square).parts()])
    return ((points + 0.5) / scale - 0.5 + start).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _predictor() -> Any:
    import dlib

    return dlib.shape_predictor(str(find_file(ROWS[0], LANDMARKS.name)))


def _edges(rectangle: Any) -> tuple[float, float, float, float]:
    """dlib counts the last pixel as a part of the rectangle."""
    return rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1
