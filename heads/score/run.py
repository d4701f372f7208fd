"""Images to rows of scores, as they are made: the one place here that calls `embedder.extract`.

Images are embedded into a store, and their rows made as soon as it has all that come before. A store of the run's own
holds so many images at a time, and goes with them: memory and disk stay the same for any number of images.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data.remote import Place
from embedder.engine import Engine
from embedder.extract import extract_in_steps
from embedder.preprocess import Picture
from embedder.report import ExtractReport
from embedder.spec import UNALIGNED
from embedder.store import EmbeddingStore, store_or_private
from heads.bundle import Bundle
from heads.net import HeadError
from heads.score.rows import UNIT, Scorer, Scores

WINDOW = 2048 * UNIT  # images in a store of the run's own: 100 MB of embeddings, and hours between two of them
PIECE = 64 * UNIT  # images whose rows are made at once


def detector_for(bundle: Bundle, asked_for: str | None) -> str | None:
    """What is to find faces for a bundle: what found those it was trained on, or another detector that is asked for.

    Returns
    -------
    None if the pictures are faces as they are: "none" is asked for, or the bundle was trained on such.
    """
    name = asked_for or bundle.embedding.detector
    return None if name == UNALIGNED else name


def score(
    images: pd.DataFrame,
    scorer: Scorer,
    *,
    engine: Engine | None = None,
    store: Place | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Generator[Scores, None, None]:
    """Predict every task of a bundle for every image, or for every face that is found in them.

    Rows come in the order of the images, at least one for each, at most a minute after they can be made, for any number
    of images at a time. The same images give the same rows to the last bit from wherever they are begun, as long as
    that is a multiple of UNIT.

    Parameters
    ----------
    images : DataFrame with image_id and path.
    engine : as of `extract`, of the scorer's backbone and finder.
    store : an embedding store to take known embeddings from and to keep new ones in; by default none are kept.

    Raises
    ------
    KeyboardInterrupt : after the rows of what was done.
    And as `extract`.
    """
    size = WINDOW if store is None else max(len(images), 1)
    for start in range(0, len(images), size):
        window = images.iloc[start : start + size].reset_index(drop=True)
        with store_or_private(store) as embeddings:
            steps = extract_in_steps(
                window, [scorer.backbone], embeddings, finder=scorer.finder, engine=engine, on_progress=on_progress
            )
            with contextlib.closing(steps):
                yield from _in_order(steps, scorer, embeddings)


def _in_order(steps: Iterable[ExtractReport], scorer: Scorer, store: EmbeddingStore) -> Iterator[Scores]:
    """The rows of images that come before the first that was not reached, after each step."""
    done, interrupted = 0, False
    for report in steps:
        missing = report.record.not_reached()
        stop = int(missing[0]) // UNIT * UNIT if len(missing) else len(report)
        while done < stop:
            piece = np.arange(done, min(done + PIECE, stop))
            yield scorer.score(report.record.frame(piece), store)
            done += len(piece)
        interrupted = report.interrupted
    if interrupted:
        raise KeyboardInterrupt


def score_pictures(pictures: Iterable[str | os.PathLike[str] | Picture], scorer: Scorer) -> pd.DataFrame:
    """Predict for files and for pictures in memory: see `Bundle.score`.

    Pictures in memory go the way of files, as files of a private folder that ends with the call.
    """
    if isinstance(pictures, (str, os.PathLike)):
        raise HeadError(f"expected a list of pictures; found the one path {pictures}: list a folder with `list_images`")
    with tempfile.TemporaryDirectory(prefix="faceprobe-") as folder:
        paths = [
            _written(picture, Path(folder) / f"{number}.bmp") if isinstance(picture, np.ndarray) else os.fspath(picture)
            for number, picture in enumerate(pictures)
        ]
        if not paths:
            raise HeadError("expected one picture or more; found none")
        images = pd.DataFrame({"image_id": paths, "path": [os.path.abspath(path) for path in paths]})
        parts = [each.rows for each in score(images, scorer)]
    rows = pd.concat(parts, ignore_index=True)
    rows.loc[rows["path"].str.startswith(folder), ["path", "sha256"]] = None  # no file that anyone knows
    return rows


def _written(picture: Picture, path: Path) -> str:
    """Write a picture, to the last bit."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise HeadError(
            f"expected pictures of shape (height, width, 3), uint8, RGB; found {picture.dtype} of shape {picture.shape}"
        )
    path.write_bytes(cv2.imencode(".bmp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
    return str(path)
