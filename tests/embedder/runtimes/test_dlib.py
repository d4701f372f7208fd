"""dlib computes on a GPU or on the CPU as it was compiled, so that one is held against rows that were kept."""

import importlib.util

import numpy as np
import pytest

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.runtimes.dlib import kept_reference
from embedder.selfcheck import check_pictures, fidelity
from tests.gpus import NAME, Driver

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("dlib"), reason="needs dlib")


@pytest.fixture
def compiled_with_cuda(tmp_path, monkeypatch):
    """Let dlib say that it is, beside a GPU."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("embedder.gpu._driver", Driver)
    monkeypatch.setattr("dlib.DLIB_USE_CUDA", True)


def test_kept_rows_are_what_dlib_gives_on_the_cpu():
    with load_backbone("Dlib,device=cpu", cores=1) as backbone:
        rows = backbone.embed(list(check_pictures((150, 150))[:8]))
    assert fidelity(rows, kept_reference()[:8]).lowest > 0.999999


def test_dlib_with_cuda_embeds_batches_in_this_process(compiled_with_cuda, monkeypatch):
    monkeypatch.setattr("embedder.runtimes.gpu.BATCH", 8)
    pictures, expected = check_pictures((150, 150))[:8], kept_reference()[:8]
    monkeypatch.setattr("embedder.start.check_pictures", lambda _: pictures)
    monkeypatch.setattr("embedder.runtimes.dlib.kept_reference", lambda: expected)
    monkeypatch.setattr("embedder.runtimes.dlib.start_processes", lambda *_: pytest.fail("started processes"))
    with load_backbone("Dlib") as backbone:
        assert backbone.note == f"Dlib runs on {NAME}"
        rows = backbone.embed(list(pictures))
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_dlib_with_cuda_that_differs_has_nothing_to_fall_back_on(compiled_with_cuda, monkeypatch):
    pictures = check_pictures((150, 150))[:4]
    monkeypatch.setattr("embedder.start.check_pictures", lambda _: pictures)
    monkeypatch.setattr("embedder.runtimes.dlib.kept_reference", lambda: kept_reference()[[1, 0, 3, 2]])
    monkeypatch.setattr("embedder.runtimes.gpu.BATCH", 4)
    with pytest.raises(
        BackboneError, match=r"Dlib in fp32 on Fake 9000, .* differs from the CPU .*; Dlib cannot run on"
    ):
        load_backbone("Dlib")


def test_dlib_with_cuda_cannot_do_without_a_gpu(compiled_with_cuda):
    told = "Dlib cannot run on the CPU: the installed dlib is compiled with CUDA .* pip install dlib-bin"
    with pytest.raises(BackboneError, match=told):
        load_backbone("Dlib,device=cpu")
