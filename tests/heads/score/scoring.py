"""What the tests of scores share: scoring at once, and writing as the command does."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.face import Face
from embedder.faces.finder import Finder, FinderSettings
from heads.bundle import Bundle
from heads.net import Layer, Net
from heads.score.outputs import Table
from heads.score.rows import Asked, Scorer
from heads.score.run import score
from heads.tasks import Task

ETHNICITY = Task("ethnicity", "ethnicity", "class", ("white", "black", "asian", "indian", "others"))
OK = ["d.png", "b.png", "é.png", "copy of b.png", "a.png"]  # of the fixture `images`
FOUND = {"detector": "hog", "alignment": "box"}  # by what faces are seen and found
KINDS = {"Int16": "integer", "float64": "number"}


def scored(images: pd.DataFrame, bundle, backbone, *, finder=None, store=None, **asked) -> pd.DataFrame:
    """Return the rows of all images."""
    scorer = Scorer(bundle, backbone, finder=finder, asked=Asked(**asked))
    return pd.concat([each.rows for each in score(images, scorer, store=store)], ignore_index=True)


def height_only(spec) -> Bundle:
    """Return a bundle that says the same of every face."""
    height = Task("height", "height", "number")
    layer = Layer(np.zeros((1, int(np.prod(spec.dim)), 1), np.float32), np.full((1, 1), 170, np.float32), "linear")
    return Bundle(spec, (height,), (Net((), {"height": layer}),), {}, id="0" * 16)


def write(rows: pd.DataFrame, path: Path) -> None:
    """Write rows in the format that a name tells."""
    table = Table(path.suffix[1:], {name: KINDS.get(str(kind), "text") for name, kind in rows.dtypes.items()})
    parts = table.head() + table.part(rows)
    if table.streams:
        path.write_bytes(parts)
        return
    path.with_suffix(".part").write_bytes(parts)
    with open(path, "wb") as file:
        table.finish(path.with_suffix(".part"), file)


def read_back(path: Path) -> pd.DataFrame:
    """Read what was written as anyone would."""
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in ["face", "age", "gender"]})
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines()])
    return pd.read_parquet(path)


class Shown:
    """A detector that finds a face for every 100 pixels of a picture's width, the first the largest."""

    def detect(self, picture):
        sides = [60 - 10 * number for number in range(picture.shape[1] // 100)]
        boxes = [(100.0 * number, 0.25, 100.0 * number + side, side + 0.25) for number, side in enumerate(sides)]
        return [Face(box, np.zeros((68, 2), np.float32), 1.5 - number, 90) for number, box in enumerate(boxes)]

    def close(self):
        pass


def finder_for(**choice) -> Finder:
    """Return a finder that shows faces."""
    return Finder(FinderSettings(parse_detector("hog"), Choice(**choice)), Shown())
