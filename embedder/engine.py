"""Where images are read and embedded: in this process, or in several that may die without harm.

Either way threads read, hash, decode and crop the next block of images while the backbones embed the present one (all
of that releases Python's lock). Two blocks of face crops are all that a process holds.
"""

import functools
import hashlib
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import BackboneError
from data.remote import Place, is_remote
from embedder.backbone import Backbone, start_backbone, usable_cores
from embedder.faces.face import Face
from embedder.faces.finder import FOUND, Finder, FinderSettings, load_finder
from embedder.faces.known import KnownFaces
from embedder.faces.table import Rows
from embedder.faces.templates import AlignmentError
from embedder.known import OK, Contents, Key, Outcome
from embedder.preprocess import ImageRejected, Picture, decoded, read_file
from embedder.processes import exit_of, start_processes
from embedder.spec import BackboneSpec, EmbeddingSpec
from embedder.store import open_store

BLOCK_PER_CORE = 64  # images per core handed to the backbones at once: some 16 batches, so cores finish together
PHOTOS_PER_CORE = 16  # the same where faces are looked for, which takes longer than all else
READERS, REMOTE_READERS = 4, 32  # threads, which wait for a disk or for a server most of the time
CRASHES_IN_A_ROW = 5  # images, after which the machine is to blame
PARTS = 8  # of a chunk that ended a process: two deaths lead from 64 images to one
CRASHED = "crashed"  # the status of an image that ends the process which works on it

READ, _ = FOUND  # the status of an image of which something is embedded, or known already
NOT_ALIGNED: Outcome = ("not_aligned", "the landmarks that were found in it make no face")

# of a face, by whether its vector is finite: a graph that divides by a length of 0 gives NaN for a black picture
_OUTCOMES = {True: OK, False: ("no_embedding", "the backbone gave no finite numbers for this picture")}

Job = tuple[int, str]  # an image's position in the list, and its path
Settled = Mapping[str, Contents]  # by fingerprint, a detector's first: what is not to be embedded, or looked for


class Jobs(Sequence[Job]):
    """Jobs of 8 bytes each: they are made when they are asked for, and a slice of them makes none yet.

    Parameters
    ----------
    positions : ndarray of shape (n,), int64, of the images to be done.
    paths : of all images.
    """

    def __init__(self, positions: NDArray[np.int64], paths: pd.Series) -> None:
        self._positions, self._paths = positions, paths

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, at: int) -> Job: ...
    @overload
    def __getitem__(self, at: slice) -> "Jobs": ...
    def __getitem__(self, at: int | slice) -> "Job | Jobs":
        if isinstance(at, slice):
            return Jobs(self._positions[at], self._paths)
        position = int(self._positions[at])
        return position, str(self._paths.iat[position])

    def __iter__(self) -> Iterator[Job]:
        return zip(self._positions.tolist(), self._paths.iloc[self._positions].tolist(), strict=True)


@dataclass
class Image:
    """One image that was read.

    Attributes
    ----------
    sha256 : 32 bytes; None where it could not be read.
    status, reason : why nothing of it was embedded; READ where something was, or is known already.
    size, mtime_ns : of the file as it was read.
    read_seconds, decode_seconds : of one thread.
    """

    position: int
    size: int = -1
    mtime_ns: int = -1
    sha256: bytes | None = None
    status: str = READ
    reason: str = ""
    read_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass
class Embedded:
    """What one backbone, or a detector, made of the contents in a block that were not settled: each once.

    Attributes
    ----------
    outcomes : by content and face, in order; what keeps a whole image from being embedded stands under face 0.
    vectors : ndarray of shape (k, *dim): one for each of the k outcomes that are ok.
    seconds : that the backbone took.
    """

    outcomes: dict[Key, Outcome]
    vectors: NDArray[Any]
    seconds: float = 0.0


@dataclass
class Block:
    """Images that are done, and what is new in them, by fingerprint."""

    images: list[Image]
    embedded: dict[str, Embedded] = field(default_factory=dict)

    def settle(self, settled: Settled) -> None:
        """Note that its contents are done, for every backbone."""
        for contents in settled.values():
            contents.add(image.sha256 for image in self.images if image.sha256 is not None)


class Engine(Protocol):
    """Reads and embeds images."""

    def run(
        self, jobs: Sequence[Job], settled: Settled, known: KnownFaces | None = None
    ) -> Generator[Block, None, None]:
        """Every image in some block, in any order. The caller settles a block's contents before it asks for the next.

        Parameters
        ----------
        known : faces that were found before, for an engine that has a finder.

        Raises
        ------
        BackboneError : a backbone cannot go on.
        DetectorError : a detector cannot.
        """


@dataclass
class _Prepared:
    """An image on its way to the backbones.

    Attributes
    ----------
    rejected : whether it cannot be decoded, which its status tells.
    found : rows of a Faces table that were found now, (n, columns); None if nothing was looked for.
    find_seconds, wait_seconds : that it took, and that other threads' pictures took before.
    crops : by fingerprint, and by the number of the face; in place of one that cannot be had, why.
    """

    image: Image
    rejected: bool = False
    found: Rows | None = None
    find_seconds: float = 0.0
    wait_seconds: float = 0.0
    crops: dict[str, dict[int, Picture | Outcome]] = field(default_factory=dict)


class InProcess:
    """Works in this process, on the cores it may use.

    Parameters
    ----------
    backbones : those to embed with; what an image's crop needs is asked of them in threads.
    finder : finds faces in the pictures; without one each picture is a face as it is.
    """

    def __init__(
        self, backbones: Sequence[Backbone], *, finder: Finder | None = None, cores: int | None = None
    ) -> None:
        self._backbones = {backbone.spec.fingerprint: backbone for backbone in backbones}
        self._finder = finder
        self._cores = cores or usable_cores()
        self._warm: set[str] = set()
        self._finding = threading.Lock()

    @property
    def specs(self) -> list[EmbeddingSpec]:
        """Of what it fills: the finder's first, if there is one, and the backbones'."""
        return [*([self._finder.spec] if self._finder else []), *(each.spec for each in self._backbones.values())]

    def run(
        self, jobs: Sequence[Job], settled: Settled, known: KnownFaces | None = None
    ) -> Generator[Block, None, None]:
        """See `Engine`; blocks come in the order of jobs."""
        size = (PHOTOS_PER_CORE if self._finder else BLOCK_PER_CORE) * self._cores
        remote = bool(jobs) and is_remote(jobs[0][1])
        readers = max(REMOTE_READERS if remote else READERS, self._cores)
        threads = ThreadPoolExecutor(readers, thread_name_prefix="read")
        prepare = functools.partial(self._prepare, settled=settled, known=known)
        try:
            ahead = [threads.submit(prepare, job) for job in jobs[:size]]
            for start in range(size, len(jobs) + size, size):
                present, ahead = ahead, [threads.submit(prepare, job) for job in jobs[start : start + size]]
                yield self._embed([future.result() for future in present], settled)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)  # one may hang for good, on a drive that is gone

    def _prepare(self, job: Job, settled: Settled, known: KnownFaces | None) -> _Prepared:
        """Read, hash, decode and crop one image, unless it is settled."""
        position, path = job
        image = Image(position)
        prepared = _Prepared(image)
        started = time.perf_counter()
        try:
            found, content = read_file(path)
            image.size, image.mtime_ns = found.st_size, found.st_mtime_ns
            image.sha256 = hashlib.sha256(content).digest()
            image.read_seconds = time.perf_counter() - started
            missing = [print_ for print_, contents in settled.items() if image.sha256 not in contents]
            if missing:
                with decoded(content) as picture:
                    self._look(prepared, picture, missing, known)
        except ImageRejected as rejected:
            image.status, image.reason = rejected.status, rejected.reason
            prepared.rejected = True
        beside = image.read_seconds + prepared.find_seconds + prepared.wait_seconds
        image.decode_seconds = time.perf_counter() - started - beside
        return prepared

    def _look(self, prepared: _Prepared, picture: Picture, missing: list[str], known: KnownFaces | None) -> None:
        """Make what the backbones will see of a picture."""
        backbones = {print_: self._backbones[print_] for print_ in missing if print_ in self._backbones}
        if self._finder is None:
            prepared.crops = {print_: {0: backbone.crop(picture)} for print_, backbone in backbones.items()}
            return
        image, rows = prepared.image, None
        if known and image.sha256 and self._finder.spec.fingerprint not in missing:
            rows = known.rows_of(image.sha256)
        if rows is None:
            asked = time.perf_counter()
            with self._finding:  # which detectors do anyway: so the wait is known
                started = time.perf_counter()
                rows = prepared.found = self._finder.find(picture)
                prepared.find_seconds = time.perf_counter() - started
            prepared.wait_seconds = started - asked
        faces, (image.status, image.reason) = self._finder.choose(rows)
        for print_, backbone in backbones.items():
            prepared.crops[print_] = {number: _cut(backbone, picture, face) for number, face in faces.items()}

    def _embed(self, prepared: list[_Prepared], settled: Settled) -> Block:
        block = Block([each.image for each in prepared])
        for print_, contents in settled.items():
            new = {
                each.image.sha256: each
                for each in prepared
                if each.image.sha256 is not None and each.image.sha256 not in contents
            }
            if new:
                make = self._embed_new if print_ in self._backbones else self._found_new
                block.embedded[print_] = make(print_, new)
        return block

    def _embed_new(self, print_: str, new: dict[bytes, _Prepared]) -> Embedded:
        """What a backbone makes of new contents. Where there is a finder, only its table tells of those without a face
        or a picture: a kill between the two commits cannot leave a difference.
        """
        backbone = self._backbones[print_]
        outcomes: dict[Key, Outcome] = {}
        if self._finder is None:
            rejected = ((sha256, each.image) for sha256, each in new.items() if each.rejected)
            outcomes = {(sha256, 0): (image.status, image.reason) for sha256, image in rejected}
        if print_ not in self._warm:  # outside the time that is measured
            backbone.warm_up()
            self._warm.add(print_)
        crops: dict[Key, Picture] = {}
        for sha256, each in new.items():
            for number, crop in each.crops.get(print_, {}).items():
                if isinstance(crop, tuple):
                    outcomes[sha256, number] = crop
                else:
                    crops[sha256, number] = crop
        started = time.perf_counter()
        vectors = backbone.embed([*crops.values()])
        seconds = time.perf_counter() - started
        finite = np.isfinite(vectors).all(axis=tuple(range(1, vectors.ndim)))
        outcomes |= {key: _OUTCOMES[bool(fine)] for key, fine in zip(crops, finite, strict=True)}
        return Embedded(outcomes, vectors[finite], seconds)

    @staticmethod
    def _found_new(print_: str, new: dict[bytes, _Prepared]) -> Embedded:
        """What the finder found, as a Faces table keeps it."""
        outcomes: dict[Key, Outcome] = {}
        rows: list[Rows] = []
        for sha256, each in new.items():
            if each.found is not None and len(each.found):
                outcomes |= {(sha256, number): OK for number in range(1, len(each.found) + 1)}
                rows.append(each.found)
            else:
                outcomes[sha256, 0] = each.image.status, each.image.reason
        seconds = sum(each.find_seconds for each in new.values())
        return Embedded(outcomes, np.concatenate(rows) if rows else np.empty((0, 0), np.float32), seconds)


def _cut(backbone: Backbone, picture: Picture, face: Face) -> Picture | Outcome:
    try:
        return backbone.crop_face(picture, face)
    except AlignmentError:
        return NOT_ALIGNED


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
        self._rows = tuple(backbone.row for backbone in backbones if backbone.row)
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
        size = min((PHOTOS_PER_CORE if self._finder else BLOCK_PER_CORE) * cores, -(-len(jobs) // (2 * self._most)))
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
