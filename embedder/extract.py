"""The one loop: image files to an embedding store, each image read and decoded once for all backbones.

What the store knows is told from what is new by path, size and mtime, and then by content. An engine reads and embeds
the rest; here it is counted and committed, shard by shard. Beside one shard of vectors only a few short values per
image are held.
"""

import contextlib
import ctypes
import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from data.errors import BackboneError, StoreError
from embedder.backbone import Backbone
from embedder.changes import Changes
from embedder.engine import READ, Block, Embedded, Engine, Image, InProcess, Jobs
from embedder.faces.finder import Finder
from embedder.faces.known import KnownFaces
from embedder.known import OK, Files, Held, Outcome, held_in, keys_of
from embedder.report import ExtractReport, Record
from embedder.spec import EmbeddingSpec
from embedder.store import IMAGE_COLUMNS, ROW_COLUMNS, EmbeddingStore, path_key

SHARD_ROWS = 4096  # a shard is committed at this many rows of one backbone,
SHARD_BYTES = 32 << 20  # at this many bytes of vectors,
SHARD_SECONDS = 60.0  # or at this age: the most that a kill can cost;
FIRST_SECONDS = 4.0  # the first one at this age, each next one at twice the age: a job that is killed every minute ends


def extract(
    images: pd.DataFrame,
    backbones: Sequence[Backbone],
    store: EmbeddingStore,
    *,
    finder: Finder | None = None,
    engine: Engine | None = None,
    retry_failed: bool = False,
    anonymise: bool = False,
    shard: tuple[int, int] | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> ExtractReport:
    """Bring a store up to date with a list of image files.

    Only what is missing is computed: a file whose path, size and mtime the store knows is not read again, and bytes
    it knows are not embedded again, under whatever name they come.

    Parameters
    ----------
    images : DataFrame with columns image_id and path; where a listing has told them, also size and mtime_ns.
    backbones : those whose embeddings are wanted.
    store : where they go, shard by shard.
    finder : finds the faces in the pictures that are to be embedded; without one, each picture is a face as it is.
    engine : what reads and embeds with these backbones and this finder: this process, or `Workers`.
    retry_failed : whether contents that failed before are tried again.
    anonymise : keep no names of files, only their hashes.
    shard : (i, n) to do the i-th of n parts alone, i from 1. An image's part depends on its image_id alone, so further
        images move no other, and machines that see the same ids agree.
    on_progress : called with the number of images done since the last call.

    Raises
    ------
    StoreError : the disk is full or cannot be written; what was committed before is kept.
    BackboneError : a backbone cannot go on, e.g. its process was killed; what it embedded before is kept. Or it is for
        faces of another detector than the finder's.
    DetectorError : a detector failed on a picture; what was done before is kept.
    ManifestError : the folder of the images is gone; what was embedded before is kept.
    """
    steps = extract_in_steps(
        images,
        backbones,
        store,
        finder=finder,
        engine=engine,
        retry_failed=retry_failed,
        anonymise=anonymise,
        shard=shard,
        on_progress=on_progress,
    )
    (report,) = deque(steps, maxlen=1)
    return report


def extract_in_steps(
    images: pd.DataFrame,
    backbones: Sequence[Backbone],
    store: EmbeddingStore,
    *,
    finder: Finder | None = None,
    engine: Engine | None = None,
    retry_failed: bool = False,
    anonymise: bool = False,
    shard: tuple[int, int] | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Generator[ExtractReport, None, None]:
    """`extract`, which stops after every commit for its caller to use what the store holds by then.

    Yields
    ------
    ExtractReport : one and the same, whose `record` says which images were reached; its sums are there the last time.
    """
    started = time.perf_counter()
    files = Files(store)
    _check_names(store, files, anonymise=anonymise)
    listed = np.sort(keys_of(images["path"]))
    if shard:
        images = images[[is_in_shard(image_id, shard) for image_id in images["image_id"]]]
    specs = [*([finder.spec] if finder else []), *(backbone.spec for backbone in backbones)]
    _check_detector(specs, finder)
    held, known = _what_is_held(store, specs, finder, retry_failed=retry_failed)
    refused = known.refusals(finder.settings.choice) if known and finder else {}
    job = _Job(images, held, Changes(images, files, listed=listed), refused=refused, anonymise=anonymise)
    committer = _Committer(store, specs)
    todo = job.recognise()
    on_progress(len(images) - len(todo))
    _give_back_memory()  # what listing and recognising took: the networks want it now
    settled = {print_: each.settled for print_, each in held.items()}
    blocks = (engine or InProcess(backbones, finder=finder)).run(todo, settled, known)
    try:
        for block in blocks:
            # in this order: whenever an interrupt comes, what is said to be done will be committed
            committer.add_rows(job.new_rows(block))
            block.settle(settled)
            committer.add_files(job.note(block.images))
            on_progress(len(block.images))
            if committer.commit_if_due():
                yield job.report
    except KeyboardInterrupt:
        job.report.interrupted = True
    except StoreError:
        raise  # the disk refuses: there is nothing to try again
    except Exception:
        committer.commit()
        raise
    finally:
        blocks.close()
    committer.commit()
    yield job.finish(committer.seconds, time.perf_counter() - started)


def _what_is_held(
    store: EmbeddingStore, specs: Sequence[EmbeddingSpec], finder: Finder | None, *, retry_failed: bool
) -> tuple[dict[str, Held], KnownFaces | None]:
    """What the store has for each fingerprint; and the faces it knows, if faces are what is embedded."""
    if finder is None:
        return {spec.fingerprint: held_in(store, spec.fingerprint, retry_failed=retry_failed) for spec in specs}, None
    known = KnownFaces(store, finder.spec.fingerprint)
    found = held_in(store, finder.spec.fingerprint, faces=True, retry_failed=retry_failed)
    wanted = known.wanted(finder.settings.choice)
    held = {finder.spec.fingerprint: found}
    for spec in specs[1:]:
        each = known.held(spec.fingerprint, wanted, retry_failed=retry_failed)
        if not retry_failed:
            each.settled.add(found.failed)
        held[spec.fingerprint] = each
    return held, known


def is_in_shard(image_id: str, shard: tuple[int, int]) -> bool:
    """Whether an image belongs to part i of n, (i, n) with i from 1; each belongs to one."""
    i, n = shard
    return int.from_bytes(hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest()[:8], "big") % n == i - 1


class File(NamedTuple):
    """A row of images/."""

    path_key: str
    path: str
    size: int
    mtime_ns: int
    sha256: str


class _Job:
    """What is known and what has been found out about each image of one `extract`.

    Parameters
    ----------
    held : by fingerprint.
    refused : contents with faces none of which is wanted, and why: that is no failure, and no row tells of it.
    """

    def __init__(
        self,
        images: pd.DataFrame,
        held: dict[str, Held],
        changes: Changes,
        *,
        refused: dict[bytes, Outcome],
        anonymise: bool,
    ) -> None:
        self._ids, self._paths = images["image_id"], images["path"]
        self._held, self._changes, self._refused = held, changes, refused
        self._anonymise = anonymise
        self._record = Record(images)
        self.report = ExtractReport(self._record)

    def recognise(self) -> Jobs:
        """Settle what the store already knows without reading a file; return the rest."""
        same, contents = self._changes.unchanged()
        for held in self._held.values():
            settled = held.settled.holds(contents)
            same, contents = same[settled], contents[settled]
        self._record.set_known(same, contents)
        failed = np.array([sha for held in self._held.values() for sha in held.failed], "S32")
        refused = np.array([*self._refused], "S32")
        for position in same[np.isin(contents, np.concatenate([failed, refused]))].tolist():
            self._note_outcome(position, self._record.content(position))
        self.report.skipped = int(np.isin(contents, failed).sum())
        return Jobs(self._record.not_reached(), self._paths)

    def new_rows(self, block: Block) -> dict[str, Embedded]:
        """What is new in a block, by fingerprint."""
        if all(image.sha256 is None for image in block.images):
            self._changes.require_source()
        new = {}
        for print_, embedded in block.embedded.items():
            new[print_] = _to_write(embedded, self._held[print_])
            self.report.embedded[print_] += len(new[print_].vectors)
            self.report.infer_seconds[print_] = self.report.infer_seconds.get(print_, 0.0) + embedded.seconds
        return new

    def note(self, images: Sequence[Image]) -> list[File]:
        """Give images whose rows are known their statuses; return the files that the store does not have so."""
        return [file for image in images for file in self._note_image(image)]

    def _note_image(self, image: Image) -> list[File]:
        """Note what became of an image; return its file if the store does not have it so."""
        self.report.read += 1
        self.report.read_seconds += image.read_seconds
        self.report.decode_seconds += image.decode_seconds
        if image.sha256 is None:
            self._record.set_failed(image.position, (image.status, image.reason))
            return []
        if image.status != READ:
            self._refused[image.sha256] = image.status, image.reason
        self._record.set_read(image.position, image.sha256, self._changes.of(image.position, image.sha256))
        self._note_outcome(image.position, image.sha256)
        if self._changes.is_recorded(image):
            return []
        name = "" if self._anonymise else str(self._ids.iat[image.position])
        path = str(self._paths.iat[image.position])
        return [File(path_key(path), name, image.size, image.mtime_ns, image.sha256.hex())]

    def _note_outcome(self, position: int, sha256: bytes) -> None:
        """An image is ok if it is for every backbone; else its first failure stands for it."""
        outcomes = (*(held.failed for held in self._held.values()), self._refused)
        failures = [outcome[sha256] for outcome in outcomes if sha256 in outcome]
        if failures:
            self._record.set_failed(position, failures[0])

    def finish(self, write_seconds: float, seconds: float) -> ExtractReport:
        """The report, with its sums."""
        report = self.report
        report.write_seconds, report.seconds = write_seconds, seconds
        report.gone = self._changes.count_gone()
        return report


def _check_names(store: EmbeddingStore, files: Files, *, anonymise: bool) -> None:
    """Refuse to mix files with and without their names in one store."""
    if anonymise and files.named:
        raise StoreError(
            f"{store.path} holds names of files, which --anonymise would not take out: extract into a new store"
        )
    if not anonymise and files.nameless:
        raise StoreError(f"{store.path} holds no names of files: add --anonymise, or extract into a new store")


def _check_detector(specs: Sequence[EmbeddingSpec], finder: Finder | None) -> None:
    """Refuse backbones whose fingerprints would say that another detector found what this finder finds."""
    for spec in specs:
        if finder and spec.detector != finder.spec.detector:
            raise BackboneError(
                f"{spec.name} expects faces of the detector {spec.detector}, and {finder.spec.detector} is to find "
                f"them: load it with detector={finder.spec.detector}"
            )


def _to_write(embedded: Embedded, held: Held) -> Embedded:
    """What the store is to be told of: not what another process has embedded meanwhile, nor a failure it knows."""
    news = {key: outcome for key, outcome in embedded.outcomes.items() if key[0] not in held.settled}
    outcomes = {key: outcome for key, outcome in news.items() if held.failed.get(key[0]) != outcome}
    ok = [key for key, outcome in embedded.outcomes.items() if outcome == OK]
    held.add(news)
    return Embedded(outcomes, embedded.vectors[[key in outcomes for key in ok]], embedded.seconds)


def _give_back_memory() -> None:
    """Return to the system what nobody uses any more: it counts for the peak of a long job as if it were used."""
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError, OSError):  # glibc has this, others do it by themselves
        ctypes.CDLL(None).malloc_trim(0)


class _Committer:
    """What waits for the next commit.

    Attributes
    ----------
    seconds : spent writing.
    """

    def __init__(self, store: EmbeddingStore, specs: Sequence[EmbeddingSpec]) -> None:
        self._store = store
        self._specs = {spec.fingerprint: spec for spec in specs}
        self._rows: dict[str, list[Embedded]] = {print_: [] for print_ in self._specs}
        self._files: list[File] = []
        self._committed = time.monotonic()
        self._patience = FIRST_SECONDS
        self.seconds = 0.0

    def add_rows(self, rows: dict[str, Embedded]) -> None:
        """Keep rows for the next commit."""
        for print_, embedded in rows.items():
            if embedded.outcomes:
                self._rows[print_].append(embedded)

    def add_files(self, files: list[File]) -> None:
        """Keep files for the next commit; their rows have been added before."""
        self._files += files

    def commit_if_due(self) -> bool:
        """Commit what waits at SHARD_ROWS, SHARD_BYTES or its age, whichever comes first; say whether it was due."""
        size = sum(each.vectors.nbytes for waiting in self._rows.values() for each in waiting)
        most = max(sum(len(each.outcomes) for each in waiting) for waiting in self._rows.values())
        age = time.monotonic() - self._committed
        due = max(most, len(self._files)) >= SHARD_ROWS or size >= SHARD_BYTES or age >= self._patience
        if due:
            self.commit()
            self._patience = min(2 * self._patience, SHARD_SECONDS)
        return due

    def commit(self) -> None:
        """Write a shard per backbone, then the files: a file is never known before its vectors are."""
        started = time.perf_counter()
        for print_, spec in self._specs.items():
            waiting = self._rows[print_]
            if waiting:
                rows = [
                    (sha.hex(), face, *outcome) for each in waiting for (sha, face), outcome in each.outcomes.items()
                ]
                frame = pd.DataFrame(rows, columns=ROW_COLUMNS)
                none = np.empty((0, *spec.dim), spec.dtype)
                vectors = np.concatenate([none, *(each.vectors for each in waiting if len(each.vectors))])
                self._store.add(spec, frame, vectors, seconds=sum(each.seconds for each in waiting))
                self._rows[print_] = []  # only now: an interrupt during the write leaves them for the last commit
        if self._files:
            self._store.add_images(pd.DataFrame(self._files, columns=IMAGE_COLUMNS))
        self._files = []
        _give_back_memory()  # Arrow keeps what a write took, the networks never see it
        self._committed = time.monotonic()
        self.seconds += time.perf_counter() - started
