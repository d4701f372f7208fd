"""Images read and embedded in several processes, any of which may die without harm."""

import functools
import hashlib
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import BackboneError
from data.remote import Place
from embedder.backbone import Backbone, start_backbone, usable_cores
from embedder.engine import Block, Embedded, Image, InProcess, Job, Settled, block_size
from embedder.faces.finder import Finder, FinderSettings, load_finder
from embedder.faces.known import KnownFaces
from embedder.known import Contents, Key
from embedder.preprocess import ImageRejected, read_file
from embedder.processes import exit_of, start_processes
from embedder.spec import BackboneSpec
from embedder.store import open_store

CRASHES_IN_A_ROW = 5  # images, after which the machine is to blame
PARTS = 8  # of a chunk that ended a process: two deaths lead from 64 images to one
CRASHED = "crashed"  # the status of an image that ends the process which works on it


@dataclass(frozen=True)
class _Order:
    """What a worker process is told with each chunk.

    Attributes
    ----------
    rows, finder : of the backbones, and what looks for faces, if anything does.
    fingerprints : of the detector, if there is a finder, and of the backbones.
    cores : how many to use.
    settled : the folder that says what is settled.
    known : the store that knows faces.
    """

    rows: tuple[BackboneSpec, ...]
    finder: FinderSettings | None
    fingerprints: tuple[str, ...]
    cores: int
    settled: Path
    known: Place | None


class Workers:
    """Works in several processes, each with its own backbones and its share of the cores.

    A process that dies takes none of the others' work along. What it was at is done again, in parts if that ends a
    process again, until the image is found that does it: it gets the status `crashed`.

    Parameters
    ----------
    backbones : by `load_backbone` or `start_backbone`; they do not work in this process, but in others like them.
    n : how many processes, at most.
    finder : as of `InProcess`; it does not work in this process either.
    """

    def __init__(self, backbones: Sequence[Backbone], n: int, *, finder: Finder | None = None) -> None:
        self._rows = tuple(backbone.row for backbone in backbones)
        specs = [*([finder.spec] if finder else []), *(backbone.spec for backbone in backbones)]
        self._finder = finder.settings if finder else None
        self._dims = {spec.fingerprint: spec.dim for spec in specs}
        self._most = n
        self._pool: Any = None
        self._processes = 0  # of the pool

    def run(
        self, jobs: Sequence[Job], settled: Settled, known: KnownFaces | None = None
    ) -> Generator[Block, None, None]:
        """See `Engine`; blocks come as they are done.

        Raises
        ------
        BackboneError : processes end before they can work, or one image after the other ends them.
        """
        if not jobs:
            return
        cores = max(1, usable_cores() // self._most)
        size = min(block_size(cores, faces=self._finder is not None), -(-len(jobs) // (2 * self._most)))
        chunks = deque(jobs[start : start + size] for start in range(0, len(jobs), size))
        with tempfile.TemporaryDirectory(prefix="faceprobe-") as folder:
            for print_, contents in settled.items():
                contents.save(Path(folder) / f"{print_}.npy")
            place_ = known.store.path if known else None
            order = _Order(self._rows, self._finder, tuple(self._dims), cores, Path(folder), place_)
            try:
                yield from self._without_crashes_in_a_row(self._run(order, chunks))
            finally:
                self._stop()

    def _without_crashes_in_a_row(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Hold back images that crashed until another one works: if none does, it is not the images' fault."""
        crashed: list[Block] = []
        for block in blocks:
            outcomes = [outcome for each in block.embedded.values() for outcome in each.outcomes.values()]
            if outcomes and all(status == CRASHED for status, _ in outcomes):
                crashed.append(block)
                if len(crashed) == CRASHES_IN_A_ROW:
                    raise BackboneError(
                        f"{len(crashed)} images in a row ended the process that worked on them, and none was done in "
                        "between: perhaps memory is short; give fewer --workers. None of them was recorded"
                    )
                continue
            yield from crashed
            crashed.clear()
            yield block
        yield from crashed

    def _run(self, order: _Order, chunks: deque[Sequence[Job]]) -> Iterator[Block]:
        """Keep two chunks per process under way; after a death, go through those that were, one by one."""
        processes = min(self._most, len(chunks))
        under_way: dict[Future[list[Block]], Sequence[Job]] = {}
        while chunks or under_way:
            while chunks and len(under_way) < 2 * processes:
                chunk = chunks.popleft()
                under_way[self._submit(order, chunk, processes=processes)] = chunk
            wait(under_way, return_when=FIRST_COMPLETED)
            suspects: deque[Sequence[Job]] = deque()
            for future in [future for future in under_way if future.done()]:
                chunk = under_way.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(chunk)
                else:
                    yield from future.result()
            if suspects:
                self._stop()
                suspects.extend(under_way.values())
                under_way.clear()
            while suspects:
                yield from self._alone(order, suspects)

    def _alone(self, order: _Order, suspects: deque[Sequence[Job]]) -> list[Block]:
        """Do the first of some chunks with no other beside it; where that ends the process, put its parts back."""
        chunk = suspects.popleft()
        how = ""
        for _ in range(2 if len(chunk) == 1 else 1):  # an image gets a second chance: memory may have been short
            try:
                return self._submit(order, chunk, processes=1).result()
            except BrokenProcessPool as error:
                how = exit_of(error)
                self._stop()
        if len(chunk) == 1:
            return [self._crashed(chunk[0], how)]
        size = -(-len(chunk) // PARTS)
        suspects.extendleft(reversed([chunk[start : start + size] for start in range(0, len(chunk), size)]))
        return []

    def _crashed(self, job: Job, how: str) -> Block:
        """What is recorded of an image that ends processes, by its content, which is read here but not decoded."""
        image, outcome = (
            Image(job[0]),
            (CRASHED, f"the process that works on it ends, twice and on this image alone{how}"),
        )
        try:
            found, content = read_file(job[1])
        except ImageRejected as rejected:  # it has gone meanwhile
            image.status, image.reason = rejected.status, rejected.reason
            return Block([image])
        image.size, image.mtime_ns, image.sha256 = found.st_size, found.st_mtime_ns, hashlib.sha256(content).digest()
        nothing = {print_: np.empty((0, *dim)) for print_, dim in self._dims.items()}
        whole: Key = image.sha256, 0
        return Block([image], {print_: Embedded({whole: outcome}, empty) for print_, empty in nothing.items()})

    def _submit(self, order: _Order, chunk: Sequence[Job], *, processes: int) -> "Future[list[Block]]":
        if self._processes != processes:
            self._stop()
            self._pool, self._processes = self._start(order, processes), processes
        try:
            return self._pool.submit(_work, order, [*chunk])
        except BrokenProcessPool as error:  # a process died since the last look; the future says so in its place
            broken: Future[list[Block]] = Future()
            broken.set_exception(error)
            return broken

    def _start(self, order: _Order, processes: int) -> Any:
        """New processes, one of which has shown that it can load the backbones. They get a second chance, too."""
        try:
            return self._start_once(order, processes)
        except BrokenProcessPool:
            try:
                return self._start_once(order, processes)
            except BrokenProcessPool as error:
                raise BackboneError(
                    f"a worker process ends while it loads {self._what()}{exit_of(error)}: perhaps memory is "
                    "short; give fewer --workers, or leave the option out to see what it says"
                ) from None

    def _start_once(self, order: _Order, processes: int) -> Any:
        pool = start_processes(processes, scratch=order.settled)
        try:
            found = pool.submit(_get_ready, order).result()
        except BaseException:
            pool.shutdown(kill_workers=True)
            raise
        if found != order.fingerprints:
            pool.shutdown(kill_workers=True)
            raise BackboneError("a worker process found other weights than this one: leave the files alone, run again")
        return pool

    def _what(self) -> str:
        detector = [f"the detector {self._finder.detector}"] if self._finder else []
        return ", ".join([*(row.name for row in self._rows), *detector])

    def _stop(self) -> None:
        pool, self._pool, self._processes = self._pool, None, 0
        if pool is not None:
            pool.shutdown(kill_workers=True)


@functools.lru_cache(maxsize=1)
def _engine(order: _Order) -> tuple[InProcess, dict[str, Contents], KnownFaces | None, tuple[str, ...]]:
    """What a worker process loads once."""
    backbones = [start_backbone(row, cores=order.cores) for row in order.rows]
    finder = load_finder(order.finder) if order.finder else None
    settled = {print_: Contents.load(order.settled / f"{print_}.npy") for print_ in order.fingerprints}
    engine = InProcess(backbones, finder=finder, cores=order.cores)
    known = KnownFaces(open_store(order.known), finder.spec.fingerprint) if finder and order.known else None
    return engine, settled, known, tuple(spec.fingerprint for spec in engine.specs)


def _get_ready(order: _Order) -> tuple[str, ...]:
    """Load the backbones in a worker process; return their fingerprints."""
    return _engine(order)[-1]


def _work(order: _Order, chunk: Sequence[Job]) -> list[Block]:
    """Do a chunk in a worker process."""
    engine, settled, known, _ = _engine(order)
    done = []
    for block in engine.run(chunk, settled, known):
        block.settle(settled)
        done.append(block)
    return done
