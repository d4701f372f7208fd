"""A bundle for drawn faces, and some files to score with it."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.manifest import list_images
from data.split import make_folds
from heads.calibrate import Intervals
from heads.dataset import Dataset
from heads.train import train
from tests.fakes import fake_backbone
from tests.heads.score.scoring import ETHNICITY, FOUND


@pytest.fixture(scope="module")
def bundle(world, tmp_path_factory):
    """Return a bundle for age, gender, height and ethnicity."""
    rows, n = world.data.rows, len(world.data.rows)
    labels = {**rows.labels, "ethnicity": np.arange(n) % 5.0}
    split = make_folds(rows.frame["image_id"], np.arange(n), labels["ethnicity"], folds=2)
    data = Dataset(type(rows)(rows.frame, rows.vectors, labels, {}, {}), split)
    folder = tmp_path_factory.mktemp("score") / "bundle"
    return train(world.specs[0], [*world.tasks, ETHNICITY], data, folder, head="linear").bundle


@pytest.fixture
def images(world, tmp_path, draw_image):
    """Eight files in an order of their own: strangers, a copy, what is no image, a small one, and one that is gone."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for source, name in zip(world.test.frame["path"][5:9], ["d.png", "b.png", "é.png", "a.png"], strict=True):
        shutil.copyfile(source, folder / name)
    shutil.copyfile(folder / "b.png", folder / "copy of b.png")
    (folder / "text.png").write_text("not a picture")
    draw_image(folder / "small.png", (9, 40))
    names = ["d.png", "text.png", "b.png", "gone.png", "é.png", "copy of b.png", "small.png", "a.png"]
    return pd.DataFrame({"image_id": names, "path": [str(folder / name) for name in names]})


@pytest.fixture
def photos(tmp_path, draw_image):
    """Four pictures: two faces, none, three, and one that is no picture."""
    for number, width in enumerate((200, 50, 320)):
        draw_image(tmp_path / "photos" / f"{number}.png", (width, 80), seed=number)
    (tmp_path / "photos" / "3.png").write_text("none")
    return list_images(tmp_path / "photos")[0]


@pytest.fixture
def of_faces(bundle):
    """Return the bundle as it would be of faces that were found."""
    spec = fake_backbone(**FOUND).spec
    return replace(bundle, embedding=spec, calibration={"age": Intervals(0.9, (0.0,), (1 / 3,), (60,))})
