"""Corrupted images are embedded anew and judged by heads that have not seen them."""

from dataclasses import replace

import numpy as np
import pytest

from data.corrupt import CORRUPTIONS, WORST
from data.errors import BackboneError, FaceprobeError
from embedder.spec import EmbeddingSpec
from heads import robustness
from heads.cell import Cell, fit_folds
from heads.dataset import Concatenation
from heads.metrics import mae
from heads.robustness import ROBUSTNESS, loader, measure_robustness, require_loadable
from tests.fakes import fake_backbone, write_mean_colour_onnx


def load(spec: EmbeddingSpec):
    return fake_backbone(name=spec.name, normalization=spec.normalization)


def test_darkness_ruins_ages_that_are_red_and_level_0_is_the_image_as_it_is(world):
    age = world.tasks[0]
    cell = Cell(world.specs[0], "ridge", (age,))
    found = measure_robustness([(cell, age)], world.data, load, most=1000)
    assert [*found] == ROBUSTNESS
    assert found.groupby("corruption")["level"].apply(list).to_dict() == {
        name: list(range(WORST + 1)) for name in CORRUPTIONS
    }
    _, _, test = world.data.split.indices(0)
    net = fit_folds(cell, world.data)[0].nets[0]
    said = age.point(net.predict(world.data.rows.vectors[cell.spec.fingerprint][test])["age"])
    clean = found[found["level"] == 0]["value"]
    assert clean.tolist() == [pytest.approx(mae(world.data.rows.labels["age"][test], said), rel=1e-4)] * 5
    dark = found[found["corruption"] == "darkness"].set_index("level")["value"]
    assert dark[5] > dark[2] > dark[0]
    assert dark[5] > 10 > 3 * dark[0]
    assert set(found["n"]) == {len(test)}


def test_no_more_images_than_asked_for_are_read_and_each_once_per_backbone(world, monkeypatch):
    read = []
    monkeypatch.setattr(robustness, "_read", lambda path, own=robustness._read: read.append(path) or own(path))
    both = Concatenation(tuple(world.specs))
    X = np.concatenate([world.data.rows.vectors[spec.fingerprint] for spec in world.specs], axis=1)
    rows = replace(world.data.rows, vectors={**world.data.rows.vectors, both.fingerprint: X})
    chosen = [(Cell(spec, "ridge", (task,)), task) for spec in (world.specs[0], both) for task in world.tasks[::2]]
    done: list[int] = []
    found = measure_robustness(chosen, replace(world.data, rows=rows), load, most=4, on_progress=done.append)
    assert len(read) == len(done) == 2 * 4
    paths = world.data.rows.frame["path"].to_numpy()[world.data.split.indices(0)[2]]
    assert set(read) <= set(paths)
    assert set(found["n"]) == {4}
    assert found[["backbone", "task"]].drop_duplicates().to_numpy().tolist() == [
        [name, task] for name in ("fake", "fake+other") for task in ("age", "height")
    ]


def test_missing_image_is_said_with_what_to_do(world):
    frame = world.data.rows.frame.assign(path="/nowhere/face.png")
    data = replace(world.data, rows=replace(world.data.rows, frame=frame))
    with pytest.raises(FaceprobeError, match=r"face.png.*\nBring them back, or leave --robustness out"):
        measure_robustness([(Cell(world.specs[0], "ridge", world.tasks[:1]), world.tasks[0])], data, load, most=1)


def test_backbone_is_the_one_of_the_names_that_gives_such_embeddings(tmp_path):
    files = [write_mean_colour_onnx(tmp_path / f"{name}.onnx", side=side) for name, side in (("a", 16), ("b", 8))]
    names = [f"{file},channel_order=RGB,normalization=base" for file in files]
    find = loader(["MyName", "+".join(names)])
    with loader(names[1:])(robustness.load_backbone(names[1]).spec) as wanted:
        pass
    with find(wanted.spec) as found:
        assert found.spec.fingerprint == wanted.spec.fingerprint


def test_backbone_that_nobody_can_start_is_refused():
    with pytest.raises(BackboneError):
        loader([])(fake_backbone().spec)


def test_backbone_that_cannot_be_started_is_said_before_anything_is_trained():
    spec = fake_backbone(name="mine").spec
    with pytest.raises(BackboneError, match="corrupted images are embedded anew, so mine must be loadable: unknown"):
        require_loadable([spec], loader(["Dlib"]))
