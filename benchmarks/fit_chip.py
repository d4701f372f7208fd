"""Fit the template `chip`: where landmarks lie in UTKFace's chips.

    python -m benchmarks.fit_chip FOLDER [--every 1]

A chip is a face cut to the template already, so the right places for its landmarks are those that leave it where it
is: their mean over all chips, where chips count by the inverse of how far they move, so that faces found wrong count
little. Printed are the places in pixels, and how far the corners of chips move that were not fitted: by these places,
by those of other choices of landmarks, and by dlib's own `get_face_chip`.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.images import scan_images
from embedder.faces.face import five_points
from embedder.faces.templates import CHIP_SIDE, NOSE_EYES_UPPER_LIP
from embedder.preprocess import decode

Plane = NDArray[np.complex128]  # x + iy, pixels from the middle of a chip

MODEL = "shape_predictor_68_face_landmarks.dat"
ROUNDS = 10  # of weighting; after them no place changes by 0.01 pixels
PADDINGS = (0.17, 0.2, 0.23)  # of get_face_chip
EYE_CORNERS_AND_NOSE_BASE = (36, 39, 42, 45, 33)
CORNERS = (CHIP_SIDE - 1) / 2 * np.array([-1 - 1j, 1 - 1j, -1 + 1j, 1 + 1j])
MIDDLE = CORNERS[-1]


def main() -> None:
    """Print the places of each choice of landmarks, then how far chips move."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of chips, 200 x 200 pixels")
    parser.add_argument("--every", type=int, default=1, help="look at one chip in so many")
    given = parser.parse_args()
    paths = [given.folder / name for name in scan_images(given.folder)[:: given.every]]
    found = find_landmarks(paths)
    print(f"{len(paths)} chips; in {len(found)} of them dlib finds one face")
    five = np.stack([five_points(each) for each in found]).astype(np.float64)
    choices = {
        "of 68: nose, eyes, upper lip": found[:, NOSE_EYES_UPPER_LIP],
        "of 68: corners of the eyes, base of the nose": found[:, EYE_CORNERS_AND_NOSE_BASE],
        "five points": five,
        "five points without the mouth": five[:, :3],
    }
    table = {}
    for name, landmarks in choices.items():
        points = landmarks @ (1, 1j) - MIDDLE
        print(f"\n{name}:\n{as_text(fit(points))}")
        table[name] = displacements(points[1::2], fit(points[::2]))
    for padding in PADDINGS:
        table[f"get_face_chip, 68 landmarks, padding {padding}"] = dlib_displacements(found[1::2], padding)
    print("\nhow far the corners of chips move, pixels of 200:")
    spread = pd.DataFrame({name: pd.Series(each).describe(percentiles=[0.5, 0.9]) for name, each in table.items()})
    print(spread.loc[["50%", "mean", "90%"]].T.to_string(float_format="%.2f"))


def find_landmarks(paths: list[Path]) -> NDArray[np.float64]:
    """Return dlib's 68 landmarks of each chip in which its HOG detector sees exactly one face: (n, 68, 2)."""
    import dlib

    package = importlib.util.find_spec("face_recognition_models")
    folders = (package.submodule_search_locations if package else None) or []
    predict = dlib.shape_predictor(str(Path(folders[0]) / "models" / MODEL))
    detect = dlib.get_frontal_face_detector()
    found = []
    for path in paths:
        chip = decode(path.read_bytes())
        boxes = detect(chip)
        if len(boxes) == 1:
            found.append([(point.x, point.y) for point in predict(chip, boxes[0]).parts()])
    return np.array(found, np.float64)


def fit(points: Plane) -> Plane:
    """Find the places for k landmarks that leave chips (n, k) where they are."""
    places = points.mean(axis=0)
    for _ in range(ROUNDS):
        weights = 1 / np.maximum(displacements(points, places), 1)
        places = np.average(points, axis=0, weights=weights)
    return places


def transforms(points: Plane, places: Plane) -> tuple[Plane, Plane]:
    """a and b, (n,) each, of the transforms z -> a z + b that bring the landmarks (n, k) of chips to places.

    As `embedder.faces.templates` does for this template: errors are those in the picture.
    """
    middles, aim = points.mean(axis=1), places.mean()
    around = places - aim
    a = (np.abs(around) ** 2).sum() / ((points - middles[:, None]) @ around.conj())
    return a, aim - a * middles


def displacements(points: Plane, places: Plane) -> NDArray[np.float64]:
    """How far the corners of chips move on the average, (n,) pixels, when their landmarks (n, k) go to places."""
    a, b = transforms(points, places)
    return np.abs(np.outer(a - 1, CORNERS) + b[:, None]).mean(axis=1)


def dlib_displacements(landmarks: NDArray[np.float64], padding: float) -> NDArray[np.float64]:
    """The same for what dlib's `get_face_chip` does to landmarks (n, 68, 2)."""
    import dlib

    far = []
    for each in landmarks.astype(int):
        points = dlib.points([dlib.point(x, y) for x, y in each.tolist()])
        chip = dlib.get_face_chip_details(
            dlib.full_object_detection(dlib.rectangle(0, 0, CHIP_SIDE - 1, CHIP_SIDE - 1), points), CHIP_SIDE, padding
        )
        middle = complex(chip.rect.dcenter().x, chip.rect.dcenter().y) - MIDDLE
        onto_chip = np.exp(-1j * chip.angle) * CHIP_SIDE / chip.rect.width()
        far.append(np.abs((CORNERS - middle) * onto_chip - CORNERS).mean())
    return np.array(far)


def as_text(places: Plane) -> str:
    """Places as pixels of a chip, for the table in embedder/faces/templates.py."""
    return ", ".join(f"({place.real:.2f}, {place.imag:.2f})" for place in places + MIDDLE)


if __name__ == "__main__":
    main()
