"""How well detectors find faces, how well the ages of faces found are told, and what finding and cutting costs.

    python -m benchmarks.faces CHIPS [-n 60] [--seed 0] [--detector hog --detector mtcnn ...] [--bundle BUNDLE]

CHIPS is a folder of chips; `benchmarks.scenes` composes n scenes of them with known truth. A box found is right if it
and a true one share half of their union or more; each is in one pair at most, and of all ways to pair them the one
counts that shares most. Whatever else is found is false. Seconds are of all cores together (`time.process_time`), so
that others who use the machine change them little.

With a bundle that was trained with `--crop chip`, on other chips: how far ages are off for each chip as it is, for the
same cut out of its scene by the truth, and for the face that was found there and aligned. Costs and memory are those of
`benchmarks.face_costs`. All is printed as Markdown.
"""

import argparse
import contextlib
import itertools
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.face_costs import print_costs, print_memory, true_face
from benchmarks.scenes import FACE, TRUTH, compose
from embedder.backbone import Backbone
from embedder.faces.detect import DEFAULT, load_detector, parse_detector
from embedder.faces.quality import measure
from embedder.faces.table import BOX
from embedder.faces.templates import AlignmentError
from embedder.preprocess import Picture, decode
from heads.bundle import Bundle, load_bundle

SHARED = 0.5  # intersection over union from which on a box is right
SIDE, SEEN = "side, pixels of the picture", "side, pixels that the detector sees"
TURNED, BLUR, QUALITY = "turned, degrees", "blur, sigma in pixels of 200", "quality"
BANDS = {  # each from above a number up to the next
    SIDE: (0, 60, 80, 120, 200, math.inf),
    SEEN: (0, 40, 60, 80, 120, math.inf),
    TURNED: (-1, 0, 10, 20, 30),
    BLUR: (-1, 0, 2, 3, 4),
    QUALITY: (-1, 0, 0.25, 0.5, 0.75, 1),
}
CHIP, CUT = BEFORE = ("chip", "cut by the truth")

Boxes = NDArray[np.float64]  # (n, 4): left, top, right, bottom


@dataclass
class Looked:
    """What a detector made of scenes.

    Attributes
    ----------
    faces : a row per true face: `found`, and a column per key of BANDS; its QUALITY is missing unless it was found.
    boxes : a row per box found: `right`, SIDE, SEEN and QUALITY.
    crops : what the backbone sees of faces found, by row of the truth; without those that cannot be aligned.
    seconds : of all cores, per scene.
    """

    faces: list[pd.DataFrame] = field(default_factory=list)
    boxes: list[pd.DataFrame] = field(default_factory=list)
    crops: dict[Any, Picture] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    """Compose, look, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chips", type=Path, metavar="CHIPS")
    parser.add_argument("-n", "--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--detector", action="append", help=f"{DEFAULT} unless given; once for each")
    parser.add_argument("--bundle", type=Path)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bundle = load_bundle(given.bundle) if given.bundle else None
        backbone = stack.enter_context(bundle.load_backbone()) if bundle else None
        truth = compose(given.chips, folder, given.scenes, seed=given.seed)
        print(f"{given.scenes} scenes with {len(truth)} faces\n")
        looked = {name: look(folder, truth, name, backbone) for name in given.detector or [DEFAULT]}
        print_found(looked)
        if bundle and backbone:
            print_ages(bundle, backbone, looked, given.chips, folder)
    print_costs(given.chips)
    print_memory(given.chips)


def look(folder: Path, truth: pd.DataFrame, setting: str, backbone: Backbone | None) -> Looked:
    """Let a detector look at all scenes in a folder; with a backbone, cut out what it finds."""
    spec, looked = parse_detector(setting), Looked()
    detector = load_detector(setting)
    detector.detect(np.zeros((200, 200, 3), np.uint8))  # what it loads or compiles at first is not to be timed
    for path in sorted(folder.glob("*.jpg")):
        picture = decode(path.read_bytes())
        started = time.process_time()
        found = detector.detect(picture)
        looked.seconds.append(time.process_time() - started)
        there = truth[truth["scene"] == path.name]
        numbers = match(there[[*BOX]].to_numpy(float), np.array([face.box for face in found]).reshape(-1, 4))
        scale = spec.scale(*picture.shape[1::-1])
        sides = np.array([face.size for face in found])
        qualities = np.array([measure(picture, face).overall for face in found])
        right = np.isin(np.arange(len(found)), numbers)
        looked.boxes.append(pd.DataFrame({SIDE: sides, SEEN: scale * sides, QUALITY: qualities, "right": right}))
        seen = pd.Series(qualities, dtype=float).reindex(numbers).to_numpy()
        looked.faces.append(traits(there, scale).assign(**{QUALITY: seen}, found=numbers >= 0))
        for row, number in zip(there.index, numbers, strict=True):
            if backbone and number >= 0:
                with contextlib.suppress(AlignmentError):
                    looked.crops[row] = backbone.crop_face(picture, found[number])
    detector.close()
    return looked


def traits(truth: pd.DataFrame, scale: float) -> pd.DataFrame:
    """What BANDS are of; `scale` is that of the picture for detecting."""
    side = FACE * truth["size"]
    return pd.DataFrame({SIDE: side, SEEN: scale * side, TURNED: truth["angle"].abs(), BLUR: truth["blur"]})


def match(truth: Boxes, found: Boxes) -> NDArray[np.int64]:
    """Which of the boxes found is each true one, (n,); -1 for none. The module's docstring has the rule."""
    shared = overlaps(truth, found)
    shared[shared < SHARED] = 0
    rows, columns = linear_sum_assignment(shared, maximize=True)
    right = shared[rows, columns] > 0
    numbers = np.full(len(truth), -1)
    numbers[rows[right]] = columns[right]
    return numbers


def overlaps(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Intersection over union of each of n boxes with each of m: (n, m)."""
    low = np.maximum(one[:, None, :2], other[:, :2])
    high = np.minimum(one[:, None, 2:], other[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def print_found(looked: Mapping[str, Looked]) -> None:
    """Recall, precision and seconds, in all and by bands."""
    table = {}
    for name, each in looked.items():
        recall, precision = pd.concat(each.faces)["found"], pd.concat(each.boxes)["right"]
        table[name] = {"recall": share(recall), "precision": share(precision), "CPU s": f"{np.mean(each.seconds):.2f}"}
    print(as_markdown(pd.DataFrame(table).T))
    for what, parts, column in (("recall", "faces", "found"), ("precision", "boxes", "right")):
        shares = {}
        for name, each in looked.items():
            rows = pd.concat(getattr(each, parts)).drop(columns=QUALITY if what == "recall" else [])
            shares[name] = {(trait, band): share(part[column]) for trait, band, part in by_band(rows)}
        print(f"{what.capitalize()} by band, of so many:\n\n{as_markdown(pd.DataFrame(shares))}")


def by_band(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Those of the rows in each band of each trait that is among their columns: trait, band in words, rows."""
    for trait in (name for name in BANDS if name in rows):
        for band, part in rows.groupby(band_of(trait, rows[trait]), observed=False):
            yield trait, str(band), part


def band_of(trait: str, values: pd.Series) -> pd.Series:
    """The band of each value in words: an ordered categorical."""
    edges = BANDS[trait]
    labels = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    if edges[0] < 0:
        labels[0] = "none"
    if edges[-1] == math.inf:
        labels[-1] = f"above {edges[-2]}"
    return pd.cut(values, [*edges], labels=labels)


def share(values: pd.Series) -> str:
    """A share, and of how many."""
    return f"{values.mean():.3f} of {len(values)}" if len(values) else ""


def print_ages(bundle: Bundle, backbone: Backbone, looked: Mapping[str, Looked], chips: Path, folder: Path) -> None:
    """How far ages are off, for each detector over the chips of which it found the face."""
    truth = pd.read_csv(folder / TRUTH)
    as_they_are = {name: backbone.crop(decode((chips / name).read_bytes())) for name in truth["chip"].unique()}
    cut_out: dict[Any, Picture] = {}
    for scene, faces in truth.groupby("scene"):
        picture = decode((folder / str(scene)).read_bytes())
        cut_out |= {row: backbone.crop_face(picture, true_face(face)) for row, face in faces.to_dict("index").items()}
    ages = {CHIP: truth["chip"].map(tell_ages(bundle, backbone, as_they_are))}
    ages[CUT] = tell_ages(bundle, backbone, cut_out)
    for name, each in looked.items():
        told = pd.DataFrame({**ages, "found": tell_ages(bundle, backbone, each.crops)})
        errors = told.sub(truth["age"], axis=0).abs()
        rows = errors.join(pd.concat(each.faces).drop(columns="found"))
        blurred, faded = rows[BLUR] > 0, truth["soft"]
        whole = rows[~blurred & ~faded]
        parts = [("all", "", rows), ("blurred", "", rows[blurred]), ("edges faded", "", rows[faded & ~blurred])]
        parts += [("neither", "", whole), *by_band(whole.drop(columns=[BLUR, QUALITY]))]
        parts += by_band(rows.drop(columns={*BANDS} - {QUALITY}))
        table = {(trait, band): summarise(part) for trait, band, part in parts}
        print(f"Mean absolute error of ages, {name}; bands but quality's are of faces neither blurred nor faded:\n")
        print(as_markdown(pd.DataFrame(table).T.fillna("")))


def tell_ages(bundle: Bundle, backbone: Backbone, crops: Mapping[Any, Picture]) -> pd.Series:
    """The age of each crop, by its key."""
    predicted = bundle.predict(backbone.embed([*crops.values()]))
    return pd.Series(predicted["age"].to_numpy(), index=[*crops])


def summarise(errors: pd.DataFrame) -> dict[str, str]:
    """Errors in years of the rows that were found; and how much more they are than the others."""
    found = errors.dropna(subset="found")
    count = {"found and aligned": f"{len(found)} of {len(errors)}"}
    if len(found) < 2:
        return count
    means = {name: f"{found[name].mean():.2f}" for name in (*BEFORE, "found")}
    more = {f"more than {name}": with_interval(found["found"] - found[name]) for name in BEFORE}
    return {**count, **means, **more}


def with_interval(values: pd.Series) -> str:
    """The mean of paired differences, with its 95% interval."""
    return f"{values.mean():+.2f} ± {1.96 * values.std() / math.sqrt(len(values)):.2f}"


def as_markdown(table: pd.DataFrame) -> str:
    """A table of strings, with a column per level of its index."""
    rows = [
        (*(key if isinstance(key, tuple) else (key,)), *row)
        for key, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    head = ("",) * table.index.nlevels + tuple(table)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, ("---",) * len(head), *rows)) + "\n"


if __name__ == "__main__":
    main()
