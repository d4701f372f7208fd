"""From a row of data to the runtime that executes it on this machine.

The reference is ONNX Runtime for .onnx files and TensorFlow for .h5 files. Another runtime takes its place once it has
shown, for these weights, on this machine and with these versions, that its embeddings are the reference's.
"""

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
from embedder.preprocess import Picture
from embedder.selfcheck import LOWEST, check_pictures, fidelity
from embedder.spec import AUTO, EXECUTORS, BackboneSpec

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
    """Start the runtime that a row asks for, or the reference where that one's embeddings are others.

    Raises
    ------
    BackboneError : as the runtimes do; or embeddings in a lower precision, for which nothing can stand in, are not near
        those in fp32.
    """
    if spec.executor == AUTO:
        spec = replace(spec, executor=fastest(spec, cores))
    problem = _problem(spec, cores)
    if not problem:
        return _load(spec, cores)
    if spec.precision != "fp32":
        raise BackboneError(f"{problem}: leave out precision={spec.precision}")
    return _load(replace(spec, executor=""), cores)._replace(note=f"{problem}: {spec.runtime} takes its place")


def _load(spec: BackboneSpec, cores: int) -> Started:
    module = importlib.import_module(f"embedder.runtimes.{spec.runs_on}")
    spec, runtime = module.load(spec, cores)
    return Started(spec, runtime, f"{module.LIBRARY} {importlib.metadata.version(module.LIBRARY)}")


def reference_of(spec: BackboneSpec) -> BackboneSpec:
    """The row whose embeddings are the measure for another's."""
    return replace(spec, executor="", precision="fp32" if spec.executor else spec.precision)


def _problem(spec: BackboneSpec, cores: int) -> str:
    """What is wrong with a runtime in the reference's place, found out once; "" for one that is as good."""
    least = LOWEST.get(spec.precision) if spec.executor else None
    if least is None:
        return ""
    question = {"what": "lowest cosine to the reference, mean subtracted", **_circumstances(spec)}
    lowest = recall(question)
    if lowest is None:
        lowest = _lowest_cosine(spec, cores)
        remember(question, lowest)
    if lowest >= least:
        return ""
    return (
        f"{spec.name} in {spec.precision} on {spec.executor} differs from {spec.runtime} on this machine "
        f"(lowest cosine {lowest:.6f}, expected {least})"
    )


def _lowest_cosine(spec: BackboneSpec, cores: int) -> float:
    rows = []
    for each in (reference_of(spec), spec):  # the reference first: what it refuses is not tried
        started = _load(each, cores)
        rows.append(started.runtime.embed(check_pictures(started.spec.input_size)))
        started.runtime.close()
    return fidelity(rows[1], rows[0]).lowest


def fastest(spec: BackboneSpec, cores: int) -> str:
    """The executor that is fastest here, by a short measurement that is remembered; "" for the reference."""
    others = [name for name in EXECUTORS.get(spec.runtime, ()) if importlib.util.find_spec(name)]
    rows = [row for name in others if _is_fit(row := replace(spec, executor=name), cores)]
    if not rows:
        return ""
    question = {"what": "fastest executor", "cores": cores, "of": [_circumstances(row) for row in rows]}
    if (known := recall(question)) is None:
        known = _measured([reference_of(spec), *rows], cores)
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
    started = [_load(row, cores) for row in rows]
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
    libraries = [importlib.import_module(f"embedder.runtimes.{name}").LIBRARY for name in (spec.runtime, spec.runs_on)]
    return {
        "weights": sha256_of_file(spec.weights) if spec.weights else None,
        "input": [spec.normalization, spec.channel_order, spec.layout, list(spec.input_size)],
        "executor": spec.executor,
        "precision": spec.precision,
        "versions": {name: _version(name) for name in libraries},
        "machine": processor(),
    }


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
