"""Compose photographs whose faces are known: chips pasted on backgrounds, for judging detectors and alignment.

    python -m benchmarks.scenes FOLDER -o DIR [-n 200] [--seed 0]

FOLDER holds chips of 200 x 200 pixels with UTKFace's names. DIR gets JPEG files and `truth.csv`, a row per face:
`scene`, `chip`; `x`, `y` of the chip's middle and `size`, its side, in pixels of the scene; `angle`, degrees clockwise;
`blur`, sigma in pixels of the chip, 0 for none; `soft`, whether its edges fade; `left`, `top`, `right`, `bottom` of the
upright square that dlib's detector draws about an upright face; `age`, `gender`, `ethnicity` from the chip's name.
Scenes have 0 to 12 faces that do not overlap, scaled 0.3 to 3 times and turned by up to 30 degrees. Scene i depends on
the chips, `--seed` and i alone.
"""

import argparse
import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.files import atomic_write, write_text
from data.images import RejectedFile, scan_images
from data.readers.utkface import parse_name
from embedder.preprocess import Picture, decode

Rng = np.random.Generator
Chips = dict[Path, dict[str, Any]]  # labels by file

TRUTH = "truth.csv"
COLUMNS = ("scene", "chip", "x", "y", "size", "angle", "blur", "soft", "left", "top", "right", "bottom")
LABELS = ("age", "gender", "ethnicity")
SIZES = ((640, 480), (800, 1200), (1600, 1200), (3000, 2000), (4000, 3000))
MOST_FACES = 12
SCALES = (0.3, 3.0)
STEEPEST = 30  # degrees
BLURRED, UPRIGHT, SOFT = 0.25, 0.25, 0.5  # shares of faces
SIDE = 200  # of a chip
FACE = 0.9  # of a chip's side is the side of dlib's box
TRIES = 60  # at a place for a face, until it is left out
JPEG_QUALITY = 92


def main() -> None:
    """Write the scenes and say what is in them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chips", type=Path, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("-n", "--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    truth = compose(given.chips, given.output, given.scenes, seed=given.seed)
    low, high = truth["size"].min(), truth["size"].max()
    print(f"{given.scenes} scenes with {len(truth)} faces of {low:.0f} to {high:.0f} pixels")


def compose(
    chips: Path, folder: Path, n: int, *, seed: int = 0, sizes: Sequence[tuple[int, int]] = SIZES
) -> pd.DataFrame:
    """Write n scenes of `sizes` (width, height) in turns into a folder, with truth.csv; return the truth."""
    labels = read_labels(chips)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        name = f"scene_{i:05}.jpg"
        scene, faces = draw_scene(labels, sizes[i % len(sizes)], rng)
        _, content = cv2.imencode(".jpg", scene[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        with atomic_write(folder / name) as file:
            file.write(content.tobytes())
        rows += [{"scene": name, **face} for face in faces]
    truth = pd.DataFrame(rows, columns=[*COLUMNS, *LABELS])
    write_text(folder / TRUTH, truth.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    return truth


def read_labels(folder: Path) -> Chips:
    """Find the chips whose names tell their labels."""
    labels = {}
    for name in scan_images(folder):
        with contextlib.suppress(RejectedFile):
            labels[folder / name] = dict(parse_name(name))
    return labels


def draw_scene(labels: Chips, size: tuple[int, int], rng: Rng) -> tuple[Picture, list[dict[str, Any]]]:
    """Draw a scene of (width, height) pixels, and a row of the truth per face, without the scene's name."""
    paths = list(labels)
    chosen = [paths[k] for k in rng.choice(len(paths), min(MOST_FACES, len(paths)), replace=False)]
    draw = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    scene = draw(size, read_chip(chosen[0]), rng)
    faces: list[dict[str, Any]] = []
    for path in chosen[: rng.integers(MOST_FACES + 1)]:
        face = place(size, faces, rng)
        if face is not None:
            paste(scene, read_chip(path), face)
            faces.append({"chip": path.name, **face, **box_of(face), **labels[path]})
    return scene, faces


def place(size: tuple[int, int], others: Sequence[dict[str, Any]], rng: Rng) -> dict[str, Any] | None:
    """Choose how a face stands in a scene: whole, and clear of others; None where no place was found."""
    for _ in range(TRIES):
        largest = min(SCALES[1], min(size) / SIDE / math.sqrt(2))
        side = SIDE * math.exp(rng.uniform(math.log(SCALES[0]), math.log(largest)))
        radius = side / math.sqrt(2)
        x, y = (float(rng.uniform(radius, length - radius)) for length in size)
        if all(math.hypot(x - other["x"], y - other["y"]) > radius + other["size"] / math.sqrt(2) for other in others):
            angle = 0.0 if rng.random() < UPRIGHT else float(rng.uniform(-STEEPEST, STEEPEST))
            blur = float(rng.uniform(1, 4)) if rng.random() < BLURRED else 0.0
            return {"x": x, "y": y, "size": side, "angle": angle, "blur": blur, "soft": bool(rng.random() < SOFT)}
    return None


def box_of(face: dict[str, Any]) -> dict[str, float]:
    """The corners of the square about an upright face."""
    x, y, half = face["x"], face["y"], FACE * face["size"] / 2
    return {"left": x - half, "top": y - half, "right": x + half, "bottom": y + half}


def read_chip(path: Path) -> Picture:
    """Decode a chip, of 200 x 200 pixels whatever it was."""
    return uint8(cv2.resize(decode(path.read_bytes()), (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def paste(scene: Picture, chip: Picture, face: dict[str, Any]) -> None:
    """Put a chip into a scene, in place."""
    if face["blur"]:
        chip = uint8(cv2.GaussianBlur(chip, (0, 0), face["blur"]))
    side = max(1, round(face["size"]))
    chip = uint8(cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA if side < SIDE else cv2.INTER_CUBIC))
    mask = np.ones((side, side), np.float32)
    if face["soft"]:
        faded = np.minimum(1, (0.5 + np.arange(side)) / (0.06 * side))
        edge = np.minimum(faded, faded[::-1])
        mask = np.outer(edge, edge).astype(np.float32)
    left, top = (max(0, int(face[axis] - side)) for axis in ("x", "y"))
    window = scene[top : int(face["y"]) + side, left : int(face["x"]) + side]
    matrix = onto_scene(face, side) - np.array([(0, 0, left), (0, 0, top)])
    size = window.shape[1::-1]
    share = cv2.warpAffine(mask, matrix, size)[..., None]
    turned = cv2.warpAffine(chip, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    window[:] = uint8(np.rint(window + share * (turned.astype(np.float32) - window)))


def onto_scene(face: dict[str, Any], side: int = SIDE) -> NDArray[np.float64]:
    """Give the transform, (2, 3), from pixels of a chip of `side` to pixels of the scene; centres are whole numbers."""
    turn = face["size"] / side * np.exp(1j * math.radians(face["angle"]))
    shift = complex(face["x"], face["y"]) - 0.5 - 0.5j - turn * (side - 1) / 2 * (1 + 1j)
    return np.array([(turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)])


def gradient(size: tuple[int, int], chip: Picture, rng: Rng) -> Picture:
    """Four colours in the corners, and a little noise."""
    corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = uint8(cv2.resize(corners, size, interpolation=cv2.INTER_LINEAR))
    noise = rng.integers(0, 12, (size[1], size[0], 1), dtype=np.uint8)
    return np.maximum(picture, noise) - noise


def clouds(size: tuple[int, int], chip: Picture, rng: Rng) -> Picture:
    """Noise of several scales."""
    picture = np.full((size[1], size[0], 3), 110, np.float32)
    for cells, strength in ((4, 60), (16, 35), (64, 20), (256, 12)):
        coarse = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return uint8(picture.clip(0, 255))


def blocks(size: tuple[int, int], chip: Picture, rng: Rng) -> Picture:
    """Rectangles, discs and lines in the colours of a chip."""
    colours = chip.reshape(-1, 3)
    picture = np.full((size[1], size[0], 3), colours[rng.integers(len(colours))], np.uint8)
    for kind in rng.integers(0, 3, 60):
        colour = colours[rng.integers(len(colours))].tolist()
        (x0, y0), (x1, y1) = (rng.uniform(0, 1, (2, 2)) * size).astype(int).tolist()
        if kind == 0:
            cv2.rectangle(picture, (x0, y0), ((x0 + x1) // 2, (y0 + y1) // 2), colour, -1)
        elif kind == 1:
            cv2.circle(picture, (x0, y0), int(rng.uniform(0.01, 0.1) * min(size)), colour, -1, cv2.LINE_AA)
        else:
            cv2.line(picture, (x0, y0), (x1, y1), colour, int(rng.uniform(1, 0.01 * max(size))), cv2.LINE_AA)
    return picture


def texture(size: tuple[int, int], chip: Picture, rng: Rng) -> Picture:
    """Small pieces of a chip, jumbled, enlarged and blurred: the colours of faces, and no face."""
    cells, piece = int(rng.integers(12, 40)), 12
    corners = rng.integers(0, SIDE - piece, (cells * cells, 2))
    pieces = np.stack([chip[y : y + piece, x : x + piece] for x, y in corners])
    mosaic = pieces.reshape(cells, cells, piece, piece, 3).swapaxes(1, 2).reshape(cells * piece, cells * piece, 3)
    return uint8(cv2.resize(cv2.GaussianBlur(mosaic, (0, 0), 3), size, interpolation=cv2.INTER_CUBIC))


def uint8(picture: Any) -> Picture:
    """Say what OpenCV does not: the type of its result."""
    return np.asarray(picture).astype(np.uint8, copy=False)


BACKGROUNDS: tuple[Callable[[tuple[int, int], Picture, Rng], Picture], ...] = (gradient, clouds, blocks, texture)


if __name__ == "__main__":
    main()
