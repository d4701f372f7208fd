"""OpenVINO gives what the reference gives, under the same fingerprint, and tells nobody about this machine."""

import importlib.util

import numpy as np
import pytest

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.cache import cache_folder
from embedder.seeded import draw_pictures
from embedder.selfcheck import fidelity
from tests.fakes import gradient, write_mean_colour_onnx, write_pooling_onnx
from tests.process import run_python

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs openvino")

SETTINGS = ",channel_order=RGB,normalization=raw"
EMBED = """
import sys
import numpy as np
from embedder.backbone import load_backbone
with load_backbone(sys.argv[1] + ",channel_order=RGB,normalization=raw,runtime=openvino") as backbone:
    assert backbone.embed([np.zeros((16, 16, 3), np.uint8)]).shape == (1, 3)
assert not {"openvino_telemetry", "nncf"} & set(sys.modules)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what is found out about runtimes apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_onnx_file_gives_the_same_rows_under_the_same_fingerprint(tmp_path, layout, batch):
    name = f"{write_mean_colour_onnx(tmp_path / 'm.onnx', batch=batch, layout=layout)}{SETTINGS}"
    faces = list(np.random.default_rng(0).integers(0, 256, (11, 16, 16, 3), np.uint8))
    with load_backbone(name) as reference, load_backbone(f"{name},runtime=openvino") as other:
        np.testing.assert_allclose(other.embed(faces), reference.embed(faces), rtol=1e-5)
        assert other.spec == reference.spec  # recorded facts are not compared
        assert (reference.spec.recorded["runtime"], other.spec.recorded["runtime"]) == ("onnx", "openvino")
        assert other.spec.recorded["library"].startswith("openvino 20")
        assert other.spec.fingerprint == reference.spec.fingerprint


def test_row_depends_on_its_own_face_alone_to_the_bit(shared):
    name = f"{shared / 'weights' / 'mobilefacenet_arcface.onnx'},runtime=openvino"
    faces = list(draw_pictures(7, (112, 112), seed=2))
    with load_backbone(name, cores=1) as backbone:
        together = backbone.embed(faces)
    with load_backbone(name, cores=3) as backbone:
        np.testing.assert_array_equal(backbone.embed(faces[::-1]), together[::-1])
        np.testing.assert_array_equal(np.concatenate([backbone.embed([face]) for face in faces]), together)
    with load_backbone(name.partition(",")[0]) as reference:
        assert fidelity(together, reference.embed(faces)).lowest > 0.999999


def test_half_precision_has_a_fingerprint_of_its_own_and_is_near(shared):
    name = str(shared / "weights" / "mobilefacenet_arcface.onnx")
    faces = list(draw_pictures(9, (112, 112), seed=2))
    with load_backbone(name) as reference, load_backbone(f"{name},precision=fp16") as half:
        assert (half.spec.precision, half.spec.recorded["runtime"]) == ("fp16", "openvino")
        assert half.spec.fingerprint != reference.spec.fingerprint
        assert fidelity(half.embed(faces), reference.embed(faces)).lowest > 0.999


def test_h5_file_is_converted_once_and_gives_what_tensorflow_gives(seeded_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache))
    name = "DeepID,weights=seeded:0"
    faces = [gradient(), *draw_pictures(5, (60, 50), seed=2)]
    with load_backbone(name) as reference, load_backbone(f"{name},runtime=openvino") as other:
        assert fidelity(other.embed(faces), reference.embed(faces)).lowest > 0.999999
        assert other.spec.fingerprint == reference.spec.fingerprint
    made = {path.name: path.stat().st_mtime_ns for path in (cache_folder() / "openvino").iterdir()}
    assert {name.rpartition(".")[2] for name in made} == {"bin", "xml"}
    monkeypatch.setattr("embedder.runtimes.openvino._convert", None)  # would not be called a second time
    with load_backbone(f"{name},runtime=openvino") as again:
        assert again.embed(faces).shape == (6, 160)


def test_file_that_is_no_onnx_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"<html>404</html>")
    with pytest.raises(BackboneError, match=r"m\.onnx cannot be"):
        load_backbone(f"{tmp_path / 'm.onnx'}{SETTINGS},runtime=openvino")


def test_weights_in_a_second_file_are_refused_as_no_fingerprint_covers_them(tmp_path, monkeypatch):
    import onnx

    write_pooling_onnx(tmp_path / "whole.onnx", side=32, dim=64)
    model = onnx.load(str(tmp_path / "whole.onnx"))
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.data", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackboneError, match="keeps weights in a second file; save it as one"):
        load_backbone(f"m.onnx{SETTINGS},runtime=openvino")


def test_openvino_that_is_not_installed_is_named(tmp_path, monkeypatch):
    model = write_mean_colour_onnx(tmp_path / "m.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match="m on OpenVINO needs openvino: pip install openvino"):
        load_backbone(f"{model}{SETTINGS},runtime=openvino")


def test_running_a_model_leaves_nothing_but_what_was_found_out(tmp_path):
    model, home = write_mean_colour_onnx(tmp_path / "mean.onnx"), tmp_path / "home"
    run_python(EMBED, model, HOME=home, XDG_CACHE_HOME=home / "cache", XDG_DATA_HOME=home / "data")
    assert [path.parent.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()] == [
        "cache/faceprobe/found"
    ]
