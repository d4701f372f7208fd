"""What became of every image of an `extract`, and where the time went."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedder.known import Hashes, Outcome

NOT_REACHED = "not_reached"  # the status of an image that an interrupted run did not come to
CHANGES = ("known", "new", "changed", "moved", "copy", "failed")  # what can be said of an image that was reached

NO_FACE = ("no_face", "face_too_small", "low_confidence", "low_quality")  # what is said of images that can be read


def failed_among(statuses: Mapping[str, int]) -> int:
    """How many images failed; to have no face, or none that is wanted, is no failure.

    Parameters
    ----------
    statuses : how many have each status.
    """
    return sum(n for status, n in statuses.items() if status not in ("ok", NOT_REACHED, *NO_FACE))


class Record:
    """What has been found out about each of some images: 33 bytes each, and what failures say.

    Parameters
    ----------
    images : DataFrame with columns image_id and path.
    """

    def __init__(self, images: pd.DataFrame) -> None:
        self._images = images[["image_id", "path"]].reset_index(drop=True)
        self._sha256 = np.zeros(len(images), "S32")
        self._change = np.full(len(images), -1, np.int8)  # into CHANGES; -1 for those not reached
        self._outcomes: dict[int, Outcome] = {}  # of images that are not ok; most are

    def __len__(self) -> int:
        """Count the images."""
        return len(self._change)

    def set_known(self, positions: NDArray[np.int64], contents: Hashes) -> None:
        """Note images whose contents (n,) are what they were."""
        self._sha256[positions] = contents
        self._change[positions] = CHANGES.index("known")

    def set_read(self, position: int, sha256: bytes, change: str) -> None:
        """Note the content of an image, 32 bytes, and what has changed in it."""
        self._sha256[position : position + 1] = np.frombuffer(sha256, "S32")
        self._change[position] = CHANGES.index(change)

    def set_failed(self, position: int, outcome: Outcome) -> None:
        """Note why an image is not ok."""
        self._outcomes[position] = outcome
        self._change[position] = CHANGES.index("failed")

    def content(self, position: int) -> bytes:
        """The SHA-256 of an image that was read, 32 bytes."""
        return self._sha256[position : position + 1].tobytes()  # of a single one NumPy would strip zero bytes

    def not_reached(self) -> NDArray[np.int64]:
        """The positions of images of which nothing was noted."""
        return np.flatnonzero(self._change < 0)

    def failures(self) -> NDArray[np.int64]:
        """The positions of images that are not ok, in order."""
        return np.array(sorted(self._outcomes), np.int64)

    def statuses(self) -> dict[str, int]:
        """Images by status, most frequent first."""
        not_reached = len(self.not_reached())
        counts = Counter({"ok": len(self) - not_reached - len(self._outcomes), NOT_REACHED: not_reached})
        counts.update(status for status, _ in self._outcomes.values())
        return {status: count for status, count in counts.most_common() if count}

    def changes(self) -> dict[str, int]:
        """Images by change, in the order of CHANGES."""
        counts = np.bincount(self._change[self._change >= 0], minlength=len(CHANGES))
        return dict(zip(CHANGES, counts.tolist(), strict=True))

    def frame(self, positions: NDArray[np.int64]) -> pd.DataFrame:
        """The rows of some images, labelled by their positions, as `ExtractReport.images` has them."""
        change = self._change[positions]
        ok = ["ok" if reached else NOT_REACHED for reached in change >= 0]
        outcomes = [self._outcomes.get(at, (status, "")) for at, status in zip(positions.tolist(), ok, strict=True)]
        columns = {
            "sha256": [self.content(at).hex() if self._sha256[at] else None for at in positions.tolist()],
            "status": [status for status, _ in outcomes],
            "reason": [reason for _, reason in outcomes],
            "change": np.array([*CHANGES, ""], dtype=object)[change],
        }
        objects = {name: pd.Series(values, positions, dtype=object) for name, values in columns.items()}
        return self._images.iloc[positions].assign(**objects)


@dataclass
class ExtractReport:
    """What became of every image, and where the time went.

    Attributes
    ----------
    record : what is known of each image; `images`, `failures`, `statuses` and `changes` are made from it.
    read : how many were read; the others are unchanged by path, size and mtime.
    skipped : failed ones among those that were not read, or not tried again.
    gone : files the store knows of the same folder that are not listed any more.
    embedded : new rows by fingerprint: two backbones may bear one name.
    infer_seconds : time spent embedding, by fingerprint; summed over worker processes.
    read_seconds, decode_seconds : summed over threads, overlapping with everything else.
    write_seconds, seconds : of the loop's thread; `seconds` is the whole run.
    interrupted : True after Ctrl-C; everything embedded until then is committed.
    """

    record: Record
    read: int = 0
    skipped: int = 0
    gone: int = 0
    embedded: Counter[str] = field(default_factory=Counter)
    infer_seconds: dict[str, float] = field(default_factory=dict)
    read_seconds: float = 0.0
    decode_seconds: float = 0.0
    write_seconds: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False

    def __len__(self) -> int:
        """Count the images that went in."""
        return len(self.record)

    @property
    def statuses(self) -> dict[str, int]:
        """Images by status, most frequent first; the counts add up to the images that went in."""
        return self.record.statuses()

    @property
    def changes(self) -> dict[str, int]:
        """Images by change, in the order of CHANGES; the counts add up to the images that were reached."""
        return self.record.changes()

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """A row per image in input order, which takes ten times the memory of the record.

        Columns image_id, path, sha256 (None where unreadable), status, reason and change: "failed" unless the status
        is ok; else "known" (the same content under the same path as before), "changed" (other content under a known
        path), "moved" (a known content whose old path is gone), "copy" (of bytes that the run or the store already
        had), or "new". NOT_REACHED has none.
        """
        return self.record.frame(np.arange(len(self)))

    @functools.cached_property
    def failures(self) -> pd.DataFrame:
        """The rows of `images` that were reached and are not ok."""
        return self.record.frame(self.record.failures())
