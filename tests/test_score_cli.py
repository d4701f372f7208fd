"""The command `score` as people use it: every input and output, killed, piped, on a full disk.

FACEPROBE_TORTURE=N makes the killing N times as long.
"""

import io
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embedder.backbone import load_backbone
from heads.bundle import Bundle, save_bundle
from heads.net import Layer, Net
from tests.cli import command, faceprobe, finish, start
from tests.data.test_archives import pack
from tests.fakes import write_mean_colour_onnx
from tests.heads.faces import AGE, GENDER
from tests.test_extract_jobs import mounted

TIMES = int(os.environ.get("FACEPROBE_TORTURE", "1"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, draw_image):
    """Return a folder with 300 pictures and what is none, and a bundle that says something of each."""
    place = tmp_path_factory.mktemp("score")
    for number in range(300):
        draw_image(place / "faces" / f"{number:03}.png", seed=number)
    (place / "faces" / "150 text.png").write_text("not a picture")
    write_mean_colour_onnx(place / "mean.onnx")
    name = f"{place / 'mean.onnx'},channel_order=RGB,normalization=raw"
    rng = np.random.default_rng(0)
    outputs = {
        task.name: Layer(rng.normal(0, 0.1, (2, 3, n)).astype("f4"), np.zeros((2, n), "f4"), "softmax")
        for task, n in ((AGE, 101), (GENDER, 2))
    }
    with load_backbone(name) as backbone:
        bundle = Bundle(backbone.spec, (AGE, GENDER), (Net((), outputs),), {}, backbone_file=place / "mean.onnx")
        save_bundle(bundle, place / "bundle", card="")
    return place


@pytest.fixture(scope="module")
def whole(place):
    """Return the bytes of an uninterrupted run."""
    done = faceprobe("score", place / "faces", "--bundle", place / "bundle", "-o", place / "whole.csv")
    assert done.code == 1
    assert "status: ok 300, unreadable 1\n  unreadable 150 text.png: not an image" in done.out
    return (place / "whole.csv").read_bytes()


def score(place: Path, *words: object) -> list[str]:
    return command("score", *words, "--bundle", place / "bundle", "--max-failures", 1)


# killed


def test_killed_command_is_continued_to_the_same_bytes(place, whole, tmp_path):
    path, rng, killed, lasts = tmp_path / "out.csv", random.Random(1), 0, 4.0
    for number in range(4 * TIMES):
        workers = ("--workers", 2) if number % 2 else ()
        began = time.perf_counter()
        process = start(score(place, place / "faces", "-o", path, *workers))
        try:
            process.wait(rng.uniform(0.3 * lasts, lasts))
            lasts = time.perf_counter() - began
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
        done = finish(start(score(place, place / "faces", "-o", path)))
        assert done.code == 0, done
        assert path.read_bytes() == whole
        if number % 2:
            path.unlink()
    assert killed, "no kill came in time"


def test_interrupted_command_says_so_and_goes_on(place, whole, tmp_path):
    os.mkfifo(tmp_path / "names")
    path = tmp_path / "out.csv"
    slow = "import sys, time, run_pipeline, embedder.engine as e; read = e.read_file\n"
    slow += "e.read_file = lambda path: (time.sleep(0.05), read(path))[1]\nrun_pipeline.main()"
    words = score(place, place / "faces", "-o", path)
    process = start([words[0], "-c", slow, *words[2:]], cwd=Path(words[1]).parent)
    while not path.exists():
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130
    assert f"of 301 images done in {path}, the same command goes on" in done.err
    again = finish(start(words))
    assert again.code == 0
    assert path.read_bytes() == whole


def test_second_run_does_nothing_and_other_settings_are_refused(place, whole, tmp_path):
    path = tmp_path / "out.csv"
    words = ("score", place / "faces", "--bundle", place / "bundle", "--max-failures", 1, "-o", path)
    assert "301 rows in" in faceprobe(*words).out
    again = faceprobe(*words)
    assert (again.code, again.err) == (0, "")
    assert f"nothing to do: {path} has all 301 rows" in again.out
    other = faceprobe("score", place / "faces" / "001.png", "--bundle", place / "bundle", "-o", path)
    assert (other.code, other.out) == (2, "")
    assert other.err.count("\n") == 1
    assert "was made of other inputs (301 of them, now 1): add --overwrite" in other.err
    assert path.read_bytes() == whole
    assert faceprobe(*words, "--overwrite").code == 0


def test_full_disk_is_one_line_and_room_continues(place, whole, tmp_path):
    disk = tmp_path / "disk"
    if not mounted(disk, "20k"):
        pytest.skip("needs the right to mount a small disk")
    try:
        done = finish(start(score(place, place / "faces", "-o", disk / "out.csv")))
        assert (done.code, done.out) == (2, "")
        assert done.err.count("\n") == 1
        assert f"{disk / 'out.csv'}: No space left on device; 0 of 301 inputs are in it. Mend that" in done.err
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert finish(start(score(place, place / "faces", "-o", disk / "out.csv"))).code == 0
        assert (disk / "out.csv").read_bytes() == whole
    finally:
        subprocess.run(["umount", disk], check=True)


# outputs


@pytest.mark.parametrize("form", [None, "csv", "jsonl", "parquet"])
def test_pipe_has_the_data_and_nothing_else(place, whole, form):
    chosen = ["--format", form] if form else []
    process = subprocess.run(score(place, place / "faces", "-o", "-", *chosen), capture_output=True, check=True)
    assert b"status: ok 300, unreadable 1\n" in process.stderr
    assert b"301 rows in -" in process.stderr
    if form == "parquet":
        table = pd.read_parquet(io.BytesIO(process.stdout))
    elif form == "jsonl":
        table = pd.DataFrame([json.loads(line) for line in process.stdout.splitlines()])
    else:
        assert process.stdout == whole
        return
    expected = pd.read_csv(io.BytesIO(whole))
    assert [*table] == [*expected]
    assert table["path"].tolist() == expected["path"].tolist()
    np.testing.assert_allclose(table["age"], expected["age"])


def test_format_may_be_said_in_place_of_a_name(place, whole, tmp_path):
    path = tmp_path / "scores.txt"
    words = ("score", place / "faces", "--bundle", place / "bundle", "--max-failures", 1, "-o", path)
    assert "expected a name ending in .csv or .jsonl or .parquet" in faceprobe(*words).err
    assert faceprobe(*words, "--format", "csv").code == 0
    assert path.read_bytes() == whole


# inputs


def paths(path: Path) -> list[str]:
    return pd.read_csv(path)["path"].tolist()


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("workers", [(), ("--workers", 2)])
def test_archive_is_scored_where_it_is(place, whole, tmp_path, form, workers):
    files = {path.name: path.read_bytes() for path in sorted((place / "faces").iterdir())[:120]}
    pack(tmp_path / f"a.{form}", files)
    words = ("score", tmp_path / f"a.{form}", "--bundle", place / "bundle", "-o", tmp_path / "out.csv")
    done = faceprobe(*words, *workers)
    assert done.code == 0, done
    found = (tmp_path / "out.csv").read_text().replace(f"{tmp_path}/a.{form}/", "")
    assert found.splitlines() == whole.decode().splitlines()[:121]
    assert sorted(os.listdir(tmp_path)) == [f"a.{form}", "out.csv", "out.csv.job.json"]


def test_names_on_standard_input_are_scored_in_their_order(place, tmp_path):
    names = [f"{place}/faces/007.png", f"{place}/faces/gone.png", f"{place}/faces/003.png"]
    words = [*command("score", "-", "--bundle", place / "bundle"), "-o", str(tmp_path / "out.csv")]
    done = subprocess.run(words, input="\n".join(names), text=True, capture_output=True)
    assert done.returncode == 1
    assert paths(tmp_path / "out.csv") == names
    assert pd.read_csv(tmp_path / "out.csv")["status"].tolist() == ["ok", "missing", "ok"]


def test_files_patterns_and_folders_may_stand_together(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    words = ("faces/007.png", "faces/00[12].png", "faces", "gone.jpg")
    done = faceprobe("score", *words, "--bundle", "bundle", "-o", tmp_path / "out.csv", "--max-failures", 2)
    assert done.code == 0
    first = ["faces/007.png", "faces/001.png", "faces/002.png", "faces/000.png"]
    found = paths(tmp_path / "out.csv")
    assert (found[:4], found[-1], len(found)) == (first, "gone.jpg", 305)


def test_objects_are_scored_like_files(place, whole, bucket, tmp_path):
    from data.remote import place as remote

    for number in range(3):
        content = (place / "faces" / f"{number:03}.png").read_bytes()
        (remote(bucket) / "photos" / f"{number:03}.png").write_bytes(content)
    words = ("score", f"{bucket}/photos", f"{bucket}/photos/001.png", "--bundle", place / "bundle")
    assert faceprobe(*words, "-o", tmp_path / "out.csv").code == 0
    assert paths(tmp_path / "out.csv") == [f"{bucket}/photos/{name}.png" for name in ("000", "001", "002", "001")]
    ages = pd.read_csv(tmp_path / "out.csv")["age"].tolist()
    assert ages[:3] == pd.read_csv(io.BytesIO(whole))["age"].tolist()[:3]
    assert ages[3] == ages[1]


def test_archive_with_path_tricks_is_refused_in_one_line(place, tmp_path):
    pack(tmp_path / "a.zip", {"../x.jpg": b""})
    done = faceprobe("score", tmp_path / "a.zip", "--bundle", place / "bundle", "-o", tmp_path / "out.csv")
    assert (done.code, done.out) == (2, "")
    assert "has one called ../x.jpg" in done.err
    assert not (tmp_path / "out.csv").exists()


# watched


def begun(place: Path, *words: object) -> "subprocess.Popen[str]":
    """Start watching, and wait until it does."""
    process = start(command("score", *words, "--watch", "--bundle", place / "bundle"))
    said = process.stderr if "-" in words else process.stdout
    assert said.readline().startswith("watching ")
    return process


def wait_for(path: Path, *names: str) -> None:
    """Wait until images are in a table."""
    until = time.monotonic() + 30
    while not {*names} <= {*paths(path)}:
        assert time.monotonic() < until, f"{names} are not in {paths(path)}"
        time.sleep(0.1)


def test_watched_folder_is_scored_as_files_arrive_once_each_over_a_kill(place, draw_image, tmp_path):
    folder, path = tmp_path / "in", tmp_path / "out.csv"
    folder.mkdir()
    slow = draw_image(tmp_path / "slow.jpg", (300, 300), seed=1).read_bytes()
    (folder / "there before.png").write_bytes((place / "faces" / "000.png").read_bytes())
    process = begun(place, folder, "-o", path)
    with open(folder / "slow.jpg", "wb", buffering=0) as file:
        file.write(slow[: len(slow) // 2])
        (folder / "sub").mkdir()
        (folder / "sub" / "new.png").write_bytes((place / "faces" / "001.png").read_bytes())
        wait_for(path, "there before.png", "sub/new.png")  # which was written after half of the slow one
        process.kill()
        process.communicate()
        assert len(paths(path)) == 2
        (folder / "meanwhile.png").write_bytes((place / "faces" / "002.png").read_bytes())
        process = begun(place, f"{folder}/", "-o", path)
        wait_for(path, "meanwhile.png")
        file.write(slow[len(slow) // 2 :])
    wait_for(path, "slow.jpg")
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith(f"status: ok 4\n4 images, 4 rows in {path}; the same command goes on\n")
    assert faceprobe("score", folder, "--bundle", place / "bundle", "-o", tmp_path / "plain.csv").code == 0
    found = pd.read_csv(path).sort_values("path", ignore_index=True)
    pd.testing.assert_frame_equal(found, pd.read_csv(tmp_path / "plain.csv"), atol=1e-3)
    refused = faceprobe("score", folder, "--bundle", place / "bundle", "-o", path)
    assert (refused.code, refused.out) == (2, "")
    assert "was made with --watch, now it is without: add --overwrite" in refused.err


def test_watch_says_once_that_its_folder_is_gone_and_pipes_what_comes_after(place, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    process = begun(place, folder, "-o", "-", "--format", "jsonl", "--workers", 1)
    folder.rename(tmp_path / "away")
    assert "No such file or directory; looking again until it can be" in process.stderr.readline()
    (tmp_path / "away" / "text.png").write_text("none")
    os.utime(tmp_path / "away" / "text.png", (0, 0))
    (tmp_path / "away" / "a.png").write_bytes((place / "faces" / "000.png").read_bytes())
    (tmp_path / "away").rename(folder)
    assert process.stderr.readline() == "the folder is back\n"
    assert json.loads(process.stdout.readline())["path"] == "a.png"
    assert process.stderr.readline().startswith("1 image, 1 row, ")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert (done.code, done.out) == (0, "")
    assert done.err.endswith("1 image, 1 row in -\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.zip", "-o", "s.csv"), "--watch looks at folders of this machine; found a.zip"),
        (("in", "-o", "s.parquet"), "--watch adds rows without an end, and Parquet needs one: name a .csv or .jsonl"),
        (
            ("in", "-o", "s.csv", "--gallery", "g.html", "--evaluate", "f.csv"),
            "--evaluate and --gallery: --watch has no",
        ),
        (("in", "-o", "plain.csv"), "plain.csv was made without --watch, now it is with: add --overwrite"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_one_line(place, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((place / "faces" / "000.png").read_bytes())
    assert faceprobe("score", "in", "--bundle", place / "bundle", "-o", "plain.csv").code == 0
    done = faceprobe("score", *words, "--watch", "--bundle", place / "bundle")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert said in done.err


# exit codes


def test_abstaining_needs_intervals(place, tmp_path):
    words = ("score", place / "faces", "--bundle", place / "bundle", "-o", tmp_path / "out.csv")
    done = faceprobe(*words, "--abstain", 10)
    assert (done.code, done.out) == (2, "")
    assert "--abstain goes by intervals of ages, and this bundle has none" in done.err
    assert os.listdir(tmp_path) == []


def test_reader_that_goes_away_ends_the_run_without_a_traceback(place):
    process = subprocess.Popen(
        score(place, place / "faces", "-o", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(60) == 1
    assert said == ""


def test_pages_copies_and_albums_are_made_of_finished_scores(place, tmp_path):
    asked = {"summary": "folder.html", "gallery": "gallery.html", "annotate": "drawn", "sort-into": "albums"}
    words = [word for name, where in asked.items() for word in (f"--{name}", tmp_path / where)]
    done = finish(start(score(place, place / "faces", "-o", tmp_path / "scores.csv", *words, "--by", "gender")))
    assert done.code == 0, done.err
    rows = pd.read_csv(tmp_path / "scores.csv")
    figures = pd.read_csv(tmp_path / "folder.csv")
    assert figures.loc[figures["figure"] == "photographs", "n"].max() == len(rows) == 301
    gallery = (tmp_path / "gallery.html").read_text("utf-8")
    assert all(f'data-name="{name}"' in gallery for name in rows["path"])
    assert len([*(tmp_path / "drawn").iterdir()]) == 300
    albums = {folder.name: len([*folder.iterdir()]) for folder in (tmp_path / "albums").iterdir()}
    assert albums == {**rows["gender"].value_counts().to_dict(), "unreadable": 1}
    assert "drawn: 300 written, 1 failed" in done.out
    again = finish(start(score(place, place / "faces", "-o", tmp_path / "scores.csv", *words, "--by", "gender")))
    assert "albums: 301 there already" in again.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "-", "--gallery", "page.html"), "--gallery read the scores again: give -o a file"),
        (("-o", "scores.csv", "--summary", "page.txt"), "expected a name ending in .html; found page.txt"),
    ],
)
def test_page_that_cannot_be_made_is_refused_before_the_work(place, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = finish(start(score(place, place / "faces", *words)))
    assert (done.code, said in done.err, [*tmp_path.iterdir()]) == (2, True, [])
