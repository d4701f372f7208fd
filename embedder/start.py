"""From a row of data to the runtime that executes it on this machine.

The reference is ONNX Runtime for .onnx files and TensorFlow for .h5 files. Another runtime takes its place once it has
shown, for these weights, on this machine and with these versions, that its embeddings are the reference's.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from data.files import sha256_of_file
from embedder.cache import recall, remember
from embedder.gpu import gpu_name, settle_device
from embedder.preprocess import Picture
from embedder.runtimes import dlib
from embedder.selfcheck import LOWEST, check_pictures, fidelity
from embedder.spec import AUTO, CPU, CUDA, EXECUTORS, BackboneSpec

FASTER = 1.05  # what another runtime must reach, the reference's speed being 1, to be worth its place
ROUNDS, FACES_PER_CORE = 3, 16  # of the measurement by which the fastest is chosen


class Runtime(Protocol):
    """Executes one graph on all the cores it was given."""

    def embed(self, faces: Picture) -> NDArray[Any]:
        """Faces (n, height, width[, 3]) uint8 to rows (n, *dim)."""

    def warm_up(self) -> None:
        """Do now what the first `embed` would do beside embedding, so that its time can be measured."""

    def close(self) -> None:
        """Free what it holds: threads, processes."""


class Started(NamedTuple):
    """A runtime that is ready.

    Attributes
    ----------
    spec : complete, with the executor that it runs on.
    library : that executes it, and its version.
    note : what the user should know, in a line; mostly "".
    """

    spec: BackboneSpec
    runtime: Runtime
    library: str
    note: str = ""


def start_runtime(spec: BackboneSpec, cores: int) -> Started:
    """Start the runtime that a row asks for where it asks for it, or the reference if that one's embeddings are others.

    Raises
    ------
    BackboneError : as the runtimes do; or embeddings in a lower precision, for which nothing can stand in, are not near
        those in fp32.
    """
    if spec.executor == AUTO:
        spec = replace(spec, executor=fastest(spec, cores))
    settled = settle_device(spec)
    if settled.device == CUDA:
        return _start_on_gpu(settled, cores, must=spec.device == CUDA)
    problem = _problem(settled, cores)
    if not problem:
        return _load(settled, cores)
    if spec.precision != "fp32":
        raise BackboneError(f"{problem}: leave out precision={spec.precision}")
    return _load(replace(settled, executor=""), cores)._replace(note=f"{problem}: {spec.runtime} takes its place")


def _start_on_gpu(spec: BackboneSpec, cores: int, *, must: bool) -> Started:
    """Start a reference on a GPU, or on the CPU if embeddings differ.

    Parameters
    ----------
    must : whether it is an error that the GPU is of no use, else a reason to take the CPU.
    """
    try:
        problem = _problem(spec, cores)
        if not problem:
            return _load(spec, cores)._replace(note=f"{spec.name} runs on {gpu_name()}")
    except Exception as error:  # noqa: BLE001  the libraries raise whatever they stumble over
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        problem = reason if isinstance(error, BackboneError) else f"{spec.name} cannot run on {gpu_name()}: {reason}"
        if must:
            raise BackboneError(problem) from None
    try:
        return _load(reference_of(spec), cores)._replace(note=f"{problem}: the CPU takes its place")
    except BackboneError as error:  # of dlib, which computes on one of the two; or it was not about the GPU at all
        raise BackboneError("; ".join(dict.fromkeys((problem, str(error))))) from None


def _load(spec: BackboneSpec, cores: int) -> Started:
    spec, runtime = _module(spec.runs_on).load(spec, cores)
    return Started(spec, runtime, _libraries(spec.runs_on)[0])


def reference_of(spec: BackboneSpec) -> BackboneSpec:
    """The row whose embeddings are the measure for another's."""
    return replace(spec, executor="", device=CPU, precision="fp32" if spec.executor else spec.precision)


def _problem(spec: BackboneSpec, cores: int) -> str:
    """What is wrong with a runtime in the reference's place, found out once; "" for one that is as good."""
    least = LOWEST.get(spec.precision) if spec.executor or spec.device == CUDA else None
    if least is None:
        return ""
    question = {"what": "lowest cosine to the reference, mean subtracted", **_circumstances(spec)}
    lowest = recall(question)
    if lowest is None:
        lowest = _lowest_cosine(spec, cores)
        remember(question, lowest)
    if lowest >= least:
        return ""
    by, other = (gpu_name(), "the CPU") if spec.device == CUDA else (spec.executor, spec.runtime)
    return (
        f"{spec.name} in {spec.precision} on {by} differs from {other} on this machine "
        f"(lowest cosine {lowest:.6f}, expected {least})"
    )


def _lowest_cosine(spec: BackboneSpec, cores: int) -> float:
    # the reference first: what it refuses is not tried
    reference = dlib.kept_reference() if spec.runtime == "dlib" else _check_rows(reference_of(spec), cores)
    return fidelity(_check_rows(spec, cores), reference).lowest


def _check_rows(spec: BackboneSpec, cores: int) -> NDArray[Any]:
    """What a runtime makes of the self-check's pictures."""
    started = _load(spec, cores)
    try:
        return started.runtime.embed(check_pictures(started.spec.input_size))
    finally:
        started.runtime.close()


def fastest(spec: BackboneSpec, cores: int) -> str:
    """The executor that is fastest here, by a short measurement that is remembered; "" for the reference.

    The reference is measured on a GPU where it would use one, and is the only one if it must.
    """
    others = [name for name in EXECUTORS.get(spec.runtime, ()) if importlib.util.find_spec(name)]
    if not others or spec.device == CUDA:
        return ""
    rows = [row for name in others if _is_fit(row := replace(spec, executor=name, device=CPU), cores)]
    if not rows:
        return ""
    own = settle_device(replace(spec, executor=""))
    question = {"what": "fastest executor", "cores": cores, "of": [_circumstances(row) for row in (own, *rows)]}
    if (known := recall(question)) is None:
        known = _measured([replace(spec, executor=""), *rows], cores)
        remember(question, known)
    return str(known)


def _is_fit(spec: BackboneSpec, cores: int) -> bool:
    """Whether a runtime can take the reference's place; where the reference itself fails, that is said later."""
    try:
        return not _problem(spec, cores)
    except BackboneError:
        return False


def _measured(rows: list[BackboneSpec], cores: int) -> str:
    """The executor of the fastest row; the first, the reference, unless another is clearly faster."""
    started = [start_runtime(row, cores) for row in rows]
    faces = np.concatenate([check_pictures(started[0].spec.input_size)] * max(1, cores * FACES_PER_CORE // 32))
    seconds: list[list[float]] = [[] for _ in rows]
    for each in started:
        each.runtime.warm_up()
    for _ in range(ROUNDS):
        for each, own in zip(started, seconds, strict=True):
            begun = time.perf_counter()
            each.runtime.embed(faces)
            own.append(time.perf_counter() - begun)
    for each in started:
        each.runtime.close()
    medians = [statistics.median(own) for own in seconds]
    best = min(range(len(rows)), key=medians.__getitem__)
    return rows[best].executor if medians[0] > FASTER * medians[best] else ""


def _circumstances(spec: BackboneSpec) -> dict[str, Any]:
    """All that decides what a runtime makes of a row of data."""
    on_gpu = {"gpu": gpu_name()} if spec.device == CUDA else {}
    return {
        **on_gpu,
        "weights": sha256_of_file(spec.weights) if spec.weights else None,
        "input": [spec.normalization, spec.channel_order, spec.layout, list(spec.input_size)],
        "executor": spec.executor,
        "precision": spec.precision,
        "versions": [*dict.fromkeys(_libraries(spec.runtime) + _libraries(spec.runs_on))],
        "machine": processor(),
    }


def _libraries(runtime: str) -> list[str]:
    """Which packages a runtime consists of here, with their versions; the first one is what people call it by."""
    names, found = _module(runtime).LIBRARIES, []
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found or [names[0]]  # built by hand, under another name


def _module(runtime: str) -> Any:
    return importlib.import_module(f"embedder.runtimes.{runtime}")


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
