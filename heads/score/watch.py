"""Images that arrive in folders: found by looking again and again, which needs nothing of a drive, and scored once.

Nobody says when a file is whole. It has arrived when it has stayed the same for SETTLED seconds; if it cannot be read
then, its copying may have stalled, and it gets as long as PATIENCE.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from data.errors import ManifestError
from data.images import printable
from data.manifest import table_of
from data.remote import Place
from data.sources import names_in_folders
from embedder.engine import Engine, InProcess
from heads.score.job import Output
from heads.score.rows import Scorer, Scores
from heads.score.run import score

SETTLED, PATIENCE = 2.0, 60.0  # seconds
PAUSE, PAUSES_PER_LOOK = 1.0, 20  # seconds at least; and so long that looking takes 5% of one core at most
MANY = 64  # images for which it pays to start worker processes


@dataclass(slots=True)
class _Waiting:
    """A file that is not scored yet: its size and mtime_ns, since when they are so, whether it was tried to be read."""

    state: tuple[int, int]
    since: float
    tried: bool = False


class Arrivals:
    """Tells which images have arrived in some folders since the last look.

    Parameters
    ----------
    folders : of this machine, with all below them.
    clock : tells seconds.

    Attributes
    ----------
    folders : DataFrame with path, and with image_id: what ids of images in them begin with.

    Raises
    ------
    ManifestError : a folder is none, or cannot be read.
    """

    def __init__(self, folders: Sequence[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folders, self._clock = folders, clock
        beginnings = [folder.rstrip("/") if len(folders) > 1 else "" for folder in folders]
        self.folders = table_of(beginnings, [os.path.abspath(folder) for folder in folders])
        self._done: set[str] = set()
        self._mounted = [folder for folder in folders if os.path.ismount(folder)]
        self._waiting: dict[str, _Waiting] = {}
        self.look()

    def leave_out(self, names: set[str]) -> None:
        """Take images for scored, by their ids."""
        self._done |= names

    def look(self) -> pd.DataFrame:
        """List the images that have arrived and are not scored, as `list_sources` does.

        Raises
        ------
        ManifestError : a folder is gone, with its drive perhaps, or cannot be read.
        """
        for folder in self._mounted:
            if not os.path.ismount(folder):  # an empty folder remains where a drive was
                raise ManifestError(f"expected a drive at {printable(folder)}; it is gone.\nMount it.")
        now, waiting, arrived = self._clock(), dict[str, _Waiting](), dict[str, str]()
        for name, path in names_in_folders(self._folders):
            if name in self._done:
                continue
            try:
                found = os.stat(path)
            except OSError:  # gone again, or a link that leads nowhere
                continue
            state = found.st_size, found.st_mtime_ns
            known = self._waiting.get(name)
            if known is None or known.state != state:
                known = _Waiting(state, now)
            elif now - known.since >= (PATIENCE if known.tried else SETTLED):
                arrived[name] = path
            waiting[name] = known
        self._waiting = waiting
        return table_of([*arrived], [*arrived.values()])

    def accept(self, scores: Scores) -> Scores:
        """Of the scores of images that had arrived, those for good: the rest will arrive again.

        An image that was gone before it was read has not arrived. One that is unreadable may become whole.
        """
        rows, now = scores.rows, self._clock()
        unreadable = rows["status"].eq("unreadable")
        young = [now - self._waiting[name].since < PATIENCE for name in rows["path"]]
        early = rows["status"].eq("missing") | (unreadable & pd.Series(young, rows.index))
        for name in rows["path"][early]:
            self._waiting[name].tried = True
        self._done.update(rows["path"][~early])
        statuses = scores.statuses - Counter(rows["status"][early])
        return Scores(scores.inputs - int(early.sum()), rows[~early], scores.files[~early], statuses)


class Added(NamedTuple):
    """What was added to an output, and how long it took in seconds."""

    scores: Scores
    seconds: float


def watch(
    output: Output,
    arrivals: Arrivals,
    scorer: Scorer,
    *,
    engine: Engine | None = None,
    many: int = MANY,
    store: Place | None = None,
) -> Generator[Added | ManifestError | None, None, None]:
    """Score images into an output as they arrive, without an end.

    Parameters
    ----------
    engine : for so `many` images at a time or more; fewer are embedded in this process, which has all loaded.
    store : as of `score`.

    Yields
    ------
    Added : rows that last.
    ManifestError : the folders cannot be looked at from now on; None: they can again.

    Raises
    ------
    KeyboardInterrupt : rows of what was done were added.
    And as `score` and `Output.append`.
    """
    here, away = InProcess([scorer.backbone], finder=scorer.finder), False
    while True:
        began, trouble = time.monotonic(), None
        try:
            arrived = arrivals.look()
        except ManifestError as error:
            arrived, trouble = table_of([], []), error
        looked = time.monotonic()
        if away != bool(trouble):
            away = bool(trouble)
            yield trouble
        chosen = engine if engine and len(arrived) >= many else here
        with contextlib.suppress(ManifestError):  # the folder went meanwhile, which the next look will tell
            yield from _score(output, arrivals, score(arrived, scorer, engine=chosen, store=store))
        time.sleep(max(PAUSE, PAUSES_PER_LOOK * (looked - began)))


def _score(output: Output, arrivals: Arrivals, scored: Generator[Scores, None, None]) -> Generator[Added, None, None]:
    """Add what is for good of some scores to an output."""
    began = time.monotonic()
    for scores in map(arrivals.accept, scored):
        if scores.inputs:
            output.append(scores)
            yield Added(scores, time.monotonic() - began)
        began = time.monotonic()
