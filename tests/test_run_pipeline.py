"""The command line as a user meets it: exit code, words, and what is left on disk."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import cv2
import numpy as np
import pandas as pd
import pytest

from embedder.engine import BLOCK_PER_CORE
from embedder.extract import SHARD_BYTES
from embedder.store import open_store
from tests.cli import ROOT, Outcome, command, faceprobe, finish, lines, start
from tests.fakes import write_mean_colour_onnx

N = 40


def draw_faces(folder: Path) -> None:
    """Flat chips in UTKFace's names, the older the brighter, women red and men blue; a copy; two that are no use."""
    folder.mkdir()
    for i in range(N):
        age, gender, ethnicity = 2 * i, i % 2, i % 5
        blue, red = (60, 200) if gender else (200, 60)
        chip = np.full((24, 24, 3), (blue, 40 + 5 * i, red), np.uint8)  # BGR
        cv2.imwrite(str(folder / f"{age}_{gender}_{ethnicity}_{20170101000000000 + i}.jpg"), chip)
    first = folder / "0_0_0_20170101000000000.jpg"
    (folder / "0_0_0_20170101000000099.jpg").write_bytes(first.read_bytes())
    (folder / "61_1_20170109142408075.jpg").write_bytes(first.read_bytes())
    (folder / "notes.txt").write_text("not a face")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SimpleNamespace:
    """What the five commands make of one folder, each with what it said."""
    place = tmp_path_factory.mktemp("world")
    draw_faces(place / "faces")
    backbone = write_mean_colour_onnx(place / "mean.onnx")
    sidecar = {"name": "MeanColour", "channel_order": "RGB", "normalization": "base", "licence": "ours"}
    backbone.with_suffix(".json").write_text(json.dumps(sidecar))
    made = SimpleNamespace(place=place, faces=place / "faces", backbone=backbone)
    made.manifest, made.store, made.bundle = place / "faces.csv", place / "store", place / "bundle"
    of_store = (made.manifest, "--store", made.store, "--backbone", backbone)
    made.index = faceprobe("index", made.faces, "--dataset", "utkface", "-o", made.manifest)
    made.extract = faceprobe("extract", *of_store, "--backbone", "pixels", "--log-json", place / "log.jsonl")
    made.compare_words = ("compare", *of_store, "--head", "linear", "--head", "ridge", "-o", place / "run")
    made.compare = faceprobe(*made.compare_words)
    tasks = ("--task", "age", "--task", "gender", "--task", "ethnicity")
    made.train = faceprobe("train", *of_store, *tasks, "--head", "linear", "-o", made.bundle)
    for outcome in (made.index, made.extract, made.compare, made.train):
        assert (outcome.code, outcome.err) == (0, ""), outcome
    return made


def held(path: Path, name: str) -> dict[str, bytes]:
    """Return the vectors of a store under a backbone's name, by content."""
    store = open_store(path)
    spec = store.find(name)
    rows = store.rows(spec.fingerprint)
    ok = rows[rows["status"] == "ok"]
    return dict(zip(ok["sha256"], map(bytes, store.vectors(spec.fingerprint, ok)), strict=True))


# index


def test_index_says_what_it_found(world):
    out = world.index.out
    assert f"41 images in {world.manifest}, 2 files rejected in {world.manifest.with_suffix('.rejected.csv')}" in out
    assert "rejected 61_1_20170109142408075.jpg: expected age_gender_ethnicity_timestamp, found 3 parts" in out
    assert "1 copy: images with the bytes of another" in out
    assert "ages 0 to 78; 0 outside 0 to 100" in out
    assert "gender: male 21, female 20" in out


def test_index_writes_labels_and_every_rejected_file_with_a_reason(world):
    rows = pd.read_csv(world.manifest).set_index("image_id")
    row = rows.loc["6_1_3_20170101000000003.jpg"]
    assert (row["age"], row["gender"], row["ethnicity"]) == (6, "female", "indian")
    assert row["path"] == "faces/6_1_3_20170101000000003.jpg"
    rejected = pd.read_csv(world.manifest.with_suffix(".rejected.csv"))
    assert rejected["path"].tolist() == ["61_1_20170109142408075.jpg", "notes.txt"]
    assert rejected["reason"].notna().all()
    assert len(rows) + len(rejected) == len(os.listdir(world.faces))


def test_index_as_parquet_holds_the_same(world, tmp_path):
    assert faceprobe("index", world.faces, "--dataset", "utkface", "-o", tmp_path / "faces.parquet").code == 0
    columns = ["image_id", "sha256", "age", "gender", "ethnicity"]
    as_csv, as_parquet = pd.read_csv(world.manifest), pd.read_parquet(tmp_path / "faces.parquet")
    assert as_parquet[columns].astype(str).equals(as_csv[columns].astype(str))


def test_index_of_a_plain_folder_has_no_labels(world, tmp_path):
    done = faceprobe("index", world.faces, "-o", tmp_path / "plain.csv")
    assert "gender" not in done.out
    assert lines(tmp_path / "plain.csv")[0] == "image_id,path,sha256,phash"


# extract


def test_extract_counts_add_up_and_the_log_agrees(world):
    (summary,) = [json.loads(line) for line in lines(world.place / "log.jsonl")]
    assert (summary["event"], summary["command"], summary["interrupted"]) == ("summary", "extract", False)
    assert sum(summary["statuses"].values()) == summary["images"] == 41
    embedded = {backbone["name"]: backbone["embedded"] for backbone in summary["backbones"]}
    assert embedded == {"MeanColour": 40, "pixels": 40}
    assert summary["changes"] == {"known": 0, "new": 40, "changed": 0, "moved": 0, "copy": 1, "failed": 0}
    said = world.extract.out.splitlines()
    assert said[:2] == ["41 images: 40 new, 1 copy", "status: ok 41"]
    assert said[2].startswith("MeanColour ")
    assert said[2].endswith(" (3-d): 40 embedded")
    assert said[3].endswith(" (128 x 128): 40 embedded")
    assert {len(held(world.store, name)) for name in embedded} == {40}


def test_second_extract_does_nothing_and_says_so(world):
    before = sorted(world.store.rglob("*"))
    done = faceprobe("extract", world.manifest, "--backbone", world.backbone, "--store", world.store)
    assert done.code == 0
    assert "41 images: 41 known\n" in done.out
    assert "nothing to do" in done.out
    assert sorted(world.store.rglob("*")) == before


def test_folder_is_extracted_like_its_manifest(world, tmp_path):
    done = faceprobe("extract", world.faces, "--backbone", world.backbone, "--store", tmp_path / "store")
    assert done.code == 0
    assert "1 file ignored: not named like images" in done.out
    assert "42 images: 40 new, 2 copies\n" in done.out  # the badly named file is a picture
    assert held(tmp_path / "store", "MeanColour") == held(world.store, "MeanColour")


def test_two_settings_of_one_file_are_counted_apart(world, tmp_path):
    backbones = ("--backbone", world.backbone, "--backbone", f"{world.backbone},normalization=raw")
    faceprobe("extract", world.faces, "--backbone", world.backbone, "--store", tmp_path / "store")
    done = faceprobe("extract", world.manifest, *backbones, "--store", tmp_path / "store")
    counts = [line.rpartition(": ")[2] for line in done.out.splitlines() if line.startswith("MeanColour ")]
    assert sorted(counts) == ["0 embedded", "40 embedded"]


def test_more_failures_than_allowed_are_exit_code_1(tmp_path, draw_image):
    draw_image(tmp_path / "faces" / "face.png")
    (tmp_path / "faces" / "text.png").write_text("not a picture")
    words = ("extract", tmp_path / "faces", "--backbone", "pixels", "--store", tmp_path / "store")
    done = faceprobe(*words, "--log-json", tmp_path / "log")
    assert (done.code, done.err) == (1, "")
    assert "status: ok 1, unreadable 1\n  unreadable text.png: not an image" in done.out
    assert faceprobe(*words, "--max-failures", 1, "--log-json", tmp_path / "log").code == 0
    events = [json.loads(line) for line in lines(tmp_path / "log")]  # appended
    assert [event["event"] for event in events] == ["failure", "summary"] * 2
    assert events[0]["image_id"] == "text.png"
    assert events[0]["status"] == "unreadable"
    assert events[1]["statuses"] == events[3]["statuses"] == {"ok": 1, "unreadable": 1}


# compare


def test_compare_prints_a_table_that_says_what_cannot_be_learned(world):
    out = world.compare.out
    assert out.startswith("41 rows, 5 folds")
    assert [line.split()[:2] for line in out.splitlines() if line.startswith(("-  ", "MeanColour"))] == [
        *(["-", "dummy"], ["MeanColour", "linear"], ["MeanColour", "ridge"]),  # age
        *(["-", "dummy"], ["MeanColour", "linear"]),  # gender
    ]
    assert "ridge does not learn gender" in out


def test_compare_writes_what_it_prints(world):
    results = pd.read_csv(world.place / "run" / "results.csv")
    summary = json.loads((world.place / "run" / "summary.json").read_text())
    (mae,) = [m for m in summary["metrics"] if (m["task"], m["head"], m["metric"]) == ("age", "ridge", "mae")]
    own = results[(results["task"] == "age") & (results["head"] == "ridge") & (results["metric"] == "mae")]
    assert own["n"].sum() == mae["n"] == summary["rows"] == 41
    assert mae["mean"] == pytest.approx(own["value"].mean())
    figures = pd.read_csv(world.place / "run" / "figures.csv").set_index(["task", "head", "metric"])
    value, low, high = figures.loc[("age", "ridge", "mae"), ["value", "low", "high"]]
    assert f"{value:.2f} [{low:.2f}, {high:.2f}]" in world.compare.out
    assert set(results["split"]) == {summary["split"]["hash"]}
    assert summary["split"]["hash"][:16] in world.compare.out


def test_compare_writes_a_report_that_says_how_to_make_it_again(world):
    page = (world.place / "run" / "report.html").read_text("utf-8")
    text = (world.place / "run" / "report.md").read_text("utf-8")
    assert f"{world.place / 'run' / 'report.html'} shows more" in world.compare.out
    summary = json.loads((world.place / "run" / "summary.json").read_text())
    for word in (f"--store {world.store} --backbone {world.backbone}", summary["split"]["hash"]):
        assert word in page
        assert word in text
    names = pd.read_csv(world.manifest)["image_id"]
    assert not any(name in page or name in text for name in names)
    assert "<img" not in page


def test_faces_are_on_the_page_only_when_asked_for_and_that_is_said(world):
    done = faceprobe(*world.compare_words, "--pictures")
    assert "shows more, and faces: keep it as you keep the pictures" in done.out
    assert '<img src="data:image/jpeg;base64,' in (world.place / "run" / "report.html").read_text("utf-8")


def test_page_of_a_bundle_names_no_image_and_no_place(world):
    page = (world.bundle / "report.html").read_text("utf-8")
    assert str(world.place) not in page
    assert not any(name in page for name in pd.read_csv(world.manifest)["image_id"])


def test_copies_of_an_image_are_never_on_both_sides(world):
    split = pd.read_csv(world.place / "run" / "split.csv")
    roles = split.set_index("image_id").filter(like="fold_")
    assert roles.shape == (41, 5)
    assert roles.loc["0_0_0_20170101000000000.jpg"].equals(roles.loc["0_0_0_20170101000000099.jpg"])


def test_a_split_is_reused_by_its_file_or_dealt_without_regard_to_copies(world, tmp_path):
    words = [*world.compare_words[:-2], "-o", tmp_path / "run"]
    reused = faceprobe(*words, "--split-file", world.place / "run" / "split.csv")
    assert reused.code == 0, reused.err
    assert reused.out.splitlines()[0] == world.compare.out.splitlines()[0]
    leaky = faceprobe(*words, "--split", "random")
    assert leaky.code == 0, leaky.err
    assert "copies and subjects fall apart" in leaky.out
    refused = faceprobe(*words, "--split", "random", "--split-file", world.place / "run" / "split.csv")
    assert refused.code == 2
    assert "leave --split out" in refused.err


def test_verdicts_leakage_and_the_best_heads_are_printed_and_written(world):
    out, run = world.compare.out, world.place / "run"
    assert "age, best by validation rows: MeanColour" in out
    assert pd.read_csv(run / "verdicts.csv")["words"][0] in out
    assert "the luck of seeds is not included" in out
    assert "a plain random split would say of MeanColour: age MAE" in out
    assert set(pd.read_csv(run / "leakage.csv")["task"]) == {"age", "gender"}
    assert (run / "conflicts.csv").stat().st_mode & 0o777 == 0o600


def test_seeds_balance_and_corrupted_images_can_be_asked_for(world, tmp_path):
    words = [*world.compare_words[:-2], "-o", tmp_path / "run", "--task", "age", "--no-leakage"]
    done = faceprobe(*words, "--seeds", 2, "--cap", "3:0,1", "--balance", "sqrt-inverse", "--robustness", 3)
    assert (done.code, done.err) == (0, "")
    assert "training rows: at most 3 rows of 0, 1, sqrt-inverse weights" in done.out
    assert "plain random split" not in done.out
    assert "on 3 test images" in done.out
    assert set(pd.read_csv(tmp_path / "run" / "results.csv")["seed"]) == {0, 1}
    robustness = pd.read_csv(tmp_path / "run" / "robustness.csv")
    assert robustness.groupby("corruption")["level"].apply(list).tolist() == [[0, 1, 2, 3, 4, 5]] * 5


def test_second_compare_trains_nothing_and_prints_the_same(world):
    again = faceprobe(*world.compare_words)
    assert again.code == 0
    assert "5 of 5 cells from an earlier run" in again.out
    assert again.out.splitlines()[:-2] == world.compare.out.splitlines()[:-2]


# train and score


def test_bundle_is_data_and_its_card_says_how_good_it_is(world):
    assert sorted(os.listdir(world.bundle)) == [
        *("README.md", "SHA256SUMS", "backbone.onnx", "bundle.json", "heads.safetensors", "report.html")
    ]
    card = (world.bundle / "README.md").read_text()
    for said in [line.split(":")[0].split() for line in world.train.out.splitlines() if line.startswith("  ")]:
        assert f"| {said[0]} | {said[1]} |" in card


@pytest.fixture(scope="module")
def scored(world) -> pd.DataFrame:
    done = faceprobe("score", world.faces, "--bundle", world.bundle, "-o", world.place / "scores.csv")
    assert (done.code, done.err) == (0, "")
    assert f"42 rows in {world.place / 'scores.csv'}" in done.out
    return pd.read_csv(world.place / "scores.csv")


def test_score_gives_a_row_per_image_in_order(world, scored):
    names = sorted(name for name in os.listdir(world.faces) if name.endswith(".jpg"))
    assert scored["path"].tolist() == names
    assert set(scored["status"]) == {"ok"}
    assert scored["bundle"].nunique() == 1
    assert f"bundle {scored['bundle'][0]} in {world.bundle}" in world.train.out


def test_score_predicts_what_the_heads_have_learnt(scored):
    own = scored[scored["path"].str.count("_") == 3]
    age, gender = own["path"].str.split("_").str[0].astype(int), own["path"].str.split("_").str[1]
    assert np.corrcoef(age, own["age"])[0, 1] > 0.8
    assert (own["gender"] == gender.map({"0": "male", "1": "female"})).mean() > 0.9
    assert own["gender_proba"].between(0.5, 1).all()


def test_ethnicity_is_predicted_only_when_asked_for(world, scored, tmp_path):
    assert "ethnicity" not in scored
    words = ("score", world.faces, "--bundle", world.bundle, "--ethnicity", "-o", tmp_path / "scores.csv")
    assert faceprobe(*words).code == 0
    assert "ethnicity" in pd.read_csv(tmp_path / "scores.csv")


def test_score_writes_the_same_in_every_format(world, scored, tmp_path):
    tables = []
    for suffix, read in ((".jsonl", lambda path: pd.read_json(path, lines=True)), (".parquet", pd.read_parquet)):
        path = tmp_path / f"scores{suffix}"
        assert faceprobe("score", world.faces, "--bundle", world.bundle, "-o", path).code == 0
        tables.append(read(path))
    for table in tables:
        assert list(table) == list(scored)
        assert table["path"].tolist() == scored["path"].tolist()
        np.testing.assert_allclose(table["age"], scored["age"], atol=1e-3)


def test_score_takes_known_embeddings_from_a_store(world, scored, tmp_path):
    words = ("score", world.manifest, "--bundle", world.bundle, "--store", world.store)
    before = sorted(world.store.rglob("*"))
    assert faceprobe(*words, "-o", tmp_path / "scores.csv").code == 0
    assert sorted(world.store.rglob("*")) == before
    ages = pd.read_csv(tmp_path / "scores.csv").set_index("path")["age"]
    np.testing.assert_allclose(ages, scored.set_index("path")["age"].loc[ages.index], atol=1e-3)


# the process: signals, pipes, disks

SHARD = SHARD_BYTES // (128 * 128)  # pictures of `pixels` in one
SLOW = SHARD + 3 * BLOCK_PER_CORE  # a run on one core reads two blocks ahead: it comes here with a shard on disk


@pytest.fixture(scope="module")
def crowd(tmp_path_factory) -> Path:
    """Return a folder of more different pictures than fit into one shard, with a manifest."""
    folder = tmp_path_factory.mktemp("crowd")
    chip = np.zeros((16, 16, 3), np.uint8)
    for i in range(SLOW + 200):
        chip[0, 0] = (i % 256, i // 256, 0)
        (folder / f"{i:05}.png").write_bytes(cv2.imencode(".png", chip)[1].tobytes())
    (folder / "crowd.csv").write_text("path\n" + "\n".join(f"{i:05}.png" for i in range(SLOW + 200)) + "\n")
    return folder


@pytest.fixture(scope="module")
def whole(crowd, tmp_path_factory) -> dict[str, bytes]:
    """Return the vectors of a run that nothing stopped."""
    store = tmp_path_factory.mktemp("whole") / "store"
    assert faceprobe("extract", crowd / "crowd.csv", "--backbone", "pixels", "--store", store).code == 0
    return held(store, "pixels")


def one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


HELD = """
import sys
import embedder.preprocess, run_pipeline

slow, pipe, *sys.argv[1:] = sys.argv[1:]
open_at_once = embedder.preprocess._open_at_once

def held(path, flags):
    if path == slow:
        with open(pipe) as wait:
            wait.read()
    return open_at_once(path, flags)

embedder.preprocess._open_at_once = held
run_pipeline.main()
"""


def stop_midway(crowd: Path, store: Path, number: int) -> Outcome:
    """Send a signal to an `extract` that has one shard on disk.

    Before it opens the picture at position SLOW a reading thread of the run waits for us at a pipe, so the signal meets
    the run at the same place however fast or slow the machine is.
    """
    pipe = crowd / "pipe"
    os.mkfifo(pipe)
    _, _, *arguments = command("extract", crowd / "crowd.csv", "--backbone", "pixels", "--store", store)
    words = [sys.executable, "-c", HELD, str(crowd / f"{SLOW:05}.png"), str(pipe), *arguments]
    process = start(words, preexec_fn=one_core, cwd=ROOT)
    try:
        with open_once_read(pipe, process):
            process.send_signal(number)
        return finish(process)
    finally:
        process.kill()
        pipe.unlink()


def open_once_read(pipe: Path, process: subprocess.Popen[str]) -> BinaryIO:
    while process.poll() is None:
        try:
            return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb")
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet
                raise
            time.sleep(0.01)
    pytest.fail(f"ended before it came to the pipe: {finish(process)}")


def assert_whole_shards(store: Path) -> None:
    assert not [path.name for path in store.rglob("*") if path.name.endswith(".tmp")]
    vectors = {path.stem for path in store.glob("embeddings/*/*.npy")}
    assert {path.stem for path in store.glob("embeddings/*/*.parquet")} >= vectors


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux to run on one core")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_stopped_extract_is_completed_by_the_same_command(crowd, whole, tmp_path, number):
    store = tmp_path / "store"
    done = stop_midway(crowd, store, number)
    kept = held(store, "pixels")
    assert SHARD <= len(kept) < len(whole)
    assert_whole_shards(store)
    if number == signal.SIGKILL:
        assert (done.code, done.err) == (-signal.SIGKILL, "")
    else:
        assert done.code == 130
        assert done.err == f"interrupted; what was done is in {store}, the same command goes on\n"
        said = re.search(r"status: ok ([\d,]+), not_reached ([\d,]+)\n", done.out)
        ok, not_reached = (int(count.replace(",", "")) for count in said.groups())
        assert ok + not_reached == len(whole)
        assert ok <= len(kept)
    again = faceprobe("extract", crowd / "crowd.csv", "--backbone", "pixels", "--store", store)
    assert again.code == 0
    assert f"pixels {pixels_of(store)} (128 x 128): {len(whole) - len(kept):,} embedded" in again.out
    assert held(store, "pixels") == whole


def pixels_of(store: Path) -> str:
    return open_store(store).find("pixels").fingerprint


def test_interrupt_outside_the_loop_is_one_message(world, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("embedder.extract.Files", interrupt)
    done = faceprobe("extract", world.manifest, "--backbone", "pixels", "--store", tmp_path / "store")
    assert (done.code, done.err.strip(), done.out) == (130, "faceprobe: interrupted", "")


def test_reader_that_leaves_early_is_no_error_and_costs_no_work(world, tmp_path):
    store, log = tmp_path / "store", tmp_path / "log"
    words = command("extract", world.manifest, "--backbone", "pixels", "--store", store, "--log-json", log)
    process = start(words)
    process.stdout.close()  # as `| head -0`
    assert process.stderr.read() == ""
    process.wait(60)
    assert len(held(store, "pixels")) == 40
    assert json.loads(log.read_text())["statuses"] == {"ok": 41}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_one_message(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:
        done = finish(start(command("--version"), stdout=full))
    assert (done.code, done.err) == (2, "faceprobe: cannot write: No space left on device\n")


def test_results_go_to_stdout_and_nothing_to_stderr(world):
    done = finish(start(command("extract", world.manifest, "--backbone", "pixels", "--store", world.store)))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("41 images: 41 known")


def test_main_is_what_the_console_script_runs():
    done = finish(start(command("--version"), cwd=ROOT))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("faceprobe ")


# ---- the main job on real faces


def test_main_job_on_real_faces(shared, utkface_dir, tmp_path):
    model = str(shared / "weights" / "mobilefacenet_arcface.onnx")
    faces, others = tmp_path / "faces", tmp_path / "others"
    names = sorted(os.listdir(utkface_dir))
    for folder, chosen in ((faces, names[::12]), (others, names[5::400])):
        folder.mkdir()
        for name in chosen:
            (folder / name).symlink_to(utkface_dir / name)
    manifest, store, bundle = tmp_path / "m.csv", tmp_path / "store", tmp_path / "bundle"
    assert faceprobe("index", faces, "--dataset", "utkface", "-o", manifest).code == 0
    assert faceprobe("extract", manifest, "--backbone", model, "--backbone", "pixels", "--store", store).code == 0
    given = (manifest, "--store", store, "--task", "age", "--task", "gender", "--head", "linear", "--folds", "3")
    compared = faceprobe(
        "compare", *given, "--backbone", "MobileFaceNet", "--backbone", "pixels", "-o", tmp_path / "run"
    )
    assert compared.code == 0, compared.err
    metrics = pd.DataFrame(json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"])
    mean = metrics.set_index(["task", "metric", "backbone"])["mean"]
    mae, accuracy = mean["age"]["mae"], mean["gender"]["accuracy"]
    assert mae["MobileFaceNet"] < 0.5 * mae["-"]  # 600 faces: about 8 against 20 years
    assert mae["MobileFaceNet"] < mae["pixels"] < mae["-"]
    assert accuracy["MobileFaceNet"] > 0.75 > accuracy["-"]
    assert faceprobe("train", *given, "--backbone", model, "-o", bundle).code == 0
    assert faceprobe("score", others, "--bundle", bundle, "-o", tmp_path / "out.csv").code == 0
    scores = pd.read_csv(tmp_path / "out.csv")
    ages = scores["path"].str.split("_").str[0].astype(float)
    assert scores["status"].eq("ok").all()
    assert (scores["age"] - ages).abs().mean() < 0.6 * mae["-"]
