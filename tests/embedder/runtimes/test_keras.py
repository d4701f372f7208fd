"""deepface's networks on .h5 files: loaded late, quietly, beside Keras 3, and refused where they do not fit."""

import importlib
import importlib.util
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.runtimes.keras import BATCH
from embedder.seeded import MARK, draw_pictures, seeded_weights
from embedder.spec import BACKBONES
from tests.gpus import Driver
from tests.process import run_python

BOTH_KERAS = """
import sys
import numpy as np
from embedder.backbone import load_backbone
def embed():
    assert backbone.embed([np.zeros((55, 47, 3), np.uint8)]).shape == (1, 160)
def fit():
    from heads.backend import keras
    assert keras.__version__.startswith("3.")
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    net.compile(optimizer="adam", loss="mse")
    net.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0)
backbone = load_backbone("DeepID,weights=" + sys.argv[1])
assert not {"tensorflow", "tf_keras", "keras", "deepface"} & set(sys.modules), "loaded before the first face"
for step in sys.argv[2:]:
    vars()[step]()
"""
AFTER_TENSORFLOW = """
import sys
import tensorflow
from data.errors import BackboneError
from embedder.backbone import load_backbone
from tests.fakes import gradient
try:
    load_backbone("DeepID,weights=" + sys.argv[1]).embed([gradient()])
except BackboneError as error:
    print(error)
"""


def as_if_trained(name: str, folder: Path) -> Path:
    """Copy the seeded .h5 file of a network without the mark that it is seeded."""
    path = folder / f"{name}.h5"
    shutil.copyfile(seeded_weights(BACKBONES[name], 0), path)
    with h5py.File(path, "a") as file:
        del file.attrs[MARK]
    return path


@pytest.fixture
def deepid(seeded_cache, tmp_path, monkeypatch):
    """Return an .h5 file of a small network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache))
    return as_if_trained("DeepID", tmp_path)


@pytest.mark.parametrize("steps", [("embed", "fit", "embed"), ("fit", "embed", "fit")], ids="-".join)
def test_both_keras_work_in_one_process_in_either_order_and_say_nothing(deepid, tmp_path, steps):
    done = run_python(BOTH_KERAS, deepid, *steps, HOME=tmp_path, DEEPFACE_HOME=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert not (tmp_path / ".deepface").exists()


def test_tensorflow_that_was_loaded_with_keras_3_is_refused_with_a_remedy(deepid):
    told = run_python(AFTER_TENSORFLOW, deepid, TF_USE_LEGACY_KERAS="0").stdout
    assert "DeepID needs Keras 2" in told
    assert "set the environment variable TF_USE_LEGACY_KERAS=1" in told


def test_row_depends_on_its_own_face_alone(deepid):
    faces = list(draw_pictures(BATCH + 3, (80, 70)))
    backbone = load_backbone(f"DeepID,weights={deepid}")
    together = backbone.embed(faces)
    assert (together.shape, together.dtype) == ((BATCH + 3, 160), np.float32)
    for others in (backbone.embed(faces[::-1])[::-1], np.concatenate([backbone.embed([face]) for face in faces])):
        lengths = np.linalg.norm(together, axis=1) * np.linalg.norm(others, axis=1)
        assert np.all(np.sum(together * others, axis=1) / lengths > 0.999999)


@pytest.mark.parametrize(("device", "place"), [("cuda", "/GPU:0"), ("cpu", "/CPU:0")])
def test_network_is_kept_and_run_where_it_was_asked_for(deepid, monkeypatch, device, place):
    from embedder.tensorflow import tf

    places, own = set(), tf.device
    monkeypatch.setattr(tf, "device", lambda place: (places.add(place), own("/CPU:0"))[1])
    monkeypatch.setattr("embedder.gpu._driver", Driver)
    monkeypatch.setattr("embedder.runtimes.keras.lacks_cuda", lambda: "")
    monkeypatch.setattr("embedder.start._problem", lambda *_: "")
    faces = list(draw_pictures(5, (80, 70)))
    with load_backbone(f"DeepID,weights={deepid},device={device}") as backbone:
        rows = backbone.embed(faces)
    assert places == {place}
    with load_backbone(f"DeepID,weights={deepid},device=cpu") as reference:
        np.testing.assert_allclose(rows, reference.embed(faces), atol=1e-4)


def test_tensorflow_takes_no_more_of_a_gpu_than_it_needs_and_computes_in_full_precision(monkeypatch):
    from embedder import tensorflow

    grows, tf32 = [], []
    config = tensorflow.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: ["first", "second"])
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda *asked: grows.append(asked))
    monkeypatch.setattr(config.experimental, "enable_tensor_float_32_execution", tf32.append)
    importlib.reload(tensorflow)
    assert (grows, tf32) == ([("first", True), ("second", True)], [False])


@pytest.mark.parametrize("damage", ["html", "truncated", "other network"])
def test_file_that_does_not_fit_is_refused_by_its_name(deepid, tmp_path, damage):
    file = tmp_path / "mine.h5"
    content = {
        "html": lambda: b"<html>404 Not Found</html>",
        "truncated": lambda: deepid.read_bytes()[:-9999],
        "other network": lambda: as_if_trained("OpenFace", tmp_path).read_bytes(),
    }
    file.write_bytes(content[damage]())
    backbone = load_backbone(f"DeepID,weights={file}")
    with pytest.raises(BackboneError, match=r"mine\.h5 does not fit the network of DeepID: \w+"):
        backbone.embed([np.zeros((55, 47, 3), np.uint8)])


def test_missing_package_is_named(deepid, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf_keras" else found(name))
    with pytest.raises(BackboneError, match=r"DeepID on an \.h5 file needs tf-keras: pip install tf-keras"):
        load_backbone(f"DeepID,weights={deepid}")
