"""An output that grows, is killed and continued, and is never mixed with another."""

import errno
import json
import multiprocessing
import os
import random
import stat
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from embedder import extract as extract_module
from embedder.spec import EmbeddingSpec
from heads.bundle import Bundle
from heads.net import Layer, Net
from heads.score import job, rows
from heads.score.job import OutputError, fill, open_output
from heads.score.outputs import FORMATS, Table, read_table
from heads.score.rows import Asked, Scorer
from heads.tasks import Task
from tests.fakes import FAKE_SPEC, embedded, fake_backbone

TIMES = int(os.environ.get("FACEPROBE_TORTURE", "1"))
AGE = Task("age", "age", "age", tuple(range(101)))


def aged(spec: EmbeddingSpec = FAKE_SPEC, *, seed: int = 0) -> Bundle:
    """A bundle that says of every face another age."""
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0, 2, (3, 12, 101)).astype(np.float32)
    layer = Layer(kernel, np.zeros((3, 101), np.float32), "softmax")
    return Bundle(spec, (AGE,), (Net((), {"age": layer}),), {}, id=f"{seed:016x}")


@pytest.fixture(scope="module")
def faces(tmp_path_factory, draw_image):
    """Return 100 pictures, one of them there twice, what is none, and one that is gone."""
    folder = tmp_path_factory.mktemp("faces")
    paths = [draw_image(folder / f"{number:03}.png", seed=number) for number in range(100)]
    (folder / "text.png").write_text("not a picture")
    paths[40:40] = [folder / "text.png", folder / "gone.png", paths[3]]
    return pd.DataFrame({"image_id": [path.name for path in paths], "path": [str(path) for path in paths]})


def run(
    path: Path, images: pd.DataFrame, *, store: Path | None = None, seed: int = 0, overwrite: bool = False, **asked
):
    """Score into a file; units of two and shards of five, so that there is much to interrupt."""
    backbone = fake_backbone()
    scorer = Scorer(aged(seed=seed), backbone, asked=Asked(**asked))
    table = Table(path.suffix[1:], scorer.columns)
    with (
        mock.patch.object(extract_module, "SHARD_ROWS", 5),
        mock.patch.multiple("embedder.engine", BLOCK_PER_CORE=2, usable_cores=lambda: 1),
        mock.patch.object(rows, "UNIT", 2),
        mock.patch.multiple("heads.score.run", UNIT=2, WINDOW=40, PIECE=6),
        open_output(path, table, scorer.settings, images, overwrite=overwrite) as output,
    ):
        fill(output, images, scorer, store=store)
    return output.progress, embedded(backbone)


@pytest.fixture(scope="module")
def whole(faces, tmp_path_factory):
    """Return the bytes of an uninterrupted run, by format."""
    place = tmp_path_factory.mktemp("whole")
    for form in FORMATS:
        run(place / f"out.{form}", faces)
    return {form: (place / f"out.{form}").read_bytes() for form in FORMATS}


def test_every_input_is_there_in_order_whatever_the_windows(faces, whole, tmp_path):
    path = tmp_path / "out.csv"
    progress, _ = run(path, faces)
    table = pd.read_csv(path)
    assert table["path"].tolist() == faces["image_id"].tolist()
    assert (progress.done, progress.rows, progress.finished) == (103, 103, True)
    assert progress.statuses == table["status"].value_counts().to_dict() == {"ok": 101, "unreadable": 1, "missing": 1}
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "out.csv.job.json"]
    assert path.read_bytes() == whole["csv"]


@pytest.mark.parametrize("form", FORMATS)
def test_killed_and_continued_run_writes_the_same_bytes(faces, whole, tmp_path, form):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    rng, killed, path = random.Random(form), 0, tmp_path / f"out.{form}"
    for _ in range(3 * TIMES):
        for _ in range(6):
            process = processes.Process(target=run, args=(path, faces))
            process.start()
            process.join(rng.uniform(0.05, 0.6))
            process.kill()
            process.join()
            killed += process.exitcode == -9
        progress, _ = run(path, faces)
        assert progress.done == 103
        assert path.read_bytes() == whole[form]
        assert sorted(os.listdir(tmp_path)) == [path.name, f"{path.name}.job.json"]
        path.unlink()
    assert killed, "no kill came in time"


class Stop(BaseException):
    """The process ends here."""


def stopped_after(n: int, path: Path, images: pd.DataFrame, **options) -> None:
    """Run until n parts were written."""
    parts = iter(range(n))
    original = job.FileOutput.append

    def append(self, scores):
        if next(parts, None) is None:
            raise Stop
        original(self, scores)

    with mock.patch.object(job.FileOutput, "append", append), pytest.raises(Stop):
        run(path, images, **options)


@pytest.mark.parametrize("form", FORMATS)
def test_continued_run_embeds_only_what_is_left_and_cuts_off_what_was_half_written(faces, whole, tmp_path, form):
    path = tmp_path / f"out.{form}"
    stopped_after(5, path, faces)
    held = path if form != "parquet" else tmp_path / "out.parquet.part"
    done = json.loads((tmp_path / f"{path.name}.job.json").read_text())["progress"]["done"]
    assert 0 < done < 103
    with open(held, "ab") as file:
        file.write(b"half a row, which the journal does not know")
    progress, new = run(path, faces)
    assert new <= 103 - done
    assert progress.statuses == {"ok": 101, "unreadable": 1, "missing": 1}
    assert path.read_bytes() == whole[form]


def test_finished_run_is_not_done_again(faces, whole, tmp_path):
    for form in FORMATS:
        path = tmp_path / f"out.{form}"
        run(path, faces)
        before = path.stat().st_mtime_ns
        progress, new = run(path, faces)
        assert (new, progress.finished, progress.rows) == (0, True, 103)
        assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "was made with bundle 0000000000000000, now 0000000000000001: add --overwrite"),
        ({"images": 50}, r"was made of other inputs \(103 of them, now 50\): add --overwrite"),
    ],
    ids=["bundle", "inputs"],
)
@pytest.mark.parametrize("finished", [True, False])
def test_output_made_otherwise_is_refused_and_left_alone(faces, tmp_path, change, said, finished):
    path = tmp_path / "out.csv"
    if finished:
        run(path, faces)
    else:
        stopped_after(3, path, faces)
    before = path.read_bytes()
    options = {"seed": change.get("seed", 0)}
    images = faces[: change.get("images", 103)]
    with pytest.raises(OutputError, match=said):
        run(path, images, **options)
    assert path.read_bytes() == before
    progress, _ = run(path, images, overwrite=True, **options)
    assert progress.done == len(images)
    assert len(pd.read_csv(path)) == len(images)


def test_abstaining_is_a_setting_too(faces, tmp_path):
    wide = mock.patch.dict(aged().calibration, {})
    with wide, pytest.raises(Exception, match="this bundle has none"):
        run(tmp_path / "out.csv", faces, abstain=20)


def test_file_that_nobody_knows_is_refused(faces, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("my table\n")
    with pytest.raises(OutputError, match=r"was not written by a run that is known: add --overwrite"):
        run(path, faces)
    assert path.read_text() == "my table\n"


@pytest.mark.parametrize("change", [b"more", b""])
def test_table_that_was_changed_since_is_refused(faces, tmp_path, change):
    path = tmp_path / "out.csv"
    run(path, faces)
    content = path.read_bytes()
    path.write_bytes(content + change if change else content[:-5])
    with pytest.raises(OutputError, match="was changed since it was written: add --overwrite"):
        run(path, faces)


def test_table_that_is_gone_is_written_again(faces, whole, tmp_path):
    path = tmp_path / "out.csv"
    run(path, faces)
    path.unlink()
    run(path, faces)
    assert path.read_bytes() == whole["csv"]


def test_journal_that_is_none_is_refused(faces, tmp_path):
    path = tmp_path / "out.csv"
    run(path, faces)
    (tmp_path / "out.csv.job.json").write_text("{}")
    with pytest.raises(OutputError, match=r"out.csv.job.json cannot be understood .*: add --overwrite"):
        run(path, faces)


def test_second_process_is_refused_while_the_first_writes(faces, tmp_path):
    path = tmp_path / "out.csv"
    scorer = Scorer(aged(), fake_backbone())
    with (
        open_output(path, Table("csv", scorer.columns), scorer.settings, faces),
        pytest.raises(OutputError, match=r"out.csv is being written by another process"),
    ):
        run(path, faces)


def test_full_disk_is_one_line_and_room_continues(faces, whole, tmp_path):
    path = tmp_path / "out.csv"
    calls = iter(range(8))

    def fsync(handle):
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(handle)

    with (
        mock.patch.object(job, "os", SimpleNamespace(**{**vars(os), "fsync": fsync})),  # the store has another disk
        pytest.raises(OutputError, match=r"No space left on device; \d+ of 103 inputs are in it. Mend that"),
    ):
        run(path, faces, store=None)
    run(path, faces)
    assert path.read_bytes() == whole["csv"]


@pytest.mark.parametrize("moment", ["fsync", "write_text"])
@pytest.mark.parametrize("after", [False, True])
def test_rows_that_ctrl_c_meets_as_they_are_written_are_there_and_known_to_be(faces, whole, tmp_path, moment, after):
    path, images, calls = tmp_path / "out.csv", faces[:30], iter(range(5))
    original = {"fsync": os.fsync, "write_text": job.write_text}[moment]

    def interrupted(*words, **how):
        stops = next(calls, None) == 4
        if not (stops and not after):
            original(*words, **how)
        if stops:
            raise KeyboardInterrupt

    own = {"write_text": interrupted}
    if moment == "fsync":
        own = {"os": SimpleNamespace(**{**vars(os), "fsync": interrupted})}  # the store has fsyncs, too
    with mock.patch.multiple(job, **own):
        progress, _ = run(path, images)
    assert 0 < progress.done < 30
    assert len(pd.read_csv(path)) == progress.rows
    run(path, images)
    assert path.read_bytes().splitlines() == whole["csv"].splitlines()[:31]


@pytest.mark.parametrize("form", FORMATS)
def test_table_and_journal_are_readable_by_their_owner_alone(faces, tmp_path, form):
    run(tmp_path / f"out.{form}", faces[:4])
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_store_gives_the_same_bytes_and_is_not_asked_twice(faces, whole, tmp_path):
    run(tmp_path / "first.csv", faces, store=tmp_path / "store")
    _, new = run(tmp_path / "second.csv", faces, store=tmp_path / "store")
    assert new == 0
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes() == whole["csv"]


@pytest.mark.parametrize("form", FORMATS)
def test_table_can_be_read_again_in_parts(faces, tmp_path, form):
    path = tmp_path / f"out.{form}"
    run(path, faces)
    table = Table(form, Scorer(aged(), fake_backbone()).columns)
    with mock.patch("heads.score.outputs.ROW_GROUP", 10):
        parts = [*read_table(path, table)]
    assert [len(part) for part in parts][:2] == [10, 10]
    together = pd.concat(parts, ignore_index=True)
    assert together["path"].tolist() == faces["image_id"].tolist()
    assert [*together] == [*table.columns]
    assert together["age"].notna().sum() == 101
    assert str(together["face"].dtype) == "Int16"
