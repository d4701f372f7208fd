"""Files that come, grow and go in watched folders, by a clock of the tests' own."""

import contextlib
import errno
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ManifestError
from data.sources import list_sources
from heads.score import job
from heads.score.job import OutputError, open_output
from heads.score.outputs import Table
from heads.score.rows import Scores
from heads.score.watch import MANY, PATIENCE, PAUSE, PAUSES_PER_LOOK, SETTLED, Added, Arrivals, watch
from tests.fakes import fake_backbone

COLUMNS = {"path": "text", "face": "integer", "status": "text", "reason": "text"}


class Place:
    """Some folders and a clock, which goes on while the watcher sleeps: then things happen."""

    def __init__(self, *folders: Path):
        self.folders, self.now, self.changed = folders, 0.0, {}
        self.pauses, self.engines = [], []

    def arrivals(self) -> Arrivals:
        return Arrivals([str(folder) for folder in self.folders], clock=lambda: self.now)

    def write(self, name: str, content: str) -> None:
        path = self.folders[0] / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        self.changed[str(path)] = self.now

    def looked(self, arrivals: Arrivals, *, after: float = PAUSE) -> list[str]:
        """Return what has arrived so many seconds later."""
        self.now += after
        return arrivals.look()["image_id"].tolist()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "in").mkdir()
    return Place(tmp_path / "in")


def scores_of(images: pd.DataFrame) -> Scores:
    """Return scores as of a bundle that sees two faces in a whole file, and knows a file by its end."""
    rows = []
    for name, path in zip(images["image_id"], images["path"], strict=True):
        if not os.path.exists(path):
            rows.append((name, None, "missing", "no such file"))
        elif Path(path).read_text().endswith("END"):
            rows += [(name, 1, "ok", ""), (name, 2, "ok", "")]
        else:
            rows.append((name, None, "unreadable", "truncated"))
    table = pd.DataFrame(rows, columns=[*COLUMNS]).astype({"face": "Int16"})
    statuses = Counter(table.drop_duplicates("path")["status"])
    return Scores(len(images), table, table["path"], statuses)


# ---- what has arrived


def test_file_arrives_once_it_has_stayed_the_same(place):
    arrivals = place.arrivals()
    place.write("a.jpg", "x")
    for size in range(2, 9):
        assert place.looked(arrivals) == []
        place.write("a.jpg", "x" * size)
    assert place.looked(arrivals) == []
    assert place.looked(arrivals, after=SETTLED - 0.1) == []
    assert place.looked(arrivals, after=0.1) == ["a.jpg"]


def test_file_that_keeps_its_size_but_not_its_time_has_not_arrived(place):
    place.write("a.jpg", "x")
    arrivals = place.arrivals()
    for second in range(5):
        os.utime(place.folders[0] / "a.jpg", (second, second))
        assert place.looked(arrivals) == []
    assert place.looked(arrivals, after=SETTLED) == ["a.jpg"]


def test_slow_look_is_no_sign_of_a_whole_file(place):
    arrivals = place.arrivals()
    place.write("a.jpg", "x")
    assert place.looked(arrivals, after=1000) == []
    assert place.looked(arrivals, after=1000) == ["a.jpg"]


def test_file_arrives_again_until_its_score_is_accepted_and_then_never_though_it_is_replaced(place):
    place.write("a.jpg", "END")
    arrivals = place.arrivals()
    assert place.looked(arrivals, after=SETTLED) == place.looked(arrivals) == ["a.jpg"]
    assert arrivals.accept(scores_of(arrivals.look())).inputs == 1
    place.write("a.jpg", "another END")
    assert place.looked(arrivals, after=SETTLED) == place.looked(arrivals, after=SETTLED) == []


def test_only_files_named_like_images_count_and_hidden_ones_do_not(place):
    for name in ("a.JPG", "b.jpg.part", ".c.jpg", "notes.txt", "sub/d.png"):
        place.write(name, "x")
    assert place.looked(place.arrivals(), after=SETTLED) == ["a.JPG", "sub/d.png"]


def test_images_are_called_as_a_plain_run_calls_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "a/sub/2.jpg", "b/x\ny.jpg", "b/=1.jpg"):
        Path(name).parent.mkdir(exist_ok=True, parents=True)
        Path(name).write_text("x")
    for folders in (["a"], ["b/"], ["a/", "b"]):
        place = Place()
        place.folders = folders
        arrivals = place.arrivals()
        place.now += SETTLED
        expected, _ = list_sources(folders)
        pd.testing.assert_frame_equal(arrivals.look(), expected)


def test_folder_within_another_gives_each_image_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a/sub").mkdir(parents=True)
    (tmp_path / "a/sub/1.jpg").write_text("x")
    place = Place(Path("a"), Path("a/sub"))
    assert place.looked(place.arrivals(), after=SETTLED) == ["a/sub/1.jpg"]


def test_link_that_leads_nowhere_waits_for_its_file(place, tmp_path):
    (place.folders[0] / "a.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    arrivals = place.arrivals()
    assert place.looked(arrivals, after=PATIENCE) == []
    (tmp_path / "elsewhere.jpg").write_text("END")
    assert place.looked(arrivals) == []
    assert place.looked(arrivals, after=SETTLED) == ["a.jpg"]


# ---- what is for good


def test_unreadable_image_is_tried_again_when_it_has_changed_or_a_minute_has_passed(place):
    place.write("a.jpg", "ha")
    place.write("b.jpg", "text")
    arrivals = place.arrivals()
    place.now += SETTLED
    accepted = arrivals.accept(scores_of(arrivals.look()))
    assert (accepted.inputs, len(accepted.rows), len(accepted.files), +accepted.statuses) == (0, 0, 0, Counter())
    assert place.looked(arrivals) == []
    place.write("a.jpg", "half, and the rest END")
    assert place.looked(arrivals) == []
    assert place.looked(arrivals, after=SETTLED) == ["a.jpg"]
    accepted = arrivals.accept(scores_of(arrivals.look()))
    assert (accepted.inputs, len(accepted.rows), accepted.statuses) == (1, 2, Counter(ok=1))
    assert place.looked(arrivals, after=PATIENCE) == ["b.jpg"]
    assert arrivals.accept(scores_of(arrivals.look())).statuses == Counter(unreadable=1)
    assert place.looked(arrivals, after=PATIENCE) == []


def test_image_that_is_gone_before_it_is_read_has_no_row_and_is_scored_when_it_is_back(place):
    for name in ("a.jpg", "b.jpg"):
        place.write(name, "END")
    arrivals = place.arrivals()
    place.now += SETTLED
    arrived = arrivals.look()
    (place.folders[0] / "a.jpg").unlink()
    accepted = arrivals.accept(scores_of(arrived))
    assert accepted.rows["path"].unique().tolist() == ["b.jpg"]
    assert (accepted.inputs, +accepted.statuses) == (1, Counter(ok=1))
    assert place.looked(arrivals) == []
    place.write("a.jpg", "END")
    assert place.looked(arrivals) == []
    assert place.looked(arrivals, after=SETTLED) == ["a.jpg"]


# ---- the loop


class Killed(BaseException):
    """The process ends here."""


class Ended(BaseException):
    """There are no more steps."""


QUIET = 15  # seconds, after which everything has been scored if patience is shorter


class Life:
    """What happens in a folder while it is watched, a step after the other; then nothing for a while.

    Attributes
    ----------
    doomed : whether the process dies in the middle of what it writes next.
    """

    def __init__(self, place: Place, steps=()):
        self.place, self.steps, self.doomed = place, iter(steps), False
        self.until = place.now

    def go_on(self) -> None:
        while self.place.now >= self.until:
            step = next(self.steps, None)
            if step is None:
                self.until = self.place.now + QUIET
                self.steps = iter([Ended])
            elif isinstance(step, tuple):
                self.change(*step)
            elif isinstance(step, int):
                self.until = self.place.now + step
            elif step == "doom":
                self.doomed = True
            else:
                raise step

    def change(self, name: str, content: str | None) -> None:
        if content is None:
            (self.place.folders[0] / name).unlink(missing_ok=True)
        else:
            self.place.write(name, content)


def run(place: Place, path: Path, life: Life, *, engine=None) -> list:
    """Watch until an interrupt, and return what was said."""
    arrivals, said = place.arrivals(), []

    def sleep(seconds):
        place.pauses.append(seconds)
        place.now += seconds
        life.go_on()

    def score(images, scorer, *, engine, store):
        place.engines.append(engine)
        for start in range(0, len(images), 2):  # as `score`, which gives rows of some images at a time
            piece = images.iloc[start : start + 2]
            assert all(place.now - place.changed[each] >= SETTLED for each in piece["path"]), "read while it changes"
            yield scores_of(piece)

    def write_journal(output, journal):
        if life.doomed:
            life.doomed, life.until = False, place.now + QUIET
            raise Killed
        original(output, journal)

    original = job.FileOutput._write_journal
    scorer = SimpleNamespace(backbone=fake_backbone(), finder=None)
    with (
        mock.patch("heads.score.watch.time", SimpleNamespace(monotonic=lambda: place.now, sleep=sleep)),
        mock.patch("heads.score.watch.score", score),
        mock.patch.object(job.FileOutput, "_write_journal", write_journal),
        mock.patch("os.fsync"),  # which takes nine tenths of the time, and nobody here cuts the power
        opened(path, arrivals) as output,
    ):
        arrivals.leave_out(output.names())
        try:
            for event in watch(output, arrivals, scorer, engine=engine):
                said.append(event)
        except KeyboardInterrupt:
            pass
    return said


def run_to_the_end(place: Place, path: Path, life: Life) -> None:
    """Watch again after each kill and interrupt."""
    with contextlib.suppress(Ended):
        while True:
            with contextlib.suppress(Killed):
                run(place, path, life)


def opened(path: Path, arrivals: Arrivals, *, watched: bool = True, **settings) -> job.FileOutput:
    return open_output(
        path, Table(path.suffix[1:], COLUMNS), {"bundle": "b", **settings}, arrivals.folders, watched=watched
    )


def rows_in(path: Path) -> pd.DataFrame:
    """Read an output as anyone would."""
    if path.suffix == ".jsonl":
        return pd.read_json(path, lines=True)
    table = pd.read_csv(path, keep_default_na=False)
    return table.assign(path=table["path"].str.removeprefix("'"))


NAMES = ("a.jpg", "b.png", "sub/c.jpg", "=1.jpg", "NA.gif")
contents = st.sampled_from(["half", "half, and more", "whole END", "another whole END", None])
happenings = st.one_of(
    st.tuples(st.sampled_from(NAMES), contents),
    st.sampled_from([1, 2, 5, 61]),
    st.sampled_from(["doom", Killed, KeyboardInterrupt]),
)


@given(st.lists(happenings, max_size=25), st.sampled_from(["csv", "jsonl"]))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_each_file_that_stays_has_one_set_of_rows(steps, form):
    with tempfile.TemporaryDirectory() as folder:
        place, path = Place(Path(folder) / "in"), Path(folder) / f"out.{form}"
        place.folders[0].mkdir()
        life = Life(place, steps)
        with mock.patch("heads.score.watch.PATIENCE", 10):
            run_to_the_end(place, path, life)
        if not path.stat().st_size:  # of JSON lines, of which there are none
            assert not any(path.is_file() for path in place.folders[0].rglob("*"))
            return
        table = rows_in(path)
        there = {str(each.relative_to(place.folders[0])) for each in place.folders[0].rglob("*.*")}
        assert there <= {*table["path"]} <= {*NAMES}
        kinds = table.groupby("path")["status"].agg(list)
        assert all(kind in (["ok", "ok"], ["unreadable"]) for kind in kinds)
        done = json.loads((Path(folder) / f"{path.name}.job.json").read_text())["progress"]
        assert (done["done"], done["rows"], done["finished"]) == (len(kinds), len(table), False)


def test_rows_are_added_as_files_arrive_and_nothing_is_written_meanwhile(place, tmp_path):
    path = tmp_path / "out.csv"
    written = []

    class Watching(Life):
        def go_on(self):
            written.append(path.stat().st_mtime_ns)
            super().go_on()

    place.write("a.jpg", "END")
    said = run(place, path, Watching(place, [5, ("b.jpg", "END"), 5, ("c.jpg", "ha"), 70, KeyboardInterrupt]))
    assert [each.scores.rows["path"].unique().tolist() for each in said] == [["a.jpg"], ["b.jpg"], ["c.jpg"]]
    assert [each.scores.statuses for each in said] == [{"ok": 1}, {"ok": 1}, {"unreadable": 1}]
    assert len({*written}) == 4
    assert {*place.pauses} == {PAUSE}


def test_slow_folder_is_looked_at_less_often(place, tmp_path):
    def slow(folders):
        place.now += 0.5
        return iter([])

    with mock.patch("heads.score.watch.names_in_folders", slow):
        run(place, tmp_path / "out.csv", Life(place, [30, KeyboardInterrupt]))
    assert {*place.pauses} == {0.5 * PAUSES_PER_LOOK}


def test_worker_processes_are_started_for_many_images_alone(place, tmp_path):
    for number in range(MANY):
        place.write(f"{number}.jpg", "END")
    workers = object()
    run(place, tmp_path / "out.csv", Life(place, [5, ("z.jpg", "END"), 5, KeyboardInterrupt]), engine=workers)
    here = {id(engine) for engine in place.engines} - {id(workers)}
    assert [engine is workers for engine in place.engines].count(True) == 1
    assert len(here) == 1, "the models are loaded once"


@pytest.mark.parametrize("how", ["gone", "unmounted"])
def test_folder_that_disappears_is_said_once_and_watched_again(place, tmp_path, how):
    folder, mounted = place.folders[0], True

    class Away(Life):
        def change(self, name, content):
            nonlocal mounted
            mounted = name == "back"
            if how == "gone":
                os.rename(*((tmp_path / "away", folder) if mounted else (folder, tmp_path / "away")))
            else:
                super().change("a.jpg", "END" if mounted else None)

    def ismount(path):
        return how == "unmounted" and mounted

    place.write("a.jpg", "END")
    life = Away(place, [5, ("away", None), 20, ("back", None), 5, KeyboardInterrupt])
    with mock.patch("os.path.ismount", ismount):
        said = run(place, tmp_path / "out.csv", life)
    assert [type(each) for each in said] == [Added, ManifestError, type(None)]
    assert ("No such file" if how == "gone" else f"expected a drive at {folder}; it is gone") in str(said[1])


def test_folder_that_disappears_while_it_is_read_leaves_its_images_for_later(place, tmp_path):
    place.write("a.jpg", "END")
    calls = iter([ManifestError("it is gone, or empty now")])

    def accept(self, scores):
        for error in calls:
            raise error
        return original(self, scores)

    original = Arrivals.accept
    with mock.patch.object(Arrivals, "accept", accept):
        said = run(place, tmp_path / "out.csv", Life(place, [5, KeyboardInterrupt]))
    assert [type(each) for each in said] == [Added]
    assert rows_in(tmp_path / "out.csv")["path"].tolist() == ["a.jpg", "a.jpg"]


def test_full_disk_is_one_line_and_room_continues(place, tmp_path):
    def fsync(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "out.csv"
    place.write("a.jpg", "END")
    run(place, path, Life(place, [5, KeyboardInterrupt]))
    place.write("b.jpg", "END")
    with (
        mock.patch.object(job, "os", SimpleNamespace(**{**vars(os), "fsync": fsync})),
        pytest.raises(OutputError, match="No space left on device; 1 inputs are in it"),
    ):
        run(place, path, Life(place))
    run(place, path, Life(place, [5, KeyboardInterrupt]))
    assert rows_in(path)["path"].tolist() == ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]


# ---- what is not continued


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"watched": False}, "was made with --watch, now it is without: add --overwrite"),
        ({"bundle": "another"}, "was made with bundle b, now another: add --overwrite"),
    ],
)
def test_output_made_otherwise_is_refused(place, tmp_path, change, said):
    path = tmp_path / "out.csv"
    run(place, path, Life(place, [KeyboardInterrupt]))
    with pytest.raises(OutputError, match=said):
        opened(path, place.arrivals(), **change)


def test_output_of_other_folders_is_refused_however_they_are_written(place, tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    run(place, path, Life(place, [KeyboardInterrupt]))
    monkeypatch.chdir(tmp_path)
    opened(path, Arrivals(["in/"]))
    (tmp_path / "other").mkdir()
    for folders in (["other"], ["in", "other"]):
        with pytest.raises(OutputError, match="was made of other folders: add --overwrite"):
            opened(path, Arrivals(folders))


@pytest.mark.parametrize("damage", ["b.jpg", '"', "path,status\n"])
def test_table_that_was_changed_since_is_refused(place, tmp_path, damage):
    path = tmp_path / "out.csv"
    place.write("a.jpg", "END")
    run(place, path, Life(place, [5, KeyboardInterrupt]))
    content = path.read_text()
    path.write_text(content.replace("a.jpg,1", f"{damage},1", 1) + "," * 20)
    with pytest.raises(OutputError, match="was changed since it was written: add --overwrite"):
        run(place, path, Life(place))
