"""What a long job costs: memory over many images, the time to see that nothing is new, and what workers gain.

python -m benchmarks.jobs [--images 100000] [--folder IMAGES] [--backbone MODEL.onnx]

The files are those of IMAGES again and again: every second one a hard link, which is a copy to be recognised, the
others with some bytes at their end, so that each is a new content to be embedded.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from data.images import scan_images
from embedder.backbone import usable_cores

SHARED = Path(__file__).resolve().parents[2] / "shared"
FEW = 2000


class Run(NamedTuple):
    """What a command took: seconds, and the peak of its memory in MB."""

    seconds: float
    peak: float


def main() -> None:
    """Print everything, one line at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=SHARED / "utkface")
    parser.add_argument("--backbone", type=Path, default=SHARED / "weights" / "mobilefacenet_arcface.onnx")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = make_folder(given.folder, Path(place) / "many", given.images)
        few = make_folder(given.folder, Path(place) / "few", FEW)
        store = Path(place) / "store"
        measure_workers(few, given.backbone)
        small = extract(few, given.backbone, Path(place) / "small")
        print(f"{FEW:,} images: {small.seconds:.1f} s, peak memory {small.peak:.0f} MB")
        large = extract(folder, given.backbone, store)
        print(f"{given.images:,} images: {large.seconds:.1f} s, peak memory {large.peak:.0f} MB")
        print(f"ratio of the peaks: {large.peak / small.peak:.3f}")
        for name, source, held in (("few", few, Path(place) / "small"), ("many", folder, store)):
            again = extract(source, given.backbone, held)
            print(f"the same again over {name}: {again.seconds:.2f} s, peak memory {again.peak:.0f} MB")


def make_folder(originals: Path, folder: Path, n: int) -> Path:
    """Fill a folder with n files, half of them hard links."""
    folder.mkdir()
    names = itertools.cycle(sorted(scan_images(originals)))
    previous = Path()
    for number in range(n):
        path = folder / f"{number:07}.jpg"
        if number % 2:
            os.link(previous, path)
        else:
            path.write_bytes((originals / next(names)).read_bytes() + number.to_bytes(8, "big"))
            previous = path
    return folder


def measure_workers(folder: Path, backbone: Path) -> None:
    """One process, then worker processes from one to as many as there are cores, each into a new store."""
    for workers in (0, *range(1, usable_cores() + 1)):
        with tempfile.TemporaryDirectory() as place:
            run = extract(folder, backbone, Path(place) / "store", *(("--workers", str(workers)) if workers else ()))
        print(f"{FEW:,} images, {f'--workers {workers}' if workers else 'no workers'}: {run.seconds:.1f} s")


def extract(folder: Path, backbone: Path, store: Path, *options: str) -> Run:
    """Run the command in a process of its own."""
    words = ["extract", str(folder), "--backbone", str(backbone), "--store", str(store), "--max-failures", "9"]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "run_pipeline.py", *words, *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"extract ended with {os.waitstatus_to_exitcode(status)}")
    return Run(time.perf_counter() - started, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
