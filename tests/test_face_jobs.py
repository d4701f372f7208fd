"""Jobs that look for faces, as people leave them running: several processes, killed, failing, continued.

FACEPROBE_TORTURE=N makes the killing N times as long.
"""

import os
from functools import partial
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
from PIL import Image

from data.errors import DetectorError
from data.manifest import list_images
from embedder import engine as engine_module
from embedder import extract as extract_module
from embedder.backbone import load_backbone
from embedder.extract import extract
from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.detectors import dlib as dlib_module
from embedder.faces.finder import FinderSettings, load_finder
from embedder.faces.table import table_spec
from embedder.store import EmbeddingStore, open_store
from embedder.upkeep.verify import verify
from embedder.workers import CRASHED, Workers
from tests.cli import ROOT
from tests.fakes import Squares, picture_of, write_mean_colour_onnx
from tests.killed import kill_and_continue
from tests.stores import content

TIMES = int(os.environ.get("FACEPROBE_TORTURE", "1"))
SQUARES = """
import os
import embedder.faces.detectors.dlib as dlib
from tests.fakes import Squares
dlib.Hog = Squares
if "BLIND" in os.environ:
    del Squares.find
"""
PRINT = table_spec(parse_detector("hog:400")).fingerprint


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder of 24 photographs, 2 copies and a file that is none, and a backbone; worker processes see squares."""
    place = tmp_path_factory.mktemp("faces")
    (place / "photos").mkdir()
    for number in range(24):
        boxes = [(20 + 90 * n, 30, 90 + 90 * n - 4 * n, 100) for n in range(number % 5)]
        Image.fromarray(picture_of(*boxes, seed=number)).save(place / "photos" / f"{number:02}.png")
    for number in (3, 5):
        (place / "photos" / f"copy{number}.png").write_bytes((place / "photos" / f"{number:02}.png").read_bytes())
    (place / "photos" / "text.png").write_text("not a picture")
    write_mean_colour_onnx(place / "mean.onnx")
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(SQUARES)
    return place


@pytest.fixture(autouse=True)
def _squares(world, monkeypatch):
    monkeypatch.setattr(dlib_module, "Hog", Squares)
    monkeypatch.setenv("PYTHONPATH", f"{world / 'site'}{os.pathsep}{ROOT}")


def job(place: Path, photos: Path, store: Path, workers: int | None, faces: str = "all", **options):
    """Two backbones, blocks of two and shards of five, so that there is much to interrupt."""
    name = f"{place / 'mean.onnx'},channel_order=RGB,normalization=raw,detector=hog:400"
    small = mock.patch.multiple(engine_module, PHOTOS_PER_CORE=2, usable_cores=lambda: 1)
    squares = mock.patch.object(dlib_module, "Hog", Squares)  # a forked process has lost it,
    site = mock.patch.dict(os.environ, PYTHONPATH=f"{place / 'site'}{os.pathsep}{ROOT}")  # and this as well
    settings = FinderSettings(parse_detector("hog:400"), Choice(faces))
    with small, squares, site, mock.patch.object(extract_module, "SHARD_ROWS", 5):
        backbones = [load_backbone(name), load_backbone(f"{name},crop=box")]
        finder = load_finder(settings)
        engine = Workers(backbones, workers, finder=finder) if workers else None
        images = list_images(photos)[0]
        return extract(images, backbones, open_store(store, create=True), finder=finder, engine=engine, **options)


def test_workers_fill_a_store_as_one_process_does_to_the_bit(world, tmp_path):
    alone = job(world, world / "photos", tmp_path / "alone", None)
    together = job(world, world / "photos", tmp_path / "together", 2)
    assert content(open_store(tmp_path / "together")) == content(open_store(tmp_path / "alone"))
    pd.testing.assert_frame_equal(alone.images.drop(columns="change"), together.images.drop(columns="change"))
    assert alone.embedded == together.embedded
    assert alone.statuses == {"ok": 20, "no_face": 6, "unreadable": 1}
    assert not verify(tmp_path / "together").damaged


def test_workers_take_the_faces_that_the_store_knows(world, tmp_path, monkeypatch):
    job(world, world / "photos", tmp_path / "store", None, "largest")
    monkeypatch.setenv("BLIND", "yes")  # a worker that looks for a face fails
    report = job(world, world / "photos", tmp_path / "store", 2, "all")
    assert PRINT not in report.embedded
    job(world, world / "photos", tmp_path / "whole", None, "all")
    assert content(open_store(tmp_path / "store")) == content(open_store(tmp_path / "whole"))


@pytest.mark.parametrize(("workers", "kills"), [(None, 4), (2, 1)])
def test_killed_job_is_continued_to_the_store_of_an_uninterrupted_one(world, tmp_path, workers, kills):
    once, lasts = (3, 1.5) if workers is None else (2, 4.0)
    fill = partial(job, world, world / "photos")
    assert kill_and_continue(fill, tmp_path, workers, stores=kills * TIMES, kills=once, lasts=lasts)


def test_kill_between_the_commits_of_a_table_and_of_its_backbones_leaves_no_difference(world, tmp_path, monkeypatch):
    """A kill is an error that nothing catches, at each of the job's first writes in turn."""
    job(world, world / "photos", tmp_path / "whole", None)
    whole = content(open_store(tmp_path / "whole"))
    add = EmbeddingStore.add

    class Killed(BaseException):
        pass

    for at in range(1, 8):
        count = iter(range(1, 1000))

        def dies(self, *args, at=at, count=count, **options):
            if next(count) >= at:
                raise Killed
            add(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(EmbeddingStore, "add", dies)
            with pytest.raises(Killed):
                job(world, world / "photos", tmp_path / f"{at}", None)
        job(world, world / "photos", tmp_path / f"{at}", None)
        assert content(open_store(tmp_path / f"{at}")) == whole


def marked(world, tmp_path, order, number=7):
    """The photographs, one of which orders something of whoever looks for faces in it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in (world / "photos").iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    Image.fromarray(picture_of((20, 30, 90, 100), order=order, seed=number)).save(photos / f"{number:02}.png")
    return photos


def test_detector_that_fails_in_a_worker_says_so_and_what_was_done_is_kept(world, tmp_path):
    photos = marked(world, tmp_path, "fail", 23)
    with pytest.raises(DetectorError, match="hog:400 failed on a picture of 400 x 300: RuntimeError: out of order"):
        job(world, photos, tmp_path / "store", 2)
    store = open_store(tmp_path / "store")
    kept = store.rows(PRINT)
    assert len(kept) > 10
    assert not verify(store.path).damaged
    (photos / "23.png").unlink()
    job(world, photos, tmp_path / "store", 2)
    job(world, photos, tmp_path / "whole", None)
    assert content(store) == content(open_store(tmp_path / "whole"))


def test_picture_that_kills_its_detector_is_found_and_recorded(world, tmp_path):
    photos = marked(world, tmp_path, "die")
    report = job(world, photos, tmp_path / "store", 2)
    assert report.statuses == {"ok": 19, "no_face": 6, CRASHED: 1, "unreadable": 1}
    assert report.failures.set_index("image_id")["status"]["07.png"] == CRASHED
    again = job(world, photos, tmp_path / "store", None)  # which would kill this process
    assert (again.read, again.skipped, again.statuses) == (0, 8, report.statuses)
