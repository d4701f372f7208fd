import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import psutil
import pytest

from data.errors import BackboneError
from embedder import engine as engine_module
from embedder import workers as workers_module
from embedder.backbone import load_backbone, usable_cores
from embedder.extract import extract
from embedder.store import open_store
from embedder.workers import CRASHED, Workers
from tests.cli import ROOT, command, finish, start
from tests.fakes import write_mean_colour_onnx
from tests.stores import content

# What a process does to itself on pictures with a mark at their end. Python runs it in every process at its start.
POISON = """
import os, time
import embedder.preprocess as preprocess
real = preprocess.decode
def decode(content):
    if content.endswith(b"poison"):
        os.kill(os.getpid(), 9)
    if content.endswith(b"once") and not os.path.exists(os.environ["SEEN"]):
        open(os.environ["SEEN"], "w").close()
        os.kill(os.getpid(), 9)
    if content.endswith((b"slow", b"slower")):
        time.sleep(1.5 if content.endswith(b"slower") else 0.2)
    return real(content)
preprocess.decode = decode
"""


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """Worker processes that die of some pictures."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{ROOT}")


@pytest.fixture
def name(tmp_path):
    path = write_mean_colour_onnx(tmp_path / "mean.onnx")
    return f"{path},channel_order=RGB,normalization=raw"


@pytest.fixture
def images(tmp_path, draw_image):
    """Forty pictures, one of them twice, and a file that is none."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(40):
        draw_image(folder / f"{number:02}.png", seed=number)
    (folder / "copy.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "text.png").write_text("not a picture")
    names = sorted(os.listdir(folder))
    return pd.DataFrame({"image_id": names, "path": [str(folder / each) for each in names]})


def mark(images: pd.DataFrame, position: int, word: bytes) -> str:
    """Append a word to a picture, which decodes as before."""
    with open(images["path"][position], "ab") as file:
        file.write(word)
    return images["image_id"][position]


def run(images, name, place, workers, **options):
    with load_backbone(name) as backbone:
        store = open_store(place, create=True)
        engine = Workers([backbone], workers) if workers else None
        return extract(images, [backbone], store, engine=engine, **options), store


def test_workers_fill_a_store_as_one_process_does_to_the_bit(images, name, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 3)
    alone, store = run(images, name, tmp_path / "alone", None)
    together, other = run(images, name, tmp_path / "together", 2)
    assert content(store) == content(other)
    pd.testing.assert_frame_equal(alone.images.drop(columns="change"), together.images.drop(columns="change"))
    assert alone.changes == together.changes == {**dict.fromkeys(alone.changes, 0), "new": 40, "copy": 1, "failed": 1}


def test_workers_embed_nothing_that_the_store_has(images, name, tmp_path):
    run(images, name, tmp_path / "store", None)
    for path in images["path"]:
        os.utime(path, ns=(1, 1))
    report, _ = run(images, name, tmp_path / "store", 2)
    assert (report.read, sum(report.embedded.values()), report.infer_seconds) == (42, 0, {})
    assert report.changes["known"] == 41


@pytest.mark.usefixtures("poisoned")
def test_picture_that_kills_its_process_is_found_and_recorded_and_not_tried_for_ever(
    images, name, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 8)
    bad = mark(images, 17, b"poison")
    report, store = run(images, name, tmp_path / "store", 2)
    assert report.statuses == {"ok": 40, "unreadable": 1, CRASHED: 1}
    reason = report.failures.set_index("image_id")["reason"][bad]
    assert reason == "the process that works on it ends, twice and on this image alone (SIGKILL)"
    again, _ = run(images, name, tmp_path / "store", None)  # which would kill this process
    assert (again.read, again.skipped, again.statuses[CRASHED]) == (0, 2, 1)
    rows, _ = store.read(next(iter(store.specs())), report.images["sha256"])
    assert len(rows) == 40


@pytest.mark.usefixtures("poisoned")
def test_picture_that_crashed_is_tried_again_when_asked(images, name, tmp_path, monkeypatch):
    bad = mark(images, 3, b"poison")
    few = images.head(5)
    report, _ = run(few, name, tmp_path / "store", 1)
    assert report.failures["image_id"].tolist() == [bad]
    monkeypatch.delenv("PYTHONPATH")
    report, _ = run(few, name, tmp_path / "store", None, retry_failed=True)
    assert report.statuses == {"ok": 5}
    assert (report.read, sum(report.embedded.values())) == (1, 1)


@pytest.mark.usefixtures("poisoned")
def test_picture_that_a_process_survives_the_second_time_is_embedded(images, name, tmp_path, monkeypatch):
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    mark(images, 0, b"once")
    report, _ = run(images.head(1), name, tmp_path / "store", 1)
    assert (tmp_path / "seen").exists()
    assert report.statuses == {"ok": 1}


@pytest.mark.usefixtures("poisoned")
def test_machine_on_which_nothing_works_is_not_blamed_on_the_images(images, name, tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "CRASHES_IN_A_ROW", 2)
    for position in range(3):
        mark(images, position, b"poison")
    with pytest.raises(BackboneError, match=r"2 images in a row ended the process .* None of them was recorded"):
        run(images.head(3), name, tmp_path / "store", 1)
    store = open_store(tmp_path / "store")
    assert all(len(store.rows(print_)) == 0 for print_ in store.specs())


def test_no_more_processes_are_started_than_there_is_work_for(images, name, tmp_path, monkeypatch):
    started = []
    original = workers_module.start_processes
    monkeypatch.setattr(
        workers_module, "start_processes", lambda n, **options: started.append(n) or original(n, **options)
    )
    report, _ = run(images.head(2), name, tmp_path / "store", 64)
    assert (started, report.statuses) == ([2], {"ok": 2})


def children() -> list[psutil.Process]:
    """The worker processes of this one."""
    return [process for process in psutil.Process().children() if "popen_loky" in " ".join(process.cmdline())]


@pytest.mark.usefixtures("poisoned")
def test_worker_that_is_killed_costs_nothing_and_no_image_is_blamed(images, name, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 4)
    for position in range(30):
        mark(images, position, b"slow")
    killed = []

    def kill_one() -> None:
        while not killed and not done.wait(0.3):
            killed.extend(process.pid for process in children()[:1])
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    done = threading.Event()
    before = {process.pid for process in children()}
    thread = threading.Thread(target=kill_one)
    thread.start()
    report, store = run(images, name, tmp_path / "store", 2)
    done.set()
    thread.join()
    assert killed
    assert report.statuses == {"ok": 41, "unreadable": 1}
    assert {process.pid for process in children()} <= before
    run(images, name, tmp_path / "other", None)
    assert content(store) == content(open_store(tmp_path / "other"))


def test_worker_that_dies_as_it_starts_is_one_clear_error(images, name, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys, os\nif any('popen_loky' in word for word in sys.orig_argv): os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{ROOT}")
    with pytest.raises(BackboneError, match=r"ends while it loads mean .*fewer --workers"):
        run(images, name, tmp_path / "store", 2)


def test_file_that_fits_no_more_is_the_backbones_own_error(images, name, tmp_path, monkeypatch):
    with load_backbone(name) as backbone:
        (tmp_path / "mean.onnx").write_bytes(b"no graph")
        engine = Workers([backbone], 1)
        with pytest.raises(BackboneError, match="cannot be opened as an ONNX model"):
            extract(images, [backbone], open_store(tmp_path / "store", create=True), engine=engine)


def started_by(process: psutil.Process, n: int) -> list[psutil.Process]:
    """The first n worker processes of a job, their own included."""
    deadline = time.monotonic() + 60
    found: list[psutil.Process] = []
    while len(found) < n and time.monotonic() < deadline:
        time.sleep(0.05)
        found = [each for each in process.children(recursive=True) if "popen_loky" in " ".join(each.cmdline() or [""])]
    return found


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(("dlib", "workers", "n"), [(False, "2", 2), (True, "1", 1 + usable_cores()), (True, None, 2)])
def test_workers_end_with_the_process_they_work_for(images, name, tmp_path, dlib, workers, n):
    if dlib and usable_cores() == 1:
        pytest.skip("on one core Dlib needs no processes of its own")
    if not dlib:
        for position in range(40):
            mark(images, position, b"slow")
    words = ["extract", tmp_path / "faces", "--backbone", "Dlib" if dlib else name, "--store", tmp_path / "store"]
    words += ["--workers", workers] if workers else []
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, ROOT / "run_pipeline.py", *map(str, words)], env=environment)
    workers = started_by(psutil.Process(process.pid), n)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert len(workers) == n
    assert alive == []
    assert list(tmp_path.glob("faceprobe-*")) == []


@pytest.mark.usefixtures("poisoned")
def test_interrupted_workers_keep_what_is_done_and_say_nothing(images, name, tmp_path):
    for position in range(11, 40):  # those of the first of four chunks are quick
        mark(images, position, b"slower")
    words = ["extract", tmp_path / "faces", "--backbone", name, "--store", tmp_path / "store", "--workers", "2"]
    process = start(command(*words), start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("store/images/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    done = finish(process)
    said = f"interrupted; what was done is in {tmp_path / 'store'}, the same command goes on\n"
    assert (done.code, done.err) == (130, said)
    store = open_store(tmp_path / "store")
    (print_,) = store.specs()
    embedded = len(store.rows(print_))
    assert 10 <= embedded < 41
    assert f"{embedded} embedded" in done.out
