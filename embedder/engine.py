"""Where images are read and embedded: in this process. `embedder.workers` does it in several that may die.

Threads read, hash, decode and crop the next block of images while the backbones embed the present one (all of that
releases Python's lock). Two blocks of face crops are all that a process holds.
"""

import functools
import hashlib
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.remote import is_remote
from embedder.backbone import Backbone, usable_cores
from embedder.faces.face import Face
from embedder.faces.finder import FOUND, Finder
from embedder.faces.known import KnownFaces
from embedder.faces.table import Rows
from embedder.faces.templates import AlignmentError
from embedder.known import OK, Contents, Key, Outcome
from embedder.preprocess import ImageRejected, Picture, decoded, read_file
from embedder.spec import EmbeddingSpec

BLOCK_PER_CORE = 64  # images per core handed to the backbones at once: some 16 batches, so cores finish together
PHOTOS_PER_CORE = 16  # the same where faces are looked for, which takes longer than all else
READERS, REMOTE_READERS = 4, 32  # threads, which wait for a disk or for a server most of the time

READ, _ = FOUND  # the status of an image of which something is embedded, or known already
NOT_ALIGNED: Outcome = ("not_aligned", "the landmarks that were found in it make no face")

# of a face, by whether its vector is finite: a graph that divides by a length of 0 gives NaN for a black picture
_OUTCOMES = {True: OK, False: ("no_embedding", "the backbone gave no finite numbers for this picture")}

Job = tuple[int, str]  # an image's position in the list, and its path
Settled = Mapping[str, Contents]  # by fingerprint, a detector's first: what is not to be embedded, or looked for


def block_size(cores: int, *, faces: bool) -> int:
    """How many images are handed to the backbones at once; `faces` tells whether faces are looked for in them."""
    return (PHOTOS_PER_CORE if faces else BLOCK_PER_CORE) * cores


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
        size = block_size(self._cores, faces=self._finder is not None)
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
