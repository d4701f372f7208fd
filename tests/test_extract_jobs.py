"""Extraction jobs as people leave them running: killed, run twice at once, spread over machines, on a full disk.

FACEPROBE_TORTURE=N makes the killing N times as long.
"""

import multiprocessing
import os
import subprocess
from functools import partial
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest

from data.errors import ManifestError
from data.manifest import list_images
from embedder import engine as engine_module
from embedder import extract as extract_module
from embedder.backbone import load_backbone
from embedder.extract import extract, is_in_shard
from embedder.store import open_store
from embedder.upkeep.forget import forget
from embedder.upkeep.verify import verify
from embedder.workers import Workers
from tests.cli import command, faceprobe, finish, start
from tests.fakes import write_mean_colour_onnx
from tests.killed import kill_and_continue
from tests.stores import content

TIMES = int(os.environ.get("FACEPROBE_TORTURE", "1"))


@pytest.fixture(scope="module")
def world(tmp_path_factory, draw_image):
    """A folder of 60 pictures, 4 copies and a file that is none, and a backbone."""
    place = tmp_path_factory.mktemp("jobs")
    (place / "faces" / "sub").mkdir(parents=True)
    for number in range(60):
        draw_image(place / "faces" / "sub" / f"{number:02}.png", seed=number)
    for number in range(4):
        (place / "faces" / f"copy{number}.png").write_bytes((place / "faces" / "sub" / f"{number:02}.png").read_bytes())
    (place / "faces" / "text.png").write_text("not a picture")
    write_mean_colour_onnx(place / "mean.onnx")
    return place


def backbone_of(place: Path) -> str:
    return f"{place / 'mean.onnx'},channel_order=RGB,normalization=raw"


def job(place: Path, store: Path, workers: int | None) -> None:
    """What is killed: blocks of two and shards of five, so that there is much to interrupt."""
    name = backbone_of(place)
    blocks = mock.patch.multiple(engine_module, BLOCK_PER_CORE=2, usable_cores=lambda: 1)
    with blocks, mock.patch.object(extract_module, "SHARD_ROWS", 5), load_backbone(name) as backbone:
        engine = Workers([backbone], workers) if workers else None
        extract(list_images(place / "faces")[0], [backbone], open_store(store, create=True), engine=engine)


@pytest.mark.parametrize(("workers", "kills"), [(None, 8), (2, 3)])
def test_killed_job_is_continued_to_the_store_of_an_uninterrupted_one(world, tmp_path, workers, kills):
    lasts = 1.0 if workers is None else 5.0
    killed = kill_and_continue(partial(job, world), tmp_path, workers, stores=kills * TIMES, lasts=lasts)
    assert killed, "no kill came in time"


def test_two_jobs_at_once_make_one_consistent_store(world, tmp_path):
    job(world, tmp_path / "alone", None)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    both = [processes.Process(target=job, args=(world, tmp_path / "both", None)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert content(open_store(tmp_path / "both")) == content(open_store(tmp_path / "alone"))
    assert not verify(tmp_path / "both").damaged


def test_shards_in_parallel_make_the_store_of_one_job(world, tmp_path):
    words = ["extract", world / "faces", "--backbone", backbone_of(world), "--max-failures", "1"]
    jobs = [start(command(*words, "--store", tmp_path / "parts", "--shard", f"{part}/3")) for part in (1, 2, 3)]
    done = [finish(process) for process in jobs]
    assert [each.code for each in done] == [0, 0, 0]
    counts = [int(each.out.split(" image", 1)[0]) for each in done]
    assert sum(counts) == 65
    assert min(counts) > 10
    job(world, tmp_path / "alone", None)
    assert content(open_store(tmp_path / "parts")) == content(open_store(tmp_path / "alone"))
    again = faceprobe(*words, "--store", tmp_path / "parts")
    assert "65 images: 64 known, 1 failed\n" in again.out
    assert "nothing to do" in again.out


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_every_image_is_in_one_shard_whatever_else_there_is(n):
    names = [f"folder/{number}.jpg" for number in range(3000)]
    parts = [[i for i in range(1, n + 1) if is_in_shard(name, (i, n))] for name in names]
    assert all(len(part) == 1 for part in parts)
    sizes = pd.Series([part[0] for part in parts]).value_counts()
    assert len(sizes) == n
    assert sizes.min() > 0.7 * 3000 / n


@pytest.mark.parametrize("shard", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4"])
def test_shard_that_is_none_is_refused(world, tmp_path, shard):
    done = faceprobe("extract", world / "faces", "--backbone", "pixels", "--store", tmp_path / "s", "--shard", shard)
    assert done.code == 2
    assert f"expected --shard as I/N with I from 1 to N, such as 3/16; found {shard}" in done.err


def test_summary_tells_new_changed_moved_copied_and_removed_files_apart(world, tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    for path in sorted((world / "faces" / "sub").iterdir())[:12]:
        (faces / path.name).write_bytes(path.read_bytes())
    words = ("extract", faces, "--backbone", backbone_of(world), "--store", tmp_path / "store", "--max-failures", "9")
    assert "12 images: 12 new\n" in faceprobe(*words).out
    (faces / "00.png").rename(faces / "moved.png")
    (faces / "copy.png").write_bytes((faces / "01.png").read_bytes())
    (faces / "02.png").write_bytes((world / "faces" / "sub" / "50.png").read_bytes())  # changed
    (faces / "03.png").unlink()
    (faces / "new.png").write_bytes((world / "faces" / "sub" / "51.png").read_bytes())
    (faces / "bad.png").write_text("not a picture")
    (faces / "touched.png").write_bytes((faces / "04.png").read_bytes())
    (faces / "04.png").unlink()
    (faces / "touched.png").rename(faces / "04.png")
    done = faceprobe(*words)
    changes, _, gone = done.out.splitlines()[0].partition("; ")
    assert changes == "14 images: 9 known, 1 new, 1 changed, 1 moved, 1 copy, 1 failed"
    assert gone == "2 files that the store knows no longer there"
    assert ": 2 embedded" in done.out


def test_failed_images_are_tried_again_only_when_asked(world, tmp_path):
    words = ("extract", world / "faces", "--backbone", "pixels", "--store", tmp_path / "store", "--max-failures", "1")
    faceprobe(*words)
    done = faceprobe(*words)
    assert "1 of them failed before and were not tried again; --retry-failed does" in done.out
    shards = len(list((tmp_path / "store").rglob("*.parquet")))
    done = faceprobe(*words, "--retry-failed")
    assert "not tried again" not in done.out
    assert ", 1 failed" in done.out
    assert len(list((tmp_path / "store").rglob("*.parquet"))) == shards  # what is known is not written again


def test_anonymised_store_has_no_name_and_works_as_any(world, tmp_path):
    words = ("extract", world / "faces", "--backbone", "pixels", "--store", tmp_path / "store", "--max-failures", "1")
    faceprobe(*words, "--anonymise")
    assert set(open_store(tmp_path / "store").images()["path"]) == {""}
    tables = [pd.read_parquet(path).to_csv() for path in (tmp_path / "store").rglob("*.parquet")]
    assert not any(name in table for table in tables for name in ("copy0", "text.png", "sub/", str(world)))
    assert "65 images: 64 known, 1 failed\n" in faceprobe(*words, "--anonymise").out
    path = world / "faces" / "sub" / "07.png"
    with mock.patch("os.path.isfile", return_value=False):  # it may be gone, and its hash known to nobody
        assert len(forget(open_store(tmp_path / "store"), [str(path)], dry_run=True).sha256) == 1
    assert len(forget(open_store(tmp_path / "store"), [str(path)]).sha256) == 1
    assert not verify(tmp_path / "store").damaged


def test_no_pixels_are_kept_but_by_the_backbone_of_that_name(world, tmp_path):
    faceprobe("extract", world / "faces", "--backbone", backbone_of(world), "--store", tmp_path / "store")
    kept = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.npy"))
    assert kept == 128 + 60 * 3 * 4  # an .npy header and 60 vectors of three numbers


def test_folder_that_disappears_ends_the_job_and_not_the_store(world, tmp_path):
    images, _ = list_images(world / "faces")
    moved = images.assign(path=images["path"].str.replace(str(world / "faces"), str(tmp_path / "mount")))
    store = open_store(tmp_path / "store", create=True)
    with load_backbone("pixels") as backbone:
        with pytest.raises(ManifestError, match=r"expected images in .*mount.*gone, or empty now"):
            extract(moved.assign(image_id=range(len(moved))).astype({"image_id": str}), [backbone], store)
        (tmp_path / "mount").mkdir()
        with pytest.raises(ManifestError, match=r"gone, or empty now"):  # a mount point that nothing is mounted on
            extract(moved, [backbone], store)


def mounted(place: Path, size: str) -> bool:
    """A small disk, where this user may have one."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True)
    return done.returncode == 0


def test_disk_that_is_full_costs_what_was_not_committed_and_room_continues(world, tmp_path):
    disk = tmp_path / "disk"
    if not mounted(disk, "600k"):
        pytest.skip("needs the right to mount a small disk")
    try:
        words = ("extract", world / "faces", "--backbone", "pixels", "--store", disk / "store", "--max-failures", "1")
        faceprobe(*words, "--shard", "1/4")
        kept = content(open_store(disk / "store"))
        done = faceprobe(*words)
        assert done.code == 2
        assert "No space left on device. What was committed before is kept; make room" in done.err
        assert kept.items() <= content(open_store(disk / "store")).items()
        assert not verify(disk / "store").damaged
        subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)
        assert faceprobe(*words).code == 0
        faceprobe(*words[:-4], "--store", tmp_path / "roomy", "--max-failures", "1")
        assert content(open_store(disk / "store")) == content(open_store(tmp_path / "roomy"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "nothing to do" in faceprobe(*words).out  # a store that can only be read is enough to see that
        assert "Read-only file system" in faceprobe(*words[:3], f"{backbone_of(world)}", *words[4:]).err
    finally:
        subprocess.run(["umount", disk], check=True)
