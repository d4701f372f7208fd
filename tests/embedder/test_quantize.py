"""A model in int8 is calibrated once, on some images, held against fp32 on others, and known by its own hash."""

import importlib.util
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.errors import BackboneError
from embedder import quantize
from embedder.backbone import load_backbone, start_backbone
from embedder.int8 import int8_file
from embedder.quantize import require_int8
from embedder.resolve import resolve_backbone
from embedder.seeded import draw_pictures
from embedder.selfcheck import fidelity
from tests.fakes import write_pooling_onnx

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("openvino") and importlib.util.find_spec("nncf")), reason="needs openvino and nncf"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a backbone, 40 pictures, and a file that is none."""
    folder = tmp_path_factory.mktemp("int8")
    write_pooling_onnx(folder / "net.onnx", side=32, dim=64)
    for number, picture in enumerate(draw_pictures(40, (40, 40), seed=5)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """Return a cache folder that holds the backbone's model in int8."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        require_int8(resolve_backbone(named(folder)), images(folder))
    return cache


@pytest.fixture
def cache(made, tmp_path, monkeypatch):
    """Return a copy of it, in use."""
    shutil.copytree(made, tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def named(folder, settings="precision=int8"):
    return f"{folder / 'net.onnx'},channel_order=RGB,normalization=ArcFace,{settings}"


def images(folder):
    paths = sorted(folder.glob("*.png"))
    return pd.DataFrame({"image_id": [path.name for path in paths], "path": [str(path) for path in paths]})


def test_int8_is_near_fp32_under_a_fingerprint_of_its_own(folder, cache):
    faces = list(draw_pictures(30, (32, 32), seed=6))
    with load_backbone(named(folder)) as int8, load_backbone(named(folder, "runtime=onnx")) as fp32:
        rows, reference = int8.embed(faces), fp32.embed(faces)
        assert int8.spec.precision.startswith("int8 nncf ")
        assert int8.spec.name == "net int8"
        assert int8.spec.fingerprint != fp32.spec.fingerprint
        np.testing.assert_array_equal(int8.embed(faces[::-1])[::-1], rows)
    assert 0.97 < fidelity(rows, reference).lowest < 0.99999


def test_calibration_and_check_are_of_different_images_and_written_down(folder, cache):
    facts = require_int8(resolve_backbone(named(folder)), images(folder)).facts
    assert (facts["calibration"]["images"], facts["checked"]["images"]) == (24, 16)
    assert len(facts["calibration"]["sha256"]) == 64
    assert 0.95 < facts["checked"]["lowest"] <= facts["checked"]["mean"] < 1
    assert set(facts["versions"]) == {"nncf", "openvino"}


def test_model_is_made_once_and_used_for_every_later_folder(folder, cache, monkeypatch):
    monkeypatch.setattr(quantize, "_make", lambda *_: pytest.fail("made again"))
    first = require_int8(resolve_backbone(named(folder)), images(folder))
    assert require_int8(resolve_backbone(named(folder)), images(folder)[:0]).precision == first.precision


def test_images_are_drawn_by_their_names_alone(folder, cache):
    with load_backbone(named(folder, "runtime=onnx")) as reference:
        hashes, faces = quantize._draw(images(folder), reference)
        shuffled, _ = quantize._draw(images(folder).sample(frac=1, random_state=0), reference)
    assert hashes == shuffled
    assert faces.shape == (40, 32, 32, 3)


def test_lower_cosine_than_asked_for_is_refused_and_nothing_is_kept(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = resolve_backbone(named(folder))
    with pytest.raises(BackboneError, match=r"net in int8 reaches cosines to fp32 of 0\.\d+ .* expected 0.999999"):
        require_int8(spec, images(folder), min_cosine=0.999999)
    assert not int8_file(spec).exists()


def test_kept_model_is_refused_by_a_stricter_limit_that_names_it(folder, cache):
    with pytest.raises(BackboneError, match=r"\.zip: remove it to calibrate anew"):
        require_int8(resolve_backbone(named(folder)), images(folder), min_cosine=0.999999)


def test_too_few_images_are_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BackboneError, match="expected 20 or more that can be read, found 9"):
        require_int8(resolve_backbone(named(folder)), images(folder)[-10:])


def test_nncf_that_is_not_installed_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match="int8 needs nncf: pip install openvino nncf"):
        require_int8(resolve_backbone(named(folder)), images(folder))


def test_other_normalization_is_another_model(folder, cache):
    other = named(folder).replace("ArcFace", "base")
    with pytest.raises(BackboneError, match=r"net has no model in int8 yet, .*zip: make it with `extract --precision"):
        load_backbone(other)


def test_embeddings_of_another_calibration_are_not_continued(folder, cache):
    spec = replace(resolve_backbone(named(folder)), precision="int8 nncf 0123456789abcdef")
    with pytest.raises(BackboneError, match=r"expected net in int8 nncf 0123456789abcdef; .* from another calibration"):
        start_backbone(spec)


@pytest.mark.parametrize("content", [b"", b"PK nonsense"])
def test_damaged_model_is_refused(folder, cache, content):
    int8_file(resolve_backbone(named(folder))).write_bytes(content)
    with pytest.raises(BackboneError, match="is no model in int8"):
        load_backbone(named(folder))
