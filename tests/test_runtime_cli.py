"""Runtimes and precisions on the command line: one store, one fingerprint, and int8 from extract to score."""

import importlib.util
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

from embedder.store import open_store
from tests.cli import faceprobe
from tests.fakes import write_pooling_onnx

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("openvino") and importlib.util.find_spec("nncf")), reason="needs openvino and nncf"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with 60 drawn faces and a backbone; what was found out about runtimes is kept in it."""
    from data.synthetic import draw_faces

    place = tmp_path_factory.mktemp("runtimes")
    draw_faces(place / "faces", 60)
    write_pooling_onnx(place / "net.onnx", side=32, dim=64)
    (place / "net.json").write_text('{"channel_order": "RGB", "normalization": "ArcFace"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        assert faceprobe("index", place / "faces", "--dataset", "utkface", "-o", place / "faces.csv").code == 0
        yield place


@pytest.fixture(scope="module")
def int8(place):
    """Return what the commands said of a backbone in int8."""
    store, net = ("--store", place / "int8"), place / "net.onnx"
    head = ("--head", "linear", "--folds", 2, "--task", "age")
    said = {
        "extract": faceprobe("extract", place / "faces.csv", "--backbone", net, "--precision", "int8", *store),
        "again": faceprobe("extract", place / "faces", "--backbone", net, "--precision", "int8", *store),
        "compare": faceprobe(
            *("compare", place / "faces.csv", "--backbone", f"{net},precision=int8", *store, *head),
            *("--robustness", 5, "-o", place / "run"),
        ),
        "train": faceprobe(
            "train", place / "faces.csv", "--backbone", f"{net},precision=int8", *store, *head, "-o", place / "bundle"
        ),
    }
    for outcome in said.values():
        assert (outcome.code, outcome.err) == (0, ""), outcome
    return SimpleNamespace(**said)


def extract(place, store, *options):
    outcome = faceprobe(
        "extract", place / "faces", "--backbone", place / "net.onnx", "--store", place / store, *options
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return outcome.out


def test_store_that_one_runtime_filled_has_nothing_to_do_for_another(place):
    assert "60 embedded" in extract(place, "one", "--runtime", "openvino", "--shard", "1/1")
    for runtime in ("onnx", "auto"):
        assert "60 known" in extract(place, "one", "--runtime", runtime)
    (spec,) = open_store(place / "one").specs().values()
    assert spec.recorded["runtime"] == "openvino"


def test_worker_processes_use_the_runtime_that_was_chosen(place):
    assert "60 embedded" in extract(place, "workers", "--runtime", "auto", "--workers", 2)


def test_runtime_for_all_is_not_given_twice(place):
    twice = f"{place / 'net.onnx'},runtime=onnx"
    outcome = faceprobe("extract", place / "faces", "--backbone", twice, "--runtime", "auto", "--store", place / "no")
    assert outcome.code == 2
    assert "has a runtime of its own: leave it out here or there" in outcome.err


def test_int8_says_what_it_was_calibrated_on_and_how_near_it_is(int8):
    number = r"-?\d\.\d{4}"
    assert re.search(
        rf"net in int8 nncf [0-9a-f]{{16}}, calibrated on 36 images \([0-9a-f]{{16}}\); cosine to fp32 on 24 others, "
        rf"mean embedding subtracted: lowest {number}, mean {number}; as they are: lowest {number}, mean {number}",
        int8.extract.out,
    )
    assert "60 embedded" in int8.extract.out
    assert "60 known" in int8.again.out
    assert "net int8" in int8.compare.out


def test_int8_that_is_not_near_enough_is_refused(place, int8):
    asked = ("--precision", "int8", "--min-cosine", 0.9999999)
    outcome = faceprobe("extract", place / "faces", "--backbone", place / "net.onnx", *asked, "--store", place / "no")
    assert outcome.code == 2
    assert "net in int8 reaches cosines to fp32 of" in outcome.err
    assert not (place / "no").exists()


def test_bundle_on_int8_takes_its_model_along(place, int8, tmp_path, monkeypatch):
    scores = []
    for cache in (place / "cache", tmp_path / "another machine"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        outcome = faceprobe("score", place / "faces", "--bundle", place / "bundle", "-o", tmp_path / "scores.csv")
        assert (outcome.code, outcome.err) == (0, ""), outcome
        scores.append(pd.read_csv(tmp_path / "scores.csv"))
    pd.testing.assert_frame_equal(*scores)
    assert (place / "bundle" / "backbone.int8.zip").is_file()


def test_bundle_on_int8_refuses_fp32(place, int8, tmp_path):
    shutil.copytree(place / "bundle", tmp_path / "bundle")
    given = ("--backbone", place / "net.onnx", "-o", tmp_path / "scores.csv")
    outcome = faceprobe("score", place / "faces", "--bundle", tmp_path / "bundle", *given)
    assert outcome.code == 2
    assert "precision: fp32 given, the heads were trained on int8 nncf" in outcome.err


def test_auto_in_a_name_goes_on_with_the_runtime_that_began_the_store(place, monkeypatch):
    extract(place, "begun", "--runtime", "openvino", "--shard", "1/2")
    monkeypatch.setattr("embedder.backbone.fastest", lambda *_: pytest.fail("measured"))
    outcome = faceprobe(
        "extract", place / "faces", "--backbone", f"{place / 'net.onnx'},runtime=auto", "--store", place / "begun"
    )
    assert (outcome.code, outcome.err) == (0, "")
