"""The package mtcnn: three networks after each other (Zhang et al. 2016), with their weights, on TensorFlow.

It is called without deepface, which throws away the points of the nose and the mouth.
"""

import warnings

import numpy as np

from embedder.faces.detectors.row import DetectorRow, Found
from embedder.preprocess import Picture
from embedder.weights import WeightFile

ROWS = (
    DetectorRow(
        name="mtcnn",
        module="mtcnn",
        side=640,
        least=20,
        landmarks=5,
        packages={"mtcnn": "mtcnn", "tensorflow": "tensorflow"},
        files=tuple(WeightFile(name, ()) for name in ("pnet.lz4", "rnet.lz4", "onet.lz4")),
        within=("mtcnn/assets/weights",),
        licence="MIT",
        about="three networks with five points of their own; also small and tilted faces",
    ),
)
_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")  # left in the picture of an upright face


class Mtcnn:
    """Three networks of growing size."""

    def __init__(self) -> None:
        import embedder.tensorflow  # noqa: F401  before mtcnn, so that it decides how TensorFlow is loaded

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its files open
            from mtcnn import MTCNN

            self._detector = MTCNN()

    def find(self, picture: Picture) -> list[Found]:
        """See `Library`. The package takes an InvalidArgumentError of TensorFlow, its way to say so, for no face."""
        return [_found(face) for face in self._detector.detect_faces(picture, fit_to_image=False)]


def load(row: DetectorRow) -> Mtcnn:
    """Load a row of this module, whose packages and files are there."""
    return Mtcnn()


def unusable(row: DetectorRow) -> None:
    """Nothing but packages and files is in its way."""


def _found(face: dict) -> Found:
    left, top, width, height = face["box"]
    points = np.array([face["keypoints"][name] for name in _POINTS], np.float32)
    return Found((left, top, left + width, top + height), float(face["confidence"]), points)
