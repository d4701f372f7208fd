"""A runtime takes the reference's place only where its embeddings are the reference's; the fastest is chosen once."""

import importlib
import importlib.metadata
import importlib.util

import numpy as np
import pytest

from data.errors import BackboneError
from embedder import start
from embedder.backbone import load_backbone, settle_runtime
from embedder.runtimes import openvino
from embedder.runtimes.graph import GraphRuntime
from tests.fakes import write_pooling_onnx
from tests.gpus import NAME, Driver, Gpu

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="needs openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what is found out about runtimes apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def name(tmp_path):
    """Return the name of a small backbone, whose embeddings differ with the picture."""
    return f"{write_pooling_onnx(tmp_path / 'net.onnx', side=32, dim=64)},channel_order=RGB,normalization=ArcFace"


@pytest.fixture
def loads(monkeypatch):
    """Return the executors that were loaded, in order; "" is the reference."""
    loaded = []
    own = start._load
    monkeypatch.setattr(start, "_load", lambda spec, cores: (loaded.append(spec.executor), own(spec, cores))[1])
    return loaded


@pytest.fixture
def wrong(monkeypatch):
    """Let OpenVINO give embeddings that are a little off, by a share of each number, and count its loads."""
    own = openvino._compiled
    off = np.random.default_rng(0).normal(size=64).astype(np.float32)

    def compiled(*args, **kwargs):
        run = own(*args, **kwargs)
        return lambda inputs: run(inputs) * (1 + 0.02 * off)

    monkeypatch.setattr(openvino, "_compiled", compiled)


def faces(n=5):
    return list(np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8))


def test_wrong_runtime_is_found_out_and_the_reference_takes_its_place(name, wrong):
    with load_backbone(name) as reference, load_backbone(f"{name},runtime=openvino") as backbone:
        assert backbone.spec.recorded["runtime"] == "onnx"
        assert backbone.note.startswith("net in fp32 on openvino differs from onnx on this machine (lowest cosine 0.99")
        assert backbone.note.endswith("expected 0.99999): onnx takes its place")
        np.testing.assert_array_equal(backbone.embed(faces()), reference.embed(faces()))


@pytest.mark.parametrize("runtime", ["openvino", "auto"])
def test_what_was_found_out_is_remembered(name, wrong, loads, runtime):
    load_backbone(f"{name},runtime={runtime}").close()
    assert "openvino" in loads
    loads.clear()
    with load_backbone(f"{name},runtime={runtime}") as backbone:
        assert loads == [""]
        assert backbone.note.endswith("takes its place") == (runtime == "openvino")


def test_other_version_is_checked_again(name, loads, monkeypatch):
    load_backbone(f"{name},runtime=openvino").close()
    assert loads == ["", "openvino", "openvino"]
    monkeypatch.setattr(importlib.metadata, "version", lambda library: "9.9")
    load_backbone(f"{name},runtime=openvino").close()
    assert loads == ["", "openvino", "openvino"] * 2


def test_runtime_that_gives_no_numbers_is_not_used(name, monkeypatch):
    own = openvino._compiled
    monkeypatch.setattr(openvino, "_compiled", lambda *a, **k: lambda inputs: own(*a, **k)(inputs) * np.float32("nan"))
    assert load_backbone(f"{name},runtime=openvino").spec.recorded["runtime"] == "onnx"


def test_lower_precision_that_is_wrong_is_refused_as_nothing_can_stand_in(name, wrong, monkeypatch):
    monkeypatch.setitem(start.LOWEST, "fp16", 0.9999)
    with pytest.raises(BackboneError, match=r"net in fp16 on openvino differs .*: leave out precision=fp16"):
        load_backbone(f"{name},precision=fp16")


@pytest.mark.parametrize(("slow", "expected"), [("onnx", "openvino"), ("openvino", "onnx")])
def test_auto_takes_the_fastest(name, monkeypatch, slow, expected):
    own = GraphRuntime.embed

    def embed(self, faces):
        for _ in range(20 if self._spec.runs_on == slow else 1):
            rows = own(self, faces)
        return rows

    monkeypatch.setattr(GraphRuntime, "embed", embed)
    assert load_backbone(f"{name},runtime=auto").spec.recorded["runtime"] == expected


def test_auto_without_another_runtime_is_the_reference(name, monkeypatch):
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    assert load_backbone(f"{name},runtime=auto").spec.recorded["runtime"] == "onnx"


@pytest.mark.parametrize("begun", ["onnx", "openvino"])
def test_auto_goes_on_with_the_runtime_that_began_a_store(name, monkeypatch, begun):
    spec = load_backbone(f"{name},runtime={begun}").spec
    monkeypatch.setattr("embedder.backbone.fastest", lambda *_: pytest.fail("measured"))
    assert settle_runtime(f"{name},runtime=auto,flip=no", {spec.fingerprint: spec}).endswith(f"{begun},flip=no")


def test_auto_chooses_for_a_store_that_holds_something_else(name, monkeypatch):
    spec = load_backbone(f"{name},runtime=onnx,flip=yes").spec
    monkeypatch.setattr("embedder.backbone.fastest", lambda *_: "openvino")
    assert settle_runtime(f"{name},runtime=auto", {spec.fingerprint: spec}) == f"{name},runtime=openvino"


def test_runtime_that_is_named_stays(name):
    assert settle_runtime(f"{name},runtime=onnx", {}) == f"{name},runtime=onnx"
    assert settle_runtime(name, {}) == name


def test_cache_that_cannot_be_written_is_no_obstacle(name, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_backbone(f"{name},runtime=openvino").spec.recorded["runtime"] == "openvino"


@pytest.fixture
def gpu(monkeypatch):
    """Return a GPU that does as told."""
    gpu = Gpu()
    gpu.install(monkeypatch)
    return gpu


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_wrong_gpu_is_found_out_and_the_cpu_takes_its_place(name, gpu, device):
    gpu.off = 0.02
    with load_backbone(f"{name},device=cpu") as reference, load_backbone(f"{name},device={device}") as backbone:
        assert backbone.note.startswith(
            f"net in fp32 on {NAME} differs from the CPU on this machine (lowest cosine 0.99"
        )
        assert backbone.note.endswith("expected 0.99999): the CPU takes its place")
        assert backbone.spec.recorded["device"] == "cpu"
        np.testing.assert_array_equal(backbone.embed(faces()), reference.embed(faces()))


def test_gpu_is_checked_once_and_another_one_again(name, gpu, monkeypatch):
    def checked():
        gpu.batches.clear()
        load_backbone(name).close()
        return gpu.batches != [1]  # the grey picture that every graph is tried with

    assert [checked(), checked()] == [True, False]
    monkeypatch.setattr(Driver, "cuDeviceGetName", lambda *_: 0)
    assert [checked(), checked()] == [True, False]


def test_gpu_whose_memory_is_full_is_not_used_unless_it_must_be(name, gpu):
    gpu.holds = 0
    with load_backbone(name) as backbone:
        assert "Failed to allocate memory" in backbone.note
        assert backbone.note.endswith("the CPU takes its place")
    with pytest.raises(BackboneError, match=r"net cannot be run: .*Failed to allocate memory"):
        load_backbone(f"{name},device=cuda")


def test_error_of_a_library_while_a_gpu_is_checked_is_no_end(name, gpu, monkeypatch):
    monkeypatch.setattr("embedder.runtimes.gpu.GpuRuntime.embed", lambda *_: 1 / 0)
    with load_backbone(name) as backbone:
        assert backbone.note == f"net cannot run on {NAME}: division by zero: the CPU takes its place"
    with pytest.raises(BackboneError, match=f"net cannot run on {NAME}: division by zero"):
        load_backbone(f"{name},device=cuda")


@pytest.mark.parametrize(("slow", "expected"), [("gpu.GpuRuntime", "openvino"), ("graph.GraphRuntime", "onnx")])
def test_auto_measures_the_gpu_against_what_the_cpu_can(name, gpu, monkeypatch, slow, expected):
    path, _, kind = slow.partition(".")
    slowed = getattr(importlib.import_module(f"embedder.runtimes.{path}"), kind)
    own = slowed.embed

    def embed(self, faces):
        for _ in range(20):
            rows = own(self, faces)
        return rows

    monkeypatch.setattr(slowed, "embed", embed)
    spec = load_backbone(f"{name},runtime=auto").spec
    assert (spec.recorded["runtime"], spec.recorded["device"]) == (expected, "cuda" if expected == "onnx" else "cpu")


@pytest.mark.parametrize("begun", ["onnx", "openvino"])
def test_auto_on_a_gpu_is_what_can_use_it(name, gpu, monkeypatch, begun):
    spec = load_backbone(f"{name},runtime={begun}").spec
    monkeypatch.setattr(start, "_measured", lambda *_: pytest.fail("measured"))
    held = {spec.fingerprint: spec}
    assert settle_runtime(f"{name},runtime=auto,device=cuda", held).endswith(",runtime=onnx,device=cuda")
    assert load_backbone(f"{name},runtime=auto,device=cuda").spec.recorded["device"] == "cuda"
