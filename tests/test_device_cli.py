"""A GPU on the command line: chosen, refused, and a job that goes on when its memory ends."""

import logging

import numpy as np
import pytest

from embedder.runtimes.gpu import BATCH
from embedder.store import open_store
from heads.bundle import Bundle, save_bundle
from heads.net import Layer, Net
from tests.cli import faceprobe
from tests.fakes import write_pooling_onnx
from tests.gpus import NAME, Gpu
from tests.heads.faces import GENDER

IMAGES = 90


@pytest.fixture(scope="module")
def place(tmp_path_factory, draw_image):
    """Return a folder with pictures, a backbone, a store that the CPU filled, and a bundle."""
    place = tmp_path_factory.mktemp("devices")
    for number in range(IMAGES):
        draw_image(place / "faces" / f"{number}.png", seed=number)
    write_pooling_onnx(place / "net.onnx", side=32, dim=64)
    (place / "net.json").write_text('{"channel_order": "RGB", "normalization": "ArcFace"}')
    outcome = extract(place, place / "cpu", "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, ""), outcome
    weights = np.random.default_rng(0).normal(0, 0.1, (1, 64, 2)).astype(np.float32)
    head = Net((), {"gender": Layer(weights, np.zeros((1, 2), np.float32), "softmax")})
    spec, _ = vectors(place / "cpu")
    save_bundle(Bundle(spec, (GENDER,), (head,), {}, backbone_file=place / "net.onnx"), place / "bundle", card="")
    return place


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """Return a GPU that does as told."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("embedder.engine.usable_cores", lambda: 1)  # blocks of 64 images
    gpu = Gpu()
    gpu.install(monkeypatch)
    return gpu


def extract(place, store, *options, backbone="net.onnx"):
    return faceprobe("extract", place / "faces", "--backbone", place / backbone, "--store", store, *options)


def vectors(store):
    """Return the spec of the one backbone in a store, and its vectors in the order of their contents."""
    store = open_store(store)
    (spec,) = store.specs().values()
    rows = store.rows(spec.fingerprint).sort_values("sha256")
    return spec, store.vectors(spec.fingerprint, rows)


def test_gpu_is_used_said_and_recorded(place, gpu, tmp_path):
    outcome = extract(place, tmp_path / "store")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"net runs on {NAME}\n")
    assert f"{IMAGES} embedded" in outcome.out
    spec, rows = vectors(tmp_path / "store")
    assert spec.recorded["device"] == "cuda"
    np.testing.assert_allclose(rows, vectors(place / "cpu")[1], rtol=1e-5)


def test_store_that_the_cpu_filled_has_nothing_to_do_for_a_gpu(place, gpu):
    outcome = extract(place, place / "cpu", "--device", "cuda")
    assert f"{IMAGES} known" in outcome.out


def test_cpu_that_was_asked_for_leaves_the_gpu_alone(place, gpu, tmp_path):
    outcome = extract(place, tmp_path / "store", "--device", "cpu")
    assert NAME not in outcome.out
    assert gpu.batches == []


def test_job_goes_on_with_smaller_batches_when_memory_ends(place, gpu, tmp_path, caplog, monkeypatch):
    extract(place, tmp_path / "first")
    gpu.holds = 20
    gpu.batches.clear()
    with caplog.at_level(logging.WARNING):
        outcome = extract(place, tmp_path / "store", "--device", "cuda")
    assert (outcome.code, set(gpu.batches)) == (0, {1, 16})
    assert [each.partition("hold ")[2] for each in caplog.messages] == [
        "64 faces, so 32 at a time",
        "32 faces, so 16 at a time",
    ]
    gpu.holds = BATCH
    monkeypatch.setattr("embedder.runtimes.gpu.BATCH", 16)
    extract(place, tmp_path / "from 16")
    np.testing.assert_array_equal(vectors(tmp_path / "store")[1], vectors(tmp_path / "from 16")[1])
    assert len(vectors(tmp_path / "store")[1]) == IMAGES


def test_memory_that_another_program_takes_ends_the_job_but_not_what_was_done(place, gpu, tmp_path):
    extract(place, tmp_path / "first")
    gpu.batches.clear()
    gpu.until = 3  # the grey picture, one to warm up, and the first block
    outcome = extract(place, tmp_path / "store")
    assert outcome.code == 2
    assert "net: the GPU's memory does not hold a batch of 1 face: end what else uses it" in outcome.err
    assert len(vectors(tmp_path / "store")[1]) == BATCH
    assert f"{IMAGES - BATCH} embedded" in extract(place, tmp_path / "store", "--device", "cpu").out


def test_scores_say_where_they_were_made_and_are_the_same(place, gpu, tmp_path):
    for device in ("cuda", "cpu"):
        given = ("--bundle", place / "bundle", "--device", device, "-o", tmp_path / f"{device}.jsonl")
        outcome = faceprobe("score", place / "faces", *given)
        assert (outcome.code, outcome.err) == (0, f"net runs on {NAME}\n" if device == "cuda" else "")
    assert gpu.batches
    assert (tmp_path / "cuda.jsonl").read_text() == (tmp_path / "cpu.jsonl").read_text()


@pytest.mark.parametrize("command", ["extract", "score"])
def test_gpu_that_is_not_there_is_refused_before_the_work(place, tmp_path, monkeypatch, command):
    monkeypatch.setattr("embedder.gpu._driver", lambda: None)
    given = {
        "extract": ("--backbone", place / "net.onnx", "--store", tmp_path / "made"),
        "score": ("--bundle", place / "bundle", "-o", tmp_path / "made.csv"),
    }
    outcome = faceprobe(command, place / "faces", *given[command], "--device", "cuda")
    assert outcome.code == 2
    assert outcome.err.startswith("faceprobe: net cannot run on a GPU: the installed onnxruntime has no CUDA")
    assert outcome.err.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("given", ["--runtime=openvino", "--precision=int8", "--precision=fp16"])
def test_openvino_is_refused_on_a_gpu(place, gpu, tmp_path, given):
    outcome = extract(place, tmp_path / "store", given, "--device", "cuda")
    assert outcome.code == 2
    assert "device of net must be auto or cpu, found cuda: openvino computes on the CPU alone here" in outcome.err
    assert gpu.batches == []
