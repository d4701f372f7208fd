"""What cutting out faces costs beside decoding and hashing, and how much memory large pictures and crowds take.

    python -m benchmarks.face_costs CHIPS

Time: JPEG files of 12 megapixels, composed of chips so that their faces are known, are decoded and hashed; and decoded,
hashed, and each face measured and aligned: in turns. The figure is the median ratio of such pairs, in seconds of the
one thread that works. Finding and embedding are no part of it. Composed pictures are smoother than photographs and
decode faster, which makes the ratio larger.

Memory: by how much the peak of a process grows that has extracted a small picture and then extracts another.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from benchmarks.scenes import SIDE, compose, gradient, onto_scene, paste, read_chip, read_labels
from embedder.backbone import load_backbone
from embedder.extract import extract
from embedder.faces.choice import Choice
from embedder.faces.detect import DEFAULT, parse_detector
from embedder.faces.face import Face
from embedder.faces.finder import FinderSettings, load_finder
from embedder.faces.quality import measure
from embedder.faces.table import BOX
from embedder.faces.templates import TEMPLATES, align
from embedder.preprocess import Picture, decode
from embedder.store import open_store

PHOTO, LARGE, SMALL = (4000, 3000), (11_600, 8_700), (640, 480)  # pixels
PICTURES, ROUNDS = 8, 5
CROWDS = {"small": (SMALL, 1, 1), "crowd": (PHOTO, 20, 15), "large": (LARGE, 4, 3)}  # size; faces across and down


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chips", type=Path, metavar="CHIPS")
    given = parser.parse_args()
    print_costs(given.chips)
    print_memory(given.chips)


def true_face(row: Mapping[Any, Any]) -> Face:
    """The face of a row of the truth, with the five points of an average chip."""
    x, y = np.array([(place.real, place.imag) for place in TEMPLATES["chip"].points[5].places]).T * SIDE - 0.5
    landmarks = onto_scene(dict(row)) @ [x, y, np.ones(5)]
    left, top, right, bottom = (float(row[edge]) for edge in BOX)
    return Face((left, top, right, bottom), landmarks.T.astype(np.float32), 1.0)


def print_costs(chips: Path) -> None:
    """Time pairs on composed photographs."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        truth = compose(chips, Path(folder), PICTURES, sizes=(PHOTO,))
        for scene, rows in truth.groupby("scene"):
            content = (Path(folder) / str(scene)).read_bytes()
            faces = [true_face(row) for row in rows.to_dict("records")]
            seconds += [(timed(content, ()), timed(content, faces)) for _ in range(ROUNDS)]
    alone, together = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratio = statistics.median(both / one for one, both in seconds)
    n = truth["scene"].nunique()
    each = f"{n} pictures of {PHOTO[0]} x {PHOTO[1]} with {len(truth) / n:.1f} faces each"
    print(f"{each}: {alone * 1000:.0f} ms to decode and hash, {together * 1000:.0f} ms with faces measured and aligned")
    print(f"ratio {ratio:.3f}, the median of {len(seconds)} pairs\n")


def timed(content: bytes, faces: Iterable[Face]) -> float:
    """Seconds to decode, hash, measure and align."""
    started = time.thread_time()
    hashlib.sha256(content).digest()
    picture = decode(content)
    for face in faces:
        measure(picture, face)
        align(picture, face, "chip", side=SIDE)
    return time.thread_time() - started


def print_memory(chips: Path) -> None:
    """Extract pictures of many pixels and of many faces, each in a process of its own."""
    labels = [*read_labels(chips)]
    with tempfile.TemporaryDirectory() as name:
        for what, (size, across, down) in CROWDS.items():
            scene = draw_crowd(labels, size, across, down)
            cv2.imwrite(f"{name}/{what}.jpg", scene[..., ::-1])
            if what == "small":
                continue
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                before, after, found = pool.submit(peaks, Path(name), what).result()
            picture = f"{size[0]} x {size[1]} ({scene.nbytes / 2**20:.0f} MB)"
            grown = f"{before:.0f} MB after a picture of {SMALL[0]} x {SMALL[1]}, {after - before:+.0f} MB"
            print(f"peak memory {grown} for one of {picture} with {across * down} faces, {found} found")


def draw_crowd(chips: list[Path], size: tuple[int, int], across: int, down: int) -> Picture:
    """Rows of upright faces."""
    rng = np.random.default_rng(0)
    scene = gradient(size, np.empty((0, 0, 3), np.uint8), rng)
    step = np.array(size) / (across, down)
    for number in range(across * down):
        x, y = (np.array((number % across, number // across)) + 0.5) * step
        face = {"x": x, "y": y, "size": 0.9 * step.min(), "angle": 0.0, "blur": 0.0, "soft": True}
        paste(scene, read_chip(chips[number * 7 % len(chips)]), face)
    return scene


def peaks(folder: Path, what: str) -> tuple[float, float, int]:
    """Peak of this process after a small picture and after another, MB, and how many faces were found in that."""
    settings = FinderSettings(parse_detector(DEFAULT), Choice("all"))
    with load_backbone("pixels,crop=chip") as backbone, load_finder(settings) as finder:
        store = open_store(folder / f"{what}.store", create=True)
        found = []
        for name in ("small", what):
            images = pd.DataFrame({"image_id": [name], "path": [str(folder / f"{name}.jpg")]})
            report = extract(images, [backbone], store, finder=finder)
            found.append((peak_memory(), report.embedded[finder.spec.fingerprint]))
    return found[0][0], found[1][0], found[1][1]


def peak_memory() -> float:
    """Of this process in MB; `getrusage` would count what its parent held."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
