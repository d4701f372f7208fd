"""An output that grows with the work and survives kills: beside it lies a journal of what is in it for good.

scores.csv              rows so far, and after them perhaps some that the journal does not know: they are cut off
scores.csv.job.json     what they were made with, how many inputs and bytes are done
scores.parquet.part     in place of the first for Parquet, until all rows are there
"""

import errno
import fcntl
import hashlib
import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import pandas as pd

from data.errors import FaceprobeError
from data.files import PRIVATE, atomic_write, remove_leftovers, write_text
from data.remote import Place
from embedder.engine import Engine
from heads.score.outputs import Table, read_table
from heads.score.rows import Scorer, Scores
from heads.score.run import score

FORMAT, VERSION = "faceprobe score job", 1
_CHANGED = "was changed since it was written"
_WATCHED = {True: "with", False: "without"}
SHOWN = 5  # failures that are told of at the end; all are in the table


class OutputError(FaceprobeError):
    """An output that cannot be written, or must not be."""


@dataclass
class Progress:
    """How far an output is.

    Attributes
    ----------
    done : inputs whose rows are there for good; those after them are to be scored.
    rows : of these inputs.
    statuses : these inputs by status.
    finished : whether all are there.
    """

    done: int = 0
    rows: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    finished: bool = False

    def count(self, scores: Scores) -> None:
        """Note rows that are there."""
        self.done += scores.inputs
        self.rows += len(scores.rows)
        self.statuses = dict(Counter(self.statuses) + scores.statuses)


class Output(Protocol):
    """Where rows go."""

    @property
    def progress(self) -> Progress:
        """How far it is."""

    def append(self, scores: Scores) -> None:
        """Add the rows of the inputs that follow; they last once this returns."""

    def finish(self) -> None:
        """Say that there are no more."""


@dataclass
class _Journal:
    """What a journal file says.

    Attributes
    ----------
    settings : all that changes a byte of the rows, by names that people know.
    inputs, inputs_sha256 : how many, and of what they are called and where they are.
    watched : whether the inputs are folders, and whatever arrives in them is scored.
    bytes : where the rows end that are there for good.
    """

    settings: dict[str, str]
    inputs: int
    inputs_sha256: str
    watched: bool = False
    bytes: int = 0
    progress: Progress = field(default_factory=Progress)


class FileOutput:
    """An `Output` in a file; see `open_output`."""

    def __init__(self, path: Path, table: Table, journal: _Journal) -> None:
        self._path, self._table, self._journal = path, table, journal
        self._parts = path if table.streams else path.with_name(f"{path.name}.part")
        self._file: BinaryIO | None = None

    @property
    def held(self) -> Path:
        """The file that holds what is done."""
        return self._path if self.progress.finished or self._journal.bytes == 0 else self._parts

    @property
    def progress(self) -> Progress:
        return self._journal.progress

    def __enter__(self) -> "FileOutput":
        if self.progress.finished:
            if not self._table.streams:
                self._parts.unlink(missing_ok=True)  # a kill may have left it
            return self
        try:
            self._file = _open_locked(self._parts)
            for each in (self._path, _journal_of(self._path)):
                remove_leftovers(each)
            if not self._journal.bytes:
                self._write_journal(self._journal)  # before any byte of which nobody would know what it is
                self._add(self._table.head())
            self._file.truncate(self._journal.bytes)
        except OSError as error:
            raise self._refused(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def names(self) -> set[str]:
        """What the inputs are called whose rows are there for good, where no two are called the same.

        Raises
        ------
        OutputError : it is not as it was written.
        """
        try:
            names = {name for rows in read_table(self._path, self._table) for name in rows["path"]}
        except (OSError, ValueError, KeyError):
            names = set()
        if len(names) != self.progress.done:
            raise _refusal(self._path, _CHANGED)
        return names

    def append(self, scores: Scores) -> None:
        before, content = self._journal, self._table.part(scores.rows)
        try:
            self._add(content, scores)
        except OSError as error:
            raise self._refused(error) from None
        except KeyboardInterrupt:
            if self._journal is before:  # then it is not known what is there: all of it is to be
                self._add(content, scores)
            raise

    def finish(self) -> None:
        try:
            if not self._table.streams:
                with atomic_write(self._path, mode=PRIVATE) as file:
                    self._table.finish(self._parts, file)
            self.progress.finished = True
            self._journal.bytes = self._path.stat().st_size
            self._write_journal(self._journal)
            if not self._table.streams:
                self._parts.unlink()
        except OSError as error:
            raise self._refused(error) from None

    def _add(self, content: bytes, scores: Scores | None = None) -> None:
        """Write bytes after those that the journal knows, then tell it of them: in this order both last."""
        if self._file is None:
            raise ValueError("the output is not open")
        journal = replace(self._journal, bytes=self._journal.bytes + len(content), progress=replace(self.progress))
        if scores:
            journal.progress.count(scores)
        self._file.seek(self._journal.bytes)
        self._file.truncate()
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._write_journal(journal)
        self._journal = journal

    def _write_journal(self, journal: _Journal) -> None:
        said = {"format": FORMAT, "version": VERSION, **asdict(journal)}
        write_text(_journal_of(self._path), json.dumps(said, indent=1), mode=PRIVATE)

    def _refused(self, error: OSError) -> OutputError:
        of_all = "" if self._journal.watched else f" of {self._journal.inputs:,}"
        done = f"{self.progress.done:,}{of_all} inputs are in it"
        return OutputError(f"{self._path}: {error.strerror or error}; {done}. Mend that, and the same command goes on")


class Pipe:
    """An `Output` for another program: nothing of it can be taken back, so there is no journal.

    Parameters
    ----------
    target : what the bytes are written to.
    """

    def __init__(self, table: Table, target: BinaryIO) -> None:
        self._table, self._target = table, target
        self.progress = Progress()
        self._parts: Any = None if table.streams else tempfile.NamedTemporaryFile(prefix="faceprobe-")  # noqa: SIM115

    def __enter__(self) -> "Pipe":
        self._write(self._table.head())
        return self

    def __exit__(self, *_: object) -> None:
        if self._parts:
            self._parts.close()

    def append(self, scores: Scores) -> None:
        self._write(self._table.part(scores.rows))
        self.progress.count(scores)

    def finish(self) -> None:
        self.progress.finished = True
        if self._parts:
            whole = io.BytesIO()
            self._table.finish(Path(self._parts.name), whole)
            self._target.write(whole.getbuffer())
            self._target.flush()

    def _write(self, content: bytes) -> None:
        target = self._parts or self._target
        target.write(content)
        target.flush()


def fill(
    output: Output,
    images: pd.DataFrame,
    scorer: Scorer,
    *,
    engine: Engine | None = None,
    store: Place | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> pd.DataFrame:
    """Score the images that an output lacks into it; after Ctrl-C its progress is not `finished`.

    Parameters are those of `heads.score.run.score`.

    Returns
    -------
    DataFrame : path, status and reason of the first inputs that failed now, SHOWN at most.
    """
    failed: list[pd.DataFrame] = []
    try:
        if not output.progress.finished:
            rest = images.iloc[output.progress.done :]
            for scores in score(rest, scorer, engine=engine, store=store, on_progress=on_progress):
                output.append(scores)
                bad = scores.rows[scores.rows["status"] != "ok"]
                failed.append(bad[["path", "status", "reason"]].head(SHOWN - sum(map(len, failed))))
            output.finish()
    except KeyboardInterrupt:
        pass  # which the output's progress says
    return pd.concat([pd.DataFrame(columns=["path", "status", "reason"]), *failed])


def open_output(
    path: Path,
    table: Table,
    settings: Mapping[str, str],
    images: pd.DataFrame,
    *,
    watched: bool = False,
    overwrite: bool = False,
) -> FileOutput:
    """Begin an output, or go on with one that was begun with the same settings for the same inputs.

    Parameters
    ----------
    path : of the table; its journal is written beside it.
    settings : all that changes a byte of the rows, by names that people know.
    images : the inputs, with image_id and path.
    watched : whether the inputs are folders, and whatever arrives in them is scored.
    overwrite : whether to begin anew whatever is there.

    Raises
    ------
    OutputError : what is there was made otherwise, of other inputs, or nobody knows how.
    """
    settings = {**settings, "format": table.format, "columns": ", ".join(table.columns)}
    asked = _Journal(settings, *_digest(images), watched)
    known = None if overwrite else _read_journal(path)
    output = FileOutput(path, table, known or asked)
    held = output.held
    size = held.stat().st_size if held.exists() else 0
    if overwrite or not size:
        return FileOutput(path, table, asked)
    fault = _difference(known, asked) if known else "was not written by a run that is known"
    if known and not fault and (size < known.bytes or (known.progress.finished and size > known.bytes)):
        fault = _CHANGED
    if fault:
        raise _refusal(path, fault)
    return output


def _refusal(path: Path, fault: str) -> OutputError:
    return OutputError(f"{path} {fault}: add --overwrite to write it anew, or choose another name")


def _difference(known: _Journal, asked: _Journal) -> str:
    """In what two runs differ, in words; "" if in nothing."""
    if known.watched != asked.watched:
        return f"was made {_WATCHED[known.watched]} --watch, now it is {_WATCHED[asked.watched]}"
    said = [
        f"{name} {known.settings.get(name, 'unknown')}, now {asked.settings.get(name, 'unknown')}"
        for name in {**known.settings, **asked.settings}
        if known.settings.get(name) != asked.settings.get(name)
    ]
    if said:
        return f"was made with {'; '.join(said)}"
    if known.inputs_sha256 != asked.inputs_sha256:
        if asked.watched:
            return "was made of other folders"
        return f"was made of other inputs ({known.inputs:,} of them, now {asked.inputs:,})"
    return ""


def _digest(images: pd.DataFrame) -> tuple[int, str]:
    """How many inputs there are, and the SHA-256 of what they are called and where they are."""
    digest = hashlib.sha256()
    for image_id, path in zip(images["image_id"], images["path"], strict=True):
        digest.update(f"{image_id}\0{path}\0".encode("utf-8", "surrogateescape"))
    return len(images), digest.hexdigest()


def _journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.job.json")


def _read_journal(path: Path) -> _Journal | None:
    """What the journal beside an output says; None if there is none."""
    try:
        said = json.loads(_journal_of(path).read_text("utf-8"))
        if said.pop("format") != FORMAT or said.pop("version") != VERSION:
            raise ValueError("another format")
        return _Journal(**{**said, "progress": Progress(**said["progress"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{_journal_of(path)} cannot be understood ({error}): add --overwrite") from None


def _open_locked(path: Path) -> BinaryIO:
    """Open a file to be written by this process alone, readable by its owner alone."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            file.close()
            raise OutputError(f"{path} is being written by another process: wait for it") from None
    os.fchmod(file.fileno(), PRIVATE)
    return file
