"""What a long job costs: memory over time, the seconds to see that nothing is new, workers, and photographs.

python -m benchmarks.jobs [--images 1000 10000 100000] [--folder IMAGES] [--backbone MODEL.onnx] [--plot]

The files are those of IMAGES again and again: every second one a hard link, which is a copy to be recognised, the
others with some bytes at their end, so that each is a new content to be embedded. Photographs are composed of IMAGES.
With --plot memory over time is drawn into docs/images/memory.svg.
"""

import argparse
import datetime
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.scenes import compose
from data.images import scan_images
from embedder.backbone import usable_cores
from embedder.start import processor

SHARED = Path(__file__).resolve().parents[2] / "shared"
FEW = 2000
PHOTO, PHOTOS = (4000, 3000), 32  # pixels, pictures
LOOK = 0.02  # seconds between two looks at a process's memory


class Run(NamedTuple):
    """What a command took: seconds, and its memory in MB at its peak and over time, as (seconds, MB)."""

    seconds: float
    peak: float
    course: list[tuple[float, float]]


def main() -> None:
    """Print everything, one line at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, default=SHARED / "utkface")
    parser.add_argument("--backbone", default=str(SHARED / "weights" / "mobilefacenet_arcface.onnx"))
    parser.add_argument("--plot", action="store_true")
    given = parser.parse_args()
    machine = f"{processor()}, {usable_cores()} cores, {datetime.date.today()}"
    print(machine)
    with tempfile.TemporaryDirectory() as place:
        measure_workers(make_folder(given.folder, Path(place) / "few", FEW, copies=False), given.backbone)
        measure_photographs(given.folder, Path(place) / "photographs", given.backbone)
        courses = {}
        for n in sorted({FEW, *given.images}):
            folder, store = make_folder(given.folder, Path(place) / str(n), n), Path(place) / f"store{n}"
            first, again = (extract(folder, given.backbone, store) for _ in range(2))
            courses[f"{n:,} images"] = first.course
            print(f"{n:,} images: {first.seconds:.1f} s, peak memory {first.peak:.0f} MB", end="; ")
            print(f"the same again: {again.seconds:.2f} s, {again.peak:.0f} MB", flush=True)
    if given.plot:
        from benchmarks.plots import lines

        lines(courses, Path("docs/images/memory.svg"), title=f"memory of extract in MB, over its time; {machine}")


def make_folder(originals: Path, folder: Path, n: int, *, copies: bool = True) -> Path:
    """Fill a folder with n files, half of them hard links unless no copies are wanted."""
    folder.mkdir()
    names = itertools.cycle(sorted(scan_images(originals)))
    previous = Path()
    for number in range(n):
        path = folder / f"{number:07}.jpg"
        if copies and number % 2:
            os.link(previous, path)
        else:
            path.write_bytes((originals / next(names)).read_bytes() + number.to_bytes(8, "big"))
            previous = path
    return folder


def measure_workers(folder: Path, backbone: str) -> None:
    """One process, then worker processes from one to as many as there are cores, each into a new store."""
    for workers in (0, *range(1, usable_cores() + 1)):
        with tempfile.TemporaryDirectory() as place:
            run = extract(folder, backbone, Path(place) / "store", *(("--workers", str(workers)) if workers else ()))
        how = f"--workers {workers}" if workers else "no workers"
        print(f"{FEW:,} images, {how}: {FEW / run.seconds:.1f} images/s, start and end included", flush=True)


def measure_photographs(chips: Path, folder: Path, backbone: str) -> None:
    """Photographs of 12 megapixels: taken for faces as they are, and with every face in them found and cut out."""
    compose(chips, folder, PHOTOS, sizes=(PHOTO,))
    finding = ("--detector", "hog", "--crop", "chip", "--faces", "all", "--workers", str(usable_cores()))
    for what, options in (("as they are", ()), (" ".join(finding), finding)):
        with tempfile.TemporaryDirectory() as place:
            run = extract(folder, backbone, Path(place) / "store", *options)
        speed, size = PHOTOS / run.seconds, f"{PHOTO[0]} x {PHOTO[1]}"
        print(f"{PHOTOS} photographs of {size}, {what}: {speed:.2f} a second, {run.peak:.0f} MB", flush=True)


def extract(folder: Path, backbone: str, store: Path, *options: str) -> Run:
    """Run the command in a process of its own."""
    words = ["extract", str(folder), "--backbone", backbone, "--store", str(store), "--max-failures", "9"]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "run_pipeline.py", *words, *options], stdout=subprocess.DEVNULL)
    course, peak = [], 0.0
    while process.poll() is None:
        present, peak = memory(process.pid) or (0.0, peak)
        course.append((time.perf_counter() - started, present))
        time.sleep(LOOK)
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"extract ended with {process.returncode}")
    return Run(seconds, peak, [look for look in course if look[1]])


def memory(pid: int) -> tuple[float, float] | None:
    """What a process holds and has held at most, in MB, as Linux tells it; None of one that has just ended."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    held = [told.get(name, "").removesuffix("kB").strip() for name in ("VmRSS", "VmHWM")]
    return (int(held[0]) / 1024, int(held[1]) / 1024) if all(held) else None


if __name__ == "__main__":
    main()
