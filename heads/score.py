"""A folder of images to predictions, offline: the one place here that calls `embedder.extract`."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data.files import PRIVATE, atomic_write
from data.images import printable
from data.remote import Place
from data.spreadsheet import to_csv
from embedder.backbone import Backbone
from embedder.engine import Engine
from embedder.extract import extract
from embedder.faces.finder import Finder
from embedder.faces.table import BOX, as_frame, traits_of
from embedder.preprocess import Picture
from embedder.report import ExtractReport
from embedder.store import EmbeddingStore, open_store
from heads.bundle import Bundle
from heads.net import HeadError
from heads.tasks import Task

WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": lambda rows: to_csv(rows).encode(),
    ".jsonl": lambda rows: rows.to_json(orient="records", lines=True, force_ascii=False).encode(),
    ".parquet": lambda rows: rows.to_parquet(index=False),
}

AGES = ("age", "age_low", "age_high")
FACE_COLUMNS = (*BOX, "confidence", "quality")  # the box in pixels of the upright image
NO_EMBEDDING = ("no_embedding", "the backbone gave no numbers for this face")

NOT_TRAINED = "(random weights, not trained)"  # stands beside the bundle's id in every row

# Inferring ethnicity of people is restricted by law in places (EU AI Act, Art. 5(1)(g)): only when asked for by name.
ON_REQUEST = "ethnicity"


def score(
    images: pd.DataFrame,
    bundle: Bundle,
    backbone: Backbone,
    *,
    finder: Finder | None = None,
    engine: Engine | None = None,
    ethnicity: bool = False,
    store: Place | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> tuple[pd.DataFrame, ExtractReport]:
    """Predict every task of a bundle for every image, or for every face that is found in them.

    Parameters
    ----------
    images : DataFrame with image_id and path.
    bundle, backbone : the second from `bundle.load_backbone`, so that the embeddings are the bundle's own, or as near
        to them as was accepted.
    finder : finds faces in the images; without one each image is a face as it is.
    engine : as of `extract`.
    ethnicity : whether to predict it, if the bundle can.
    store : an embedding store to take known embeddings from and to keep new ones in; by default none are kept.

    Returns
    -------
    rows : DataFrame in input order, one row per face, and one for each image without any: path (relative), face (0 for
        the image as a whole, else its number, from 1, the largest first; missing without one), status, reason; with a
        finder the columns FACE_COLUMNS; the columns of `Bundle.predict`; mismatch, if one was accepted; bundle (its
        id). Predictions are missing unless status is "ok".
    report : of the extraction, for counts and times.
    """
    tasks = tasks_asked_for(bundle, ethnicity=ethnicity)
    with _store(store) as embeddings:
        report = extract(images, [backbone], embeddings, finder=finder, engine=engine, on_progress=on_progress)
        rows = report.images.reset_index(drop=True)
        rows = rows.assign(face=0) if finder is None else _with_faces(rows, embeddings, finder)
        found, vectors = embeddings.read(backbone.spec.fingerprint, rows["sha256"], face=rows["face"])
    predicted = bundle.predict(vectors, tasks=tasks).set_index(found.index)
    rows["path"] = [printable(name) for name in rows["image_id"]]
    rows["face"] = rows["face"].where(rows["status"] == "ok").astype("Int16")
    lost = (rows["status"] == "ok") & ~rows.index.isin(found.index)  # of several faces of an image one may fail alone
    rows.loc[lost, ["status", "reason"]] = NO_EMBEDDING
    columns = ["path", "face", "status", "reason", *(FACE_COLUMNS if finder else ())]
    name = bundle.id if bundle.embedding.seeded is None else f"{bundle.id} {NOT_TRAINED}"
    accepted = "; ".join(f"{what} {given}, trained on {own}" for what, given, own in bundle.mismatch(backbone))
    return rows[columns].join(predicted).assign(**({"mismatch": accepted} if accepted else {}), bundle=name), report


def _with_faces(images: pd.DataFrame, store: EmbeddingStore, finder: Finder) -> pd.DataFrame:
    """A row per wanted face of images that are ok, with its number and FACE_COLUMNS; the other images as they are."""
    found, rows = store.read_all(finder.spec.fingerprint, images["sha256"][images["status"] == "ok"])
    first = ~found["sha256"].duplicated().to_numpy()
    faces = pd.concat([found, as_frame(rows).rename(columns={"score": "quality"})[[*FACE_COLUMNS]]], axis=1)
    wanted = faces[finder.settings.choice.wanted(traits_of(rows), first)]
    ok = images["status"] == "ok"
    each = images[ok].rename_axis("image").reset_index().merge(wanted, on="sha256", how="left")
    rest = images[~ok].rename_axis("image").reset_index().assign(face=float("nan"))
    together = pd.concat([each, rest], ignore_index=True) if len(rest) else each
    return together.sort_values(["image", "face"], kind="stable").drop(columns="image").reset_index(drop=True)


def score_pictures(
    pictures: Iterable[str | os.PathLike[str] | Picture], bundle: Bundle, backbone: Backbone, *, ethnicity: bool = False
) -> pd.DataFrame:
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
        rows, report = score(pd.DataFrame({"image_id": paths, "path": paths}), bundle, backbone, ethnicity=ethnicity)
    if report.interrupted:
        raise KeyboardInterrupt
    return rows.assign(path=rows["path"].where(~rows["path"].str.startswith(folder)))


def _written(picture: Picture, path: Path) -> str:
    """Write a picture, to the last bit."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise HeadError(
            f"expected pictures of shape (height, width, 3), uint8, RGB; found {picture.dtype} of shape {picture.shape}"
        )
    path.write_bytes(cv2.imencode(".bmp", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
    return str(path)


def tasks_asked_for(bundle: Bundle, *, ethnicity: bool) -> list[Task]:
    """The tasks of a bundle, ethnicity among them only on request.

    Raises
    ------
    HeadError : it was asked for and the bundle has no such head, or it is all that the bundle has and was not.
    """
    tasks = [task for task in bundle.tasks if ethnicity or task.name != ON_REQUEST]
    if ethnicity and not any(task.name == ON_REQUEST for task in tasks):
        raise HeadError("ethnicity was asked for, but the bundle has no head for it: train one with --task ethnicity")
    if not tasks:
        raise HeadError("the bundle predicts ethnicity alone, which is given only on request: add --ethnicity")
    return tasks


@contextlib.contextmanager
def _store(path: Place | None) -> Iterator[EmbeddingStore]:
    """The store named, or a private one that ends with the run."""
    if path:
        yield open_store(path, create=True)
    else:
        with tempfile.TemporaryDirectory(prefix="faceprobe-") as folder:
            yield open_store(Path(folder) / "store", create=True)


def write_scores(rows: pd.DataFrame, path: Path) -> None:
    """Write predictions as .csv, .jsonl or .parquet, whole or not at all, readable by their owner alone.

    Ages, their intervals and probabilities have four decimals, which is more than a face tells.
    """
    numbers = [column for column in rows if column in AGES or str(column).endswith("_proba")]
    rounded = rows.astype(dict.fromkeys(numbers, "float64")).round(dict.fromkeys(numbers, 4))
    content = WRITERS[path.suffix](rounded)
    with atomic_write(path, mode=PRIVATE) as file:
        file.write(content)
