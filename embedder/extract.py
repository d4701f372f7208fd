"""The one loop: image files to an embedding store, each image read and decoded once for all backbones.

Threads read, hash, decode and crop the next block of images while the backbones embed the present one (all of that
releases Python's lock). Two blocks of face crops and one shard of vectors are all that is held, whatever the number
of images; beside them one short row per image.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.errors import StoreError
from embedder.backbone import Backbone, usable_cores
from embedder.preprocess import ImageRejected, Picture, decode, read_file
from embedder.store import IMAGE_COLUMNS, ROW_COLUMNS, EmbeddingStore, path_key

BLOCK_PER_CORE = 64  # images per core handed to the backbones at once: some 16 batches, so cores finish together
SHARD_ROWS = 4096  # a shard is committed at this many rows of one backbone,
SHARD_BYTES = 32 << 20  # at this many bytes of vectors,
SHARD_SECONDS = 60.0  # or at this age: the most that a kill can cost

# of a face, by whether its vector is finite: a graph that divides by a length of 0 gives NaN for a black picture
_OUTCOMES = {True: ("ok", ""), False: ("no_embedding", "the backbone gave no finite numbers for this picture")}

NOT_REACHED = "not_reached"  # the status of an image that an interrupted run did not come to


@dataclass
class ExtractReport:
    """What became of every image, and where the time went.

    Attributes
    ----------
    images : DataFrame in input order with image_id, path, sha256 (None where unreadable), status and reason.
    known : images for which nothing had to be computed.
    copies : images with the bytes of another image that the run or the store already had.
    embedded : new rows by fingerprint: two backbones may bear one name.
    infer_seconds : time spent embedding, by fingerprint.
    read_seconds, decode_seconds : summed over threads, overlapping with everything else.
    write_seconds, seconds : of the loop's thread; `seconds` is the whole run.
    interrupted : True after Ctrl-C; everything embedded until then is committed.
    """

    images: pd.DataFrame
    known: int = 0
    copies: int = 0
    embedded: Counter[str] = field(default_factory=Counter)
    infer_seconds: dict[str, float] = field(default_factory=dict)
    read_seconds: float = 0.0
    decode_seconds: float = 0.0
    write_seconds: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def statuses(self) -> dict[str, int]:
        """Images by status, most frequent first; the counts add up to the images that went in."""
        return {str(status): int(n) for status, n in self.images["status"].value_counts().items()}

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of `images` that were reached and are not ok."""
        return self.images[~self.images["status"].isin(["ok", NOT_REACHED])]


def extract(
    images: pd.DataFrame,
    backbones: Sequence[Backbone],
    store: EmbeddingStore,
    *,
    on_progress: Callable[[int], object] = lambda n: None,
) -> ExtractReport:
    """Bring a store up to date with a list of image files.

    Only what is missing is computed: a file whose path, size and mtime the store knows is not read again, and bytes
    it knows are not embedded again, under whatever name they come.

    Parameters
    ----------
    images : DataFrame with columns image_id and path.
    backbones : those whose embeddings are wanted.
    store : where they go, shard by shard.
    on_progress : called with the number of images done since the last call.

    Raises
    ------
    StoreError : the disk is full or cannot be written; what was committed before is kept.
    BackboneError : a backbone cannot go on, e.g. its process was killed; what it embedded before is kept.
    """
    started = time.perf_counter()
    job = _Job(images, backbones, store)
    todo = job.recognise()
    on_progress(len(images) - len(todo))
    block = BLOCK_PER_CORE * usable_cores()
    threads = ThreadPoolExecutor(max(4, usable_cores()), thread_name_prefix="read")
    try:
        for prepared in _blocks(threads, job.prepare, todo, size=block):
            job.embed(prepared)
            job.commit_if_due()
            on_progress(len(prepared))
    except KeyboardInterrupt:
        job.report.interrupted = True
    except StoreError:
        raise  # the disk refuses: there is nothing to try again
    except Exception:
        job.commit()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
    job.commit()
    return job.finish(time.perf_counter() - started)


@dataclass
class _Prepared:
    """One image as the reading threads hand it over."""

    position: int
    size: int = -1
    mtime_ns: int = -1
    sha256: str | None = None
    status: str = "read"
    reason: str = ""
    crops: dict[str, Picture] = field(default_factory=dict)  # by fingerprint
    read_seconds: float = 0.0
    decode_seconds: float = 0.0


def _blocks(
    threads: ThreadPoolExecutor, prepare: Callable[[int], _Prepared], todo: Sequence[int], *, size: int
) -> Iterator[list[_Prepared]]:
    """Prepared images block by block; while one is out, the threads work on the next, and on no more than that."""
    ahead = [threads.submit(prepare, position) for position in todo[:size]]
    for start in range(size, len(todo) + size, size):
        present, ahead = ahead, [threads.submit(prepare, position) for position in todo[start : start + size]]
        yield [future.result() for future in present]


class _Job:
    """The state of one `extract`: what is known, what waits to be committed."""

    def __init__(self, images: pd.DataFrame, backbones: Sequence[Backbone], store: EmbeddingStore) -> None:
        self._store = store
        self._backbones = {backbone.spec.fingerprint: backbone for backbone in backbones}
        self._ids = images["image_id"].to_numpy(dtype=object)
        self._paths = images["path"].to_numpy(dtype=object)
        self._sha256 = np.full(len(images), None, dtype=object)
        self._status = np.full(len(images), NOT_REACHED, dtype=object)
        self._reason = np.full(len(images), "", dtype=object)
        # by fingerprint: sha256 -> (status, reason) of what the store holds or will hold at the next commit
        self._held = {print_: _statuses(store.rows(print_)) for print_ in self._backbones}
        # waiting for the next commit, by fingerprint: (rows, vectors, seconds) of each block
        self._waiting: dict[str, list[tuple[pd.DataFrame, NDArray[Any], float]]] = {
            print_: [] for print_ in self._backbones
        }
        self._read: list[tuple[str, str, int, int, str]] = []
        self._recorded: dict[int, tuple[int, int]] = {}  # size and mtime_ns of files the store has a row of
        self._committed = time.monotonic()
        self.report = ExtractReport(pd.DataFrame())

    def recognise(self) -> list[int]:
        """Settle what the store already knows without reading a file; return the positions of the rest."""
        seen = self._store.images()
        files = zip(seen["path_key"], seen["size"], seen["mtime_ns"], strict=True)
        by_file = dict(zip(files, seen["sha256"], strict=True))
        todo = []
        for position, path in enumerate(self._paths):
            try:
                now = os.stat(path)
            except (OSError, ValueError):
                todo.append(position)  # reading it will say why
                continue
            sha256 = by_file.get((path_key(path), now.st_size, now.st_mtime_ns))
            if sha256 is not None:
                self._recorded[position] = now.st_size, now.st_mtime_ns
            if sha256 is not None and self._is_held(sha256):
                self._settle(position, sha256)
                self.report.known += 1
            else:
                todo.append(position)
        return todo

    def _is_held(self, sha256: str) -> bool:
        return all(sha256 in held for held in self._held.values())

    def _settle(self, position: int, sha256: str) -> None:
        """An image is ok if it is for every backbone; else its first failure stands for it."""
        found = [held[sha256] for held in self._held.values()]
        self._sha256[position] = sha256
        self._status[position], self._reason[position] = next((f for f in found if f[0] != "ok"), ("ok", ""))

    def prepare(self, position: int) -> _Prepared:
        """Read, hash, decode and crop one image; runs in a thread and changes nothing but what it returns."""
        image = _Prepared(position)
        path = self._paths[position]
        started = time.perf_counter()
        try:
            now, content = read_file(path)
            image.size, image.mtime_ns = now.st_size, now.st_mtime_ns
            image.sha256 = hashlib.sha256(content).hexdigest()
            image.read_seconds = time.perf_counter() - started
            missing = [print_ for print_, held in self._held.items() if image.sha256 not in held]
            if missing:
                picture = decode(content)
                image.crops = {print_: self._backbones[print_].crop(picture) for print_ in missing}
        except ImageRejected as rejected:
            image.status, image.reason = rejected.status, rejected.reason
        image.decode_seconds = time.perf_counter() - started - image.read_seconds
        return image

    def embed(self, block: list[_Prepared]) -> None:
        """Embed what is new in a block, equal bytes once, and give each of its images a status."""
        new: set[str] = set()
        for print_, backbone in self._backbones.items():
            images = {i.sha256: i for i in block if i.sha256 is not None and i.sha256 not in self._held[print_]}
            self._embed_images(backbone, images)
            new |= images.keys()
        for image in block:
            self.report.read_seconds += image.read_seconds
            self.report.decode_seconds += image.decode_seconds
            if image.sha256 is None:
                self._status[image.position], self._reason[image.position] = image.status, image.reason
            else:
                self._settle(image.position, image.sha256)
                if self._recorded.get(image.position) != (image.size, image.mtime_ns):
                    self._read.append((*self._file(image.position), image.size, image.mtime_ns, image.sha256))
        self.report.copies += sum(image.sha256 is not None for image in block) - len(new)

    def _embed_images(self, backbone: Backbone, images: dict[str, _Prepared]) -> None:
        print_ = backbone.spec.fingerprint
        if not images:
            return
        if print_ not in self.report.infer_seconds:
            backbone.warm_up()
        started = time.perf_counter()
        faces = [image.crops[print_] for image in images.values() if print_ in image.crops]
        vectors = backbone.embed(faces)
        seconds = time.perf_counter() - started
        finite = np.isfinite(vectors).all(axis=tuple(range(1, vectors.ndim)))
        embedded = iter(finite)
        found = {
            sha256: _OUTCOMES[bool(next(embedded))] if print_ in image.crops else (image.status, image.reason)
            for sha256, image in images.items()
        }
        rows = pd.DataFrame([(sha256, 0, *f) for sha256, f in found.items()], columns=ROW_COLUMNS)
        self._waiting[print_].append((rows, vectors[finite], seconds))  # in one step: both or neither
        self._held[print_].update(found)
        self.report.infer_seconds[print_] = self.report.infer_seconds.get(print_, 0.0) + seconds
        self.report.embedded[print_] += len(faces)

    def _file(self, position: int) -> tuple[str, str]:
        return path_key(self._paths[position]), self._ids[position]

    def commit_if_due(self) -> None:
        """Commit at SHARD_ROWS, SHARD_BYTES or SHARD_SECONDS, whichever comes first."""
        size = sum(vectors.nbytes for waiting in self._waiting.values() for _, vectors, _ in waiting)
        rows = max(sum(len(rows) for rows, _, _ in waiting) for waiting in self._waiting.values())
        age = time.monotonic() - self._committed
        if max(rows, len(self._read)) >= SHARD_ROWS or size >= SHARD_BYTES or age >= SHARD_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write a shard per backbone, then the files: a file is never known before its vectors are."""
        started = time.perf_counter()
        for print_, backbone in self._backbones.items():
            waiting = self._waiting[print_]
            if waiting:
                rows = pd.concat([rows for rows, _, _ in waiting], ignore_index=True)
                vectors = np.concatenate([vectors for _, vectors, _ in waiting])
                self._store.add(backbone.spec, rows, vectors, seconds=sum(seconds for _, _, seconds in waiting))
                self._waiting[print_] = []  # only now: an interrupt during the write leaves them for the last commit
        if self._read:
            self._store.add_images(pd.DataFrame(self._read, columns=IMAGE_COLUMNS))
        self._read = []
        self._committed = time.monotonic()
        self.report.write_seconds += time.perf_counter() - started

    def finish(self, seconds: float) -> ExtractReport:
        """The report, with one status for every image."""
        self.report.seconds = seconds
        self.report.images = pd.DataFrame(
            {
                "image_id": self._ids,
                "path": pd.Series(self._paths, dtype=object),  # pandas' strings refuse names that are not UTF-8
                "sha256": self._sha256,
                "status": self._status,
                "reason": self._reason,
            }
        )
        return self.report


def _statuses(rows: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return dict(zip(rows["sha256"], zip(rows["status"], rows["reason"], strict=True), strict=True))
