"""Drawn faces whose colours carry the labels, with their embeddings by two fake backbones."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.manifest import Manifest
from embedder.extract import extract
from embedder.store import open_store
from heads.dataset import SplitPlan, make_dataset
from heads.tasks import make_tasks
from tests.fakes import fake_backbone

OTHER = {"name": "other", "normalization": "base"}  # what tells the second fake backbone from the first


def draw_faces(folder: Path, n: int, *, seed: int) -> pd.DataFrame:
    """Draw n pictures under labels: red for the age, green for the gender, blue for the height; no two are equal."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    labels = pd.DataFrame({"age": rng.integers(1, 90, n), "gender": rng.choice(["male", "female"], n)})
    labels["height"] = rng.uniform(150, 190, n).round(1)
    for number, row in labels.iterrows():
        colour = np.array([40 + 2 * row["age"], 60 if row["gender"] == "male" else 200, (row["height"] - 150) * 6])
        noisy = colour + rng.normal(0, 8, (32, 32, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{number:03}.png")
    names = [f"{number:03}.png" for number in range(n)]
    return labels.assign(image_id=names, path=[str(folder / name) for name in names])


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Return a store with two backbones, a manifest of 60 faces, one of 20 strangers, and tasks with their dataset.

    Six of the faces are copies of others, and five of the strangers are copies of faces.
    """
    root = tmp_path_factory.mktemp("world")
    faces, strangers = draw_faces(root / "faces", 60, seed=1), draw_faces(root / "strangers", 20, seed=2)
    for row, source in [*zip(range(54, 60), range(6), strict=True)]:
        shutil.copyfile(faces["path"][source], faces["path"][row])
        faces.loc[row, ["age", "gender", "height"]] = faces.loc[source, ["age", "gender", "height"]]
    for row in range(5):
        shutil.copyfile(faces["path"][row], strangers["path"][row])
    store = open_store(root / "store", create=True)
    backbones = [fake_backbone(), fake_backbone(**OTHER)]
    extract(pd.concat([faces, strangers], ignore_index=True), backbones, store)
    manifest, test = Manifest(faces), Manifest(strangers)
    tasks = make_tasks(["age", "gender", "height"], manifest.frame, kinds={})
    specs = [backbone.spec for backbone in backbones]
    data = make_dataset(manifest, store, specs, tasks, plan=SplitPlan(folds=3), test=test)
    return SimpleNamespace(manifest=manifest, test=test, store=store, specs=specs, tasks=tasks, data=data)
