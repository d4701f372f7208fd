"""Pictures with the faces found in them, made small: what people look at before they trust a run."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pandas as pd

from data.remote import Place
from embedder.backbone import usable_cores
from embedder.engine import Engine
from embedder.extract import extract
from embedder.faces.choice import Choice
from embedder.faces.face import Face
from embedder.faces.finder import Finder
from embedder.faces.quality import Quality
from embedder.faces.table import COLUMNS, Rows, as_frame, to_face, traits_of
from embedder.faces.templates import TEMPLATES, AlignmentError, align
from embedder.preprocess import ImageRejected, Picture, decoded, read_file
from embedder.spec import split_alignment
from embedder.store import EmbeddingStore, store_or_private

THUMBNAIL, CROP = 400, 112  # pixels of the longer side: as wide as a page shows them, and as most backbones see a face
QUALITY = {THUMBNAIL: 60, CROP: 75}  # of the JPEGs: 200 photographs with five faces each come to some 8 MB
CROPPED = 40  # faces of a picture, the largest, that are cut out: pictures of crowds stay bounded
_MEASURED = slice(COLUMNS.index("size"), COLUMNS.index("quality"))
NOT_LARGEST = ("not_largest", "a larger face is wanted")


@dataclass(frozen=True)
class Album:
    """Pictures and their faces, some 20 kB of each picture and 3 of each face.

    Attributes
    ----------
    pictures : DataFrame with a row per picture, in order: image_id, status, reason, width and height of the upright
        picture (0 where it cannot be read, or is no longer what was looked at), thumbnail (a JPEG, b"" likewise).
    faces : DataFrame with a row per face: image (a row of `pictures`), face (its number), the columns of a Faces table,
        landmarks (ndarray of shape (k, 2)), weakest (the measure that decides its quality), refusal and why ("" for
        wanted ones), crop (a JPEG, b"" where there is none).
    """

    pictures: pd.DataFrame
    faces: pd.DataFrame


@dataclass
class _Shown:
    """What is seen of one picture."""

    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    crops: list[bytes] = field(default_factory=list)


def evenly(images: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, evenly taken from all, the first and the last among them."""
    taken = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int))
    return images.iloc[taken].reset_index(drop=True)


def look(
    images: pd.DataFrame,
    finder: Finder,
    *,
    engine: Engine | None = None,
    alignment: str = "chip",
    store: Place | None = None,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Album:
    """Find the faces in some pictures and show them. Every picture is read and decoded twice.

    Parameters
    ----------
    images : DataFrame with image_id and path.
    engine : as of `extract`, without backbones.
    alignment : how faces are cut out, as in a spec: a template, and perhaps a margin: "chip, margin 20%".
    store : an embedding store to take known faces from and to keep new ones in; by default none are kept.
    on_progress : called with the number of pictures done since the last call, twice for each.

    Raises
    ------
    AlignmentError : no such template, or a margin that leaves nothing.
    DetectorError : the detector failed on a picture; what was found before is kept.
    """
    template, margin = split_alignment(alignment)
    if template not in TEMPLATES or margin <= -100:
        raise AlignmentError(
            f"expected a template ({', '.join(TEMPLATES)}), and a margin above -100 percent; found {alignment}"
        )
    with store_or_private(store) as faces:
        report = extract(images, [], faces, finder=finder, engine=engine, on_progress=on_progress)
        if report.interrupted:
            raise KeyboardInterrupt
        return _album(report.images, _faces_of(report.images, faces, finder), alignment, on_progress)


def _album(images: pd.DataFrame, faces: pd.DataFrame, alignment: str, on_progress: Callable[[int], object]) -> Album:
    """Add what is seen to what is known."""
    own = {image: [*rows][:CROPPED] for image, rows in faces.groupby("image")["row"]}
    files = [*zip(images["path"], images["sha256"], strict=True)]

    def show(image: int) -> _Shown:
        shown = _show(*files[image], own.get(image, []), alignment)
        on_progress(1)
        return shown

    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="show") as threads:
        seen = [*threads.map(show, range(len(files)))]
    pictures = images[["image_id", "status", "reason"]].reset_index(drop=True)
    for column in ("width", "height", "thumbnail"):
        pictures[column] = [getattr(shown, column) for shown in seen]
    crops = [dict(enumerate(shown.crops, start=1)) for shown in seen]
    cut = [crops[image].get(face, b"") for image, face in zip(faces["image"], faces["face"], strict=True)]
    return Album(pictures, faces.drop(columns="row").assign(crop=pd.Series(cut, faces.index, dtype=object)))


def _faces_of(images: pd.DataFrame, store: EmbeddingStore, finder: Finder) -> pd.DataFrame:
    """A row per face of every picture, wanted or not: see `Album.faces`; `row` is the one of the Faces table."""
    if finder.spec.fingerprint in store.specs():
        found, rows = store.read_all(finder.spec.fingerprint, images["sha256"])
    else:  # no picture could be read
        found, rows = pd.DataFrame({"sha256": [], "face": []}), np.empty((0, *finder.spec.dim), np.float32)
    first = ~found["sha256"].duplicated().to_numpy()
    refusals = _refusals(finder.settings.choice, rows, first)
    found = pd.concat([found, as_frame(rows)], axis=1).assign(
        row=_objects(rows),
        landmarks=_objects(to_face(row).landmarks for row in rows),
        weakest=[Quality(*row[_MEASURED].tolist()).weakest for row in rows],
        refusal=[status for status, _ in refusals],
        why=[reason for _, reason in refusals],
    )
    listed = pd.DataFrame({"image": np.arange(len(images)), "sha256": images["sha256"].to_numpy(object)})
    each = listed.merge(found, on="sha256")
    return each.sort_values(["image", "face"], kind="stable").drop(columns="sha256").reset_index(drop=True)


def _objects(arrays: Iterable[Rows]) -> "pd.Series[Any]":
    return pd.Series([*arrays], dtype=object)


def _refusals(choice: Choice, rows: Rows, first: Any) -> list[tuple[str, str]]:
    """Why each of the faces of some pictures is not wanted, status and reason; "" for those that are."""
    traits = traits_of(rows)
    wanted = choice.wanted(traits, first)
    fit = dataclasses.replace(choice, faces="all").wanted(traits, first)
    refusals = []
    for at in range(len(rows)):
        if wanted[at]:
            refusals.append(("", ""))
        elif fit[at]:
            refusals.append(NOT_LARGEST)
        else:
            refusals.append(choice.explain({name: values[at : at + 1] for name, values in traits.items()}))
    return refusals


def _show(path: str, sha256: str | None, faces: list[Rows], alignment: str) -> _Shown:
    """A picture and some of its faces; nothing of a file that cannot be read, or is another one by now."""
    try:
        _, content = read_file(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            return _Shown()
        with decoded(content) as picture:
            crops = [_cut(picture, to_face(row), alignment) for row in faces]
            height, width = picture.shape[:2]
            return _Shown(width, height, _jpeg(picture, THUMBNAIL), crops)
    except ImageRejected:
        return _Shown()


def _cut(picture: Picture, face: Face, alignment: str) -> bytes:
    template, margin = split_alignment(alignment)
    try:
        return _jpeg(align(picture, face, template, side=CROP, margin=margin), CROP)
    except AlignmentError:  # its landmarks make no face
        return b""


def _jpeg(picture: Picture, side: int) -> bytes:
    """A picture as a JPEG of at most so many pixels on its longer side, without metadata."""
    height, width = picture.shape[:2]
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY[side]]
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
