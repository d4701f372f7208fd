"""Pictures whose faces are red squares, and a detector of those: what finds faces where no library is to be asked."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.face import Face
from embedder.faces.finder import Finder, FinderSettings
from embedder.preprocess import Picture

# Both eyes, the tip of the nose and the corners of the mouth in the unit square; the rest of 68 lies on the nose.
PLACES = np.full((68, 2), (0.5, 0.6))
PLACES[36:42], PLACES[42:48], PLACES[48], PLACES[54] = (0.3, 0.35), (0.7, 0.35), (0.35, 0.8), (0.65, 0.8)

Square = tuple[int, int, int]  # left, top and side in pixels


def draw_squares(path: Path, squares: Sequence[Square], *, size: tuple[int, int] = (320, 240)) -> Path:
    """Write a PNG of `size` (width, height)."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    for left, top, side in squares:
        picture[top : top + side, left : left + side] = (0, 0, 255)  # OpenCV's red
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return path


class SquareDetector:
    """Finds red squares. Its confidence is the side in units of 100 pixels."""

    def detect(self, picture: Picture) -> list[Face]:
        red = ((picture[..., 0] > 200) & (picture[..., 1] < 60)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(red)
        faces = [
            Face((left, top, left + wide, top + high), (PLACES * wide + (left, top)).astype(np.float32), wide / 100)
            for left, top, wide, high, _ in stats[1:].tolist()
        ]
        return sorted(faces, key=lambda face: face.size, reverse=True)

    def close(self) -> None:
        pass


class NoDetector:
    """Fails if it is asked."""

    def detect(self, picture: Picture) -> list[Face]:
        raise RuntimeError("this picture was known")

    def close(self) -> None:
        pass


def square_finder(detector: SquareDetector | NoDetector | None = None, **choice: object) -> Finder:
    """A finder of squares that says it was hog; `choice` as of `Choice`."""
    settings = FinderSettings(parse_detector("hog"), Choice(**choice))  # type: ignore[arg-type]
    return Finder(settings, detector or SquareDetector())
