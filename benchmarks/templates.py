"""Draw the picture of docs/faces.md: one drawn face, found in a picture and cut out by each template.

python -m benchmarks.templates [-o docs/images/templates.jpg]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.scenes import paste, read_chip, uint8
from data.files import atomic_write
from data.synthetic import draw_faces
from embedder.faces.detect import DEFAULT, load_detector
from embedder.faces.face import Face, five_points
from embedder.faces.templates import align
from embedder.preprocess import Picture

SIZE = (460, 365)  # of the picture, width and height in pixels: as high as two tiles with their words
PLACE: dict[str, Any] = {"x": 225.0, "y": 185.0, "size": 260.0, "angle": 18.0, "blur": 0.0, "soft": True}
TILES = (
    (("chip", 0), ("arcface", 0), ("eyes", 0), ("box", 0)),
    (("chip", -20), ("chip", 20), ("arcface", 20), ("box", 40)),
)
TILE, GAP, TEXT = 170, 10, 20  # pixels
PERSON = 8  # the ninth drawn face
JPEG_QUALITY = 88


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/images/templates.jpg"))
    given = parser.parse_args()
    picture = draw_picture()
    faces = load_detector(DEFAULT).detect(picture)
    rows = [np.hstack([tile(picture, faces[0], template, margin) for template, margin in row]) for row in TILES]
    tiles = np.vstack(rows)
    left = labelled(marked(picture, faces[0]), f"found by {DEFAULT}")
    _, content = cv2.imencode(".jpg", np.hstack([left, tiles])[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    with atomic_write(given.output) as file:
        file.write(content.tobytes())


def draw_picture() -> Picture:
    """A drawn face, turned."""
    with tempfile.TemporaryDirectory() as folder:
        draw_faces(folder, PERSON + 1)
        chip = read_chip(max(Path(folder).iterdir(), key=lambda path: path.name.split("_")[-1]))
    picture = np.tile(chip[0, 0], (SIZE[1], SIZE[0], 1))
    paste(picture, chip, PLACE)
    return picture


def marked(picture: Picture, face: Face) -> Picture:
    """With the box and the five points."""
    copy = picture.copy()
    left, top, right, bottom = map(round, face.box)
    cv2.rectangle(copy, (left, top), (right, bottom), (255, 255, 255), 2)
    for x, y in five_points(face.landmarks).tolist():
        cv2.circle(copy, (round(x), round(y)), 4, (255, 220, 0), -1, cv2.LINE_AA)
    return copy


def tile(picture: Picture, face: Face, template: str, margin: int) -> Picture:
    """A crop and its settings in words."""
    crop = align(picture, face, template, side=TILE, margin=margin)
    words = f"{template}, margin {margin}" if margin else template
    return labelled(uint8(cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_AREA)), words)


def labelled(picture: Picture, words: str) -> Picture:
    """On white, with words above."""
    white = (255, 255, 255)
    framed = cv2.copyMakeBorder(picture, TEXT, GAP // 2, GAP // 2, GAP // 2, cv2.BORDER_CONSTANT, value=white)
    cv2.putText(framed, words, (GAP // 2, TEXT - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
    return uint8(framed)


if __name__ == "__main__":
    main()
