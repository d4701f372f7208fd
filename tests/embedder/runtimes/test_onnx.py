"""ONNX Runtime on a GPU: which options it gets, and what is said where it cannot."""

import numpy as np
import pytest

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.runtimes.gpu import BATCH
from tests.fakes import write_mean_colour_onnx
from tests.gpus import NAME, Gpu

SETTINGS = ",channel_order=RGB,normalization=raw"


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """Return a GPU that does as told, and keep what is found out about it apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    gpu = Gpu()
    gpu.install(monkeypatch)
    return gpu


def faces(n):
    return list(np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), np.uint8))


def test_gpu_computes_as_exactly_as_the_cpu_and_takes_memory_as_it_needs_it(tmp_path, gpu):
    name = f"{write_mean_colour_onnx(tmp_path / 'm.onnx')}{SETTINGS}"
    with load_backbone(name) as backbone, load_backbone(f"{name},device=cpu") as reference:
        assert backbone.note == f"m runs on {NAME}"
        gpu.batches.clear()
        np.testing.assert_allclose(backbone.embed(faces(70)), reference.embed(faces(70)), rtol=1e-6)
        assert gpu.batches == [BATCH, BATCH]
        assert backbone.spec.fingerprint == reference.spec.fingerprint
        assert [each.spec.recorded["device"] for each in (backbone, reference)] == ["cuda", "cpu"]
        assert reference.note == ""
    assert gpu.asked == {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


def test_graph_of_one_batch_size_gets_that(tmp_path, gpu):
    name = f"{write_mean_colour_onnx(tmp_path / 'm.onnx', batch=3)}{SETTINGS}"
    with load_backbone(name) as backbone:
        gpu.batches.clear()
        assert backbone.embed(faces(7)).shape == (7, 3)
        assert gpu.batches == [3, 3, 3]


def test_cuda_that_is_not_found_is_an_error_only_if_it_was_asked_for(tmp_path, gpu):
    gpu.finds_cuda = False
    name = f"{write_mean_colour_onnx(tmp_path / 'm.onnx')}{SETTINGS}"
    told = "m cannot run on a GPU: onnxruntime-gpu does not find CUDA or cuDNN"
    with pytest.raises(BackboneError, match=f"{told}.*pip install 'onnxruntime-gpu"):
        load_backbone(f"{name},device=cuda")
    with load_backbone(name) as backbone:
        assert backbone.note.startswith(told)
        assert backbone.note.endswith(": the CPU takes its place")
        assert backbone.spec.recorded["device"] == "cpu"
