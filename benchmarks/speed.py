"""Images/s of `faceprobe extract` by runtime and precision, beside the bare libraries and deepface, paired in one run.

python -m benchmarks.speed [--images 256] [--rounds 5] [--networks MobileFaceNet ArcFace Facenet] [--tensorflow 16]

Every contestant is a process of its own, which loads once and then embeds the same images whenever it is its turn, all
of them once per round; so a machine that slows down slows all. ArcFace and Facenet have weights drawn at random, the
same for all: speed does not depend on what they have learned. Prints Markdown and writes runs/speed.csv, and
docs/images/speed.svg with --plot.

    sgemm           NumPy's product of matrices (fp32), as many multiplications as the images take in the network
    bare ...        the library itself on batches that are decoded, cropped and normalised beforehand, in its best way
    extract ...     the whole job: read, hash, decode, crop, embed and write into a new store
    deepface ...    `DeepFace.represent` on one file after the other, or on a list of all files
"""

import argparse
import datetime
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.seeded_onnx import seeded_onnx
from data.images import scan_images
from embedder.backbone import load_backbone, usable_cores
from embedder.extract import extract
from embedder.preprocess import decode
from embedder.quantize import require_int8
from embedder.resolve import resolve_backbone
from embedder.runtimes.graph import BATCH, graph_input
from embedder.seeded import seeded_weights
from embedder.spec import BACKBONES, BackboneSpec
from embedder.start import processor
from embedder.store import open_store

SHARED = Path(__file__).resolve().parents[2] / "shared"
SGEMM = "sgemm"
CONTESTANTS = (
    SGEMM,
    "bare ONNX Runtime",
    "bare OpenVINO",
    "bare OpenVINO int8",
    "extract onnx",
    "extract openvino",
    "extract fp16",
    "extract int8",
    "deepface ONNX",
    "deepface ONNX list",
    "deepface TensorFlow",
    "deepface TensorFlow list",
)
SETTINGS = {"onnx": "runtime=onnx", "openvino": "runtime=openvino", "fp16": "precision=fp16", "int8": "precision=int8"}
MATRIX = 1024  # rows and columns of sgemm's matrices

Job = Callable[[], object]


def main() -> None:
    """Run all contestants in turns, round by round, and print what they reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--tensorflow", type=int, default=16, help="images of deepface's TensorFlow loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=SHARED / "utkface")
    parser.add_argument("--networks", nargs="+", default=["MobileFaceNet", "ArcFace", "Facenet"])
    parser.add_argument("--plot", action="store_true")
    parser.add_argument("--contestant", nargs=2, metavar=("NETWORK", "NAME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contestant:
        network, name = given.contestant
        take_turns(network, name, given.folder, given.images)
        return
    found = pd.concat([measure(network, given) for network in given.networks], ignore_index=True)
    Path("runs").mkdir(exist_ok=True)
    found.to_csv("runs/speed.csv", index=False)
    machine = f"{processor()}, {usable_cores()} cores, {datetime.date.today()}"
    print(f"\n{machine}; {given.images} images, {given.rounds} rounds, medians (lowest to highest)\n")
    print_table(found)
    if given.plot:
        from benchmarks.plots import bars

        bars(found, Path("docs/images/speed.svg"), title=machine, spread_of=spread_of)


def measure(network: str, given: argparse.Namespace) -> pd.DataFrame:
    """Images/s of every contestant and round, for one network: columns network, contestant, round, speed."""
    prepare(network, given.folder)
    names = [name for name in CONTESTANTS if network != "MobileFaceNet" or not name.startswith("deepface")]
    counts = {name: given.tensorflow if "TensorFlow" in name else given.images for name in names}
    rows = []
    processes = {name: start(network, name, given.folder, n) for name, n in counts.items()}
    for number in range(given.rounds + 1):  # the first is to warm up
        for name, process in processes.items():
            seconds = take_turn(process)
            if number:
                rows.append((network, name, number, counts[name] / seconds))
    for process in processes.values():
        process.communicate()
    return pd.DataFrame(rows, columns=["network", "contestant", "round", "speed"])


def start(network: str, name: str, folder: Path, n: int) -> "subprocess.Popen[str]":
    """A contestant's process, which has loaded."""
    words = [sys.executable, "-m", "benchmarks.speed", "--contestant", network, name]
    words += ["--folder", str(folder), "--images", str(n)]
    environment = dict(os.environ)
    if name.startswith("deepface"):
        engine = name.split()[1].lower()
        environment |= {"DEEPFACE_BACKEND_ENGINE": engine, "DEEPFACE_HOME": str(deepface_home(network))}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, env=environment, text=True, **pipes)


def take_turn(process: "subprocess.Popen[str]") -> float:
    """Let a contestant embed all images once; return its seconds."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("expected a process with pipes")
    process.stdin.write("go\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("seconds "):
            return float(line.split()[1])
    raise SystemExit(f"{process.args!r} ended: run it by itself to see why")


def take_turns(network: str, name: str, folder: Path, n: int) -> None:
    """Be a contestant: load, then run once for every line of standard input."""
    images = first_images(folder, n)
    job = make_job(network, name, images)
    for _ in sys.stdin:
        started = time.perf_counter()
        job()
        print("seconds", time.perf_counter() - started, flush=True)


def first_images(folder: Path, n: int) -> pd.DataFrame:
    """Every k-th image of a folder, n of them."""
    names = list(scan_images(folder))
    names = names[:: max(1, len(names) // n)][:n]
    return pd.DataFrame({"image_id": names, "path": [str(folder / name) for name in names]})


def model_name(network: str, settings: str) -> str:
    """A network as `load_backbone` takes it."""
    if network == "MobileFaceNet":
        return f"{SHARED / 'weights' / 'mobilefacenet_arcface.onnx'},{settings}"
    return f"{network},weights={seeded_onnx(network)},{settings}"


def prepare(network: str, folder: Path) -> None:
    """Make once what contestants share: the .onnx file and the model in int8."""
    row = resolve_backbone(model_name(network, SETTINGS["int8"]))
    require_int8(row, first_images(folder, 500), min_cosine=-1)
    for settings in SETTINGS.values():
        load_backbone(model_name(network, settings)).close()


def deepface_home(network: str) -> Path:
    """A folder in which deepface finds the same weights under its own names."""
    home = seeded_onnx(network).parent / network
    weights = home / ".deepface" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    drawn = seeded_weights(BACKBONES[network], 0)
    for source, ending in ((seeded_onnx(network), ".onnx"), (drawn, ".h5")):
        target = weights / f"{network.lower()}_weights{ending}"
        if not target.exists():
            target.symlink_to(source)
    return home


def make_job(network: str, name: str, images: pd.DataFrame) -> Job:
    """What a contestant does in its turn."""
    kind, _, rest = name.partition(" ")
    if kind == "deepface":
        return deepface_job(network, [*images["path"]], as_list=rest.endswith("list"))
    if kind == SGEMM:
        return sgemm_job(len(images) * flops(resolve_backbone(model_name(network, SETTINGS["onnx"]))))
    if kind == "extract":
        return extract_job(model_name(network, SETTINGS[rest]), images)
    batches = preload(model_name(network, "runtime=onnx"), images)
    spec = resolve_backbone(model_name(network, SETTINGS["int8" if rest.endswith("int8") else "onnx"]))
    return onnx_job(spec, batches) if rest == "ONNX Runtime" else openvino_job(spec, batches)


def deepface_job(network: str, paths: list[str], *, as_list: bool) -> Job:
    """deepface's own way, with the normalization that the network's row has."""
    from deepface import DeepFace

    normalization = {"ArcFace": "ArcFace", "Facenet": "Facenet2018"}[network]
    settings = {"model_name": network, "detector_backend": "skip", "normalization": normalization}
    return lambda: [DeepFace.represent(each, **settings) for each in ([paths] if as_list else paths)]


def flops(spec: BackboneSpec) -> int:
    """Multiplications and additions of one image, in convolutions and products of matrices."""
    from embedder.ov import openvino

    model, total = openvino.Core().read_model(spec.weights), 0
    model.reshape({model.input(0): [1, *[side.get_length() for side in [*model.input(0).partial_shape][1:]]]})
    for op in model.get_ordered_ops():
        kind, given = op.get_type_name(), [[*each.get_shape()] for each in op.inputs()]
        summed = {"Convolution": 1, "GroupConvolution": 2, "MatMul": 0}.get(kind)  # sides before those summed over
        if summed is not None:
            sides = given[0][1:] if kind == "MatMul" else given[1][summed:]
            total += 2 * math.prod(op.output(0).shape) * math.prod(sides)
    return total


def sgemm_job(operations: int) -> Job:
    """So many operations in products of square matrices, by NumPy's BLAS on all cores."""
    rng = np.random.default_rng(0)
    one, other = (rng.random((MATRIX, MATRIX), np.float32) for _ in range(2))
    out = np.empty_like(one)
    times = max(1, round(operations / (2 * MATRIX**3)))
    return lambda: [np.matmul(one, other, out=out) for _ in range(times)]


def extract_job(name: str, images: pd.DataFrame) -> Job:
    """The whole job into a store that is thrown away."""
    backbone = load_backbone(name)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract(images, [backbone], open_store(Path(folder) / "store", create=True))

    return run


def preload(name: str, images: pd.DataFrame) -> list[np.ndarray]:
    """Batches as the network takes them: all that a bare library needs not do."""
    with load_backbone(name) as backbone:
        faces = np.stack([backbone.crop(decode(Path(path).read_bytes())) for path in images["path"]])
        held = backbone.spec
        inputs = graph_input(replace(resolve_backbone(name), layout=held.recorded["layout"]), faces)
    return [inputs[start : start + BATCH] for start in range(0, len(inputs) - BATCH + 1, BATCH)]


def onnx_job(spec: Any, batches: list[np.ndarray]) -> Job:
    """ONNX Runtime on preloaded batches, one call of one thread per core: the best of its arrangements."""
    from embedder.ort import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(spec.weights, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pool = ThreadPoolExecutor(usable_cores())
    return lambda: list(pool.map(lambda batch: session.run(None, {name: batch}), batches))


def openvino_job(spec: Any, batches: list[np.ndarray]) -> Job:
    """OpenVINO on preloaded batches, by its own queue of requests and its own hint for throughput."""
    from embedder.int8 import read_int8
    from embedder.ov import openvino

    core = openvino.Core()
    if spec.precision == "int8":
        held = read_int8(spec)
        model = core.read_model(held.xml, held.weights)
    else:
        model = core.read_model(spec.weights)
    model.reshape({model.input(0): batches[0].shape})
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", options))

    def run() -> None:
        for batch in batches:
            queue.start_async({0: batch}, share_inputs=True)
        queue.wait_all()

    return run


def spread_of(speeds: np.ndarray) -> str:
    """The median, lowest and highest of images/s, in three digits or so."""
    digits = 0 if np.median(speeds) >= 100 else 1
    return f"{np.median(speeds):.{digits}f} ({speeds.min():.{digits}f} to {speeds.max():.{digits}f})"


def print_table(found: pd.DataFrame) -> None:
    """Markdown: images/s, and the median share of others in a round; of bare OpenVINO's int8 for int8."""
    print(
        "| network | way | images/s | of bare ONNX Runtime | of bare OpenVINO | of sgemm |\n|---|---|---|---|---|---|"
    )
    for network in found["network"].unique():
        rows = found[found["network"] == network]
        speeds = {name: rows["speed"][rows["contestant"] == name].to_numpy() for name in rows["contestant"].unique()}
        for name, own in speeds.items():
            bare = "bare OpenVINO int8" if name.endswith("int8") else "bare OpenVINO"
            shares = [float(np.median(own / speeds[other])) for other in ("bare ONNX Runtime", bare, SGEMM)]
            print(f"| {network} | {name} | {spread_of(own)} | {' | '.join(f'{share:.2f}' for share in shares)} |")


if __name__ == "__main__":
    main()
