"""How near `extract` comes to the bare network, and whether its memory grows with the number of images.

python -m benchmarks.extract [IMAGES] [MODEL.onnx]

Speed: images/s of a bare ONNX Runtime session on preloaded batches (in its best of several arrangements) and of
`extract` into a new store, from the same files, in turns within one run; medians over the rounds. Memory: the peak of
`faceprobe extract` in a process of its own over 2,000 and over 7,000 images.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from data.images import scan_images
from embedder.backbone import Backbone, load_backbone, usable_cores
from embedder.extract import extract
from embedder.ort import onnxruntime
from embedder.preprocess import decode, normalize
from embedder.store import open_store

SHARED = Path(__file__).resolve().parents[2] / "shared"
ROUNDS, IMAGES = 5, 1024


def main(folder: Path, model: Path) -> None:
    """Print both tables."""
    images = pd.DataFrame({"image_id": scan_images(folder)})
    images["path"] = [str(folder / name) for name in images["image_id"]]
    measure_speed(images.head(IMAGES), model)
    measure_memory(images, model)


def measure_speed(images: pd.DataFrame, model: Path) -> None:
    """Run every contestant once per round and print medians and ratios."""
    backbone = load_backbone(str(model))
    batches = preload(images, backbone)
    cores = usable_cores()
    contestants: dict[str, Callable[[], None]] = {
        "bare session, 1 caller of 1 thread": partial(run_bare, model, batches),
        f"bare session, {cores} callers of 1 thread": partial(run_bare, model, batches, callers=cores),
        f"bare session, 1 caller of {cores} threads": partial(run_bare, model, batches, threads=cores),
        "faceprobe extract": partial(run_extract, images, backbone),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            speeds[name].append(len(images) / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    best = max(value for name, value in medians.items() if name.startswith("bare"))
    print(f"{len(images)} images, {cores} cores, batches of 4, median of {ROUNDS} rounds")
    for name, values in speeds.items():
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name:45} {medians[name]:6.0f} images/s ({spread})  {medians[name] / best:5.2f} of the best bare one")


def preload(images: pd.DataFrame, backbone: Backbone) -> list[np.ndarray]:
    """Decoded, cropped and normalised batches of 4: all that a bare session needs not do."""
    faces = np.stack([backbone.crop(decode(Path(path).read_bytes())) for path in images["path"]])
    inputs = normalize(faces, normalization=backbone.spec.normalization, channel_order="RGB", layout="NCHW")
    return [inputs[start : start + 4] for start in range(0, len(inputs), 4)]


def run_bare(model: Path, batches: list[np.ndarray], *, callers: int = 1, threads: int = 1) -> None:
    """Embed preloaded batches and drop the result."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda batch: session.run(None, {name: batch}), batches))


def run_extract(images: pd.DataFrame, backbone: Backbone) -> None:
    """The whole job into a store that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        extract(images, [backbone], open_store(Path(folder) / "store", create=True))


def measure_memory(images: pd.DataFrame, model: Path) -> None:
    """Peak resident memory of the command over 2,000 and 7,000 images."""
    peaks = {}
    for n in (2000, 7000):
        with tempfile.TemporaryDirectory() as folder:
            manifest = Path(folder) / "manifest.csv"
            images.head(n).to_csv(manifest, index=False)
            command = [sys.executable, "run_pipeline.py", "extract", str(manifest), "--max-failures", "9"]
            command += ["--backbone", str(model), "--store", str(Path(folder) / "store")]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, _, usage = os.wait4(process.pid, 0)
            peaks[n] = usage.ru_maxrss / 1024
        print(f"peak memory over {n:,} images: {peaks[n]:.0f} MB")
    print(f"ratio: {peaks[7000] / peaks[2000]:.3f}")


if __name__ == "__main__":
    given = [Path(argument).absolute() for argument in sys.argv[1:]]
    main(*(given + [SHARED / "utkface", SHARED / "weights" / "mobilefacenet_arcface.onnx"][len(given) :]))
