"""Pictures with the faces found in them, to be looked at before a run is trusted."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from heads.report.blocks import Block, Cell, Crop, Headline, Key, Label, Photo, Plot, Report, Row, Section, Shape, Table
from heads.report.canvas import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, axes
from heads.report.tables import pairs_table

PHOTO = 400  # pixels of the longer side of a picture on the page, which the style knows as well
SMALL = 40  # pixels on the page: a face of less has a smaller number and finer dots, which would cover a crowd
FOLDED = 8  # faces of a picture that are shown at once, the largest
BINS = 20
WANTED, UNWANTED = "s0", "s1"  # how faces look in plots, and on pictures

# What is said of a face beside its quality, and how it is written.
FACTS = {
    "size": "{:.0f} px",
    "confidence": "{:.3g}",
    "sharpness": "{:.0f}",
    "exposure": "{:.2f}",
    "contrast": "{:.2f}",
    "inside": "{:.0%}",
    "yaw": "{:.0f}°",
    "pitch": "{:.0f}°",
    "roll": "{:.0f}°",
}
KEYS = (
    Key((Shape("M5 1H23V11H5z", f"line {WANTED}"),), "wanted"),
    Key((Shape("M5 1H23V11H5z", f"line dashed {UNWANTED}"),), "found, but not wanted"),
)
READING = (
    "Boxes and landmarks as they were found, numbered from the largest face; beside each picture the faces as a "
    "backbone gets them. Quality, 0 to 1, is that of the worst of size, sharpness, exposure, contrast, the share of "
    "the face that is inside the picture, yaw (looks to the right of the picture) and pitch (looks up): the bold one. "
    "Roll (turned clockwise) is undone."
)


def faces_report(
    pictures: pd.DataFrame, faces: pd.DataFrame, *, source: str, listed: int, settings: Mapping[str, str]
) -> Report:
    """A page of pictures and their faces.

    Parameters
    ----------
    pictures : DataFrame with a row per picture: image_id, status, reason, width and height in pixels, thumbnail (bytes
        of a JPEG, b"" for none).
    faces : DataFrame with a row per face: image (a row of `pictures`), face (its number), left, top, right, bottom and
        landmarks ((k, 2) ndarrays) in pixels of the picture, confidence, turned, the measures in FACTS, quality (its
        quality), weakest (the measure that decides it), refusal and why ("" for wanted ones), crop (bytes of a JPEG,
        b"" for none).
    source : where the pictures are from.
    listed : how many there are; more than are shown, perhaps.
    settings : by which faces were found and chosen.
    """
    shown = f"{len(pictures):,} pictures" if len(pictures) != 1 else "1 picture"
    part = f"{len(pictures):,} of {listed:,} pictures, evenly taken; the others are not shown"
    sections = (
        Section("What was found", "found", _found(pictures, faces)),
        Section("Pictures", "pictures", (Block("", READING, keys=KEYS, photos=_photos(pictures, faces)),)),
        Section("Settings", "settings", (Block("", tables=(pairs_table("", settings),)),)),
    )
    subtitle = part if listed > len(pictures) else shown
    return Report(f"faceprobe: faces in {source}", subtitle, _summary(pictures, faces), (), sections)


def _summary(pictures: pd.DataFrame, faces: pd.DataFrame) -> tuple[Headline, ...]:
    wanted = faces[faces["refusal"] == ""]
    seen = pictures.index.isin(wanted["image"])
    lines = [
        Headline(
            "pictures with a wanted face",
            f"{seen.sum():,} of {len(pictures):,}",
            f"{len(pictures) - pictures.index.isin(faces['image']).sum():,} show no face at all",
            "",
        ),
        Headline("faces that are wanted", f"{len(wanted):,} of {len(faces):,}", _refused(faces), ""),
    ]
    if len(wanted):
        size, quality = wanted["size"].median(), wanted["quality"].median()
        ends = f"{wanted['size'].min():.0f} to {wanted['size'].max():.0f} px"
        lines.append(Headline("half of them are larger than", f"{size:.0f} px", ends, ""))
        ends = f"{wanted['quality'].min():.2f} to {wanted['quality'].max():.2f}"
        lines.append(Headline("half of them have a quality above", f"{quality:.2f}", ends, ""))
    return tuple(lines)


def _refused(faces: pd.DataFrame) -> str:
    counts = faces["refusal"][faces["refusal"] != ""].value_counts()
    return (
        ", ".join(f"{n:,} {str(refusal).replace('_', ' ')}" for refusal, n in counts.items()) or "all that were found"
    )


def _found(pictures: pd.DataFrame, faces: pd.DataFrame) -> tuple[Block, ...]:
    """Pictures by status, and how large and how good their faces are."""
    counts = pictures["status"].value_counts()
    rows = [
        Row((Cell(str(status)), Cell(f"{n:,}", share=round(float(n / len(pictures)), 3))))
        for status, n in counts.items()
    ]
    statuses = Block("", tables=(Table("Pictures by status", ("status", "pictures"), tuple(rows)),))
    if faces.empty:
        return (statuses,)
    size, quality = faces["size"].to_numpy(float), faces["quality"].to_numpy(float)
    wanted = (faces["refusal"] == "").to_numpy()
    low, high = np.floor(np.log2(max(size.min(), 1))), np.ceil(np.log2(max(size.max(), 2)) + 1e-9)
    doublings = 2.0 ** np.linspace(low, high, BINS + 1)
    plots = (
        _histogram(size, wanted, doublings, "size of the face, pixels", log=True),
        _histogram(quality, wanted, np.linspace(0, 1, BINS + 1), "quality"),
    )
    return statuses, Block("", keys=KEYS[:1] if wanted.all() else KEYS, plots=plots)


def _histogram(
    values: NDArray[np.float64], wanted: NDArray[np.bool_], edges: ArrayLike, label: str, *, log: bool = False
) -> Plot:
    """How many faces there are, the unwanted ones standing on the wanted."""
    ends = np.asarray(edges, float)
    own, others = (np.histogram(values[which], ends)[0] for which in (wanted, ~wanted))
    x = Scale(ends[0], ends[-1], LEFT, WIDTH - RIGHT, log=log)
    up = Scale(0, max(float((own + others).max()) * 1.05, 1.0), HEIGHT - BOTTOM, TOP, whole=True)
    frame, labels = axes(x, up, label, "faces")
    bars = (
        Shape(_bars(x, up, ends, np.zeros_like(own), own), f"filled {WANTED}"),
        Shape(_bars(x, up, ends, own, own + others), f"filled {UNWANTED}"),
    )
    about = f"{label}: how many of {len(values):,} faces; {wanted.sum():,} of them are wanted"
    return Plot("", about, (*frame, *bars), labels, WIDTH, HEIGHT)


def _bars(x: Scale, up: Scale, edges: NDArray[np.float64], low: NDArray[np.int64], high: NDArray[np.int64]) -> str:
    return "".join(
        f"M{x(left)} {up(bottom)}V{up(top)}H{x(right)}V{up(bottom)}z"
        for left, right, bottom, top in zip(edges[:-1], edges[1:], low, high, strict=True)
        if top > bottom
    )


def _photos(pictures: pd.DataFrame, faces: pd.DataFrame) -> tuple[Photo, ...]:
    of_each: dict[Any, list[Any]] = {image: [*own.itertuples()] for image, own in faces.groupby("image")}
    return tuple(_photo(picture, of_each.get(image, [])) for image, picture in enumerate(pictures.itertuples()))


def _photo(picture: Any, faces: Sequence[Any]) -> Photo:
    about = f"{len(faces)} faces" if len(faces) != 1 else "1 face"
    unit = max(picture.width, picture.height) / PHOTO
    shapes = [shape for face in faces for shape in _shapes(face, unit)]
    labels = [_number(face, picture.width, unit) for face in faces]
    plot = Plot("", about, tuple(shapes), tuple(labels), picture.width, picture.height)
    crops = tuple(map(_crop, faces))
    said = picture.image_id, picture.status, picture.reason
    return Photo(*said, plot, _uri(picture.thumbnail), crops[:FOLDED], crops[FOLDED:])


def _shapes(face: Any, unit: float) -> tuple[Shape, ...]:
    """A face's box and landmarks over a dark seam, without which they would be lost on some pictures."""
    box = f"M{face.left:.1f} {face.top:.1f}H{face.right:.1f}V{face.bottom:.1f}H{face.left:.1f}z"
    points = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in face.landmarks)
    look = f"dashed {UNWANTED}" if face.refusal else WANTED
    drawn = Shape(box, "seam"), Shape(box, f"box {look}")
    if _is_small(face, unit):
        return (*drawn, Shape(points, f"point {look}"))
    return (*drawn, Shape(points, "seam dots"), Shape(points, f"point large {look}"))


def _is_small(face: Any, unit: float) -> bool:
    return bool(face.right - face.left < SMALL * unit)


def _number(face: Any, width: int, unit: float) -> Label:
    """A face's number over its box, or in the box's corner at the picture's upper border."""
    above = face.top >= 16 * unit
    y = face.top - 4 * unit if above else max(face.top, 0) + 14 * unit
    inner = 0 if above else 3 * unit
    at_right = face.left > width - 30 * unit
    x = min(face.right - inner, width - unit) if at_right else max(face.left, unit) + inner
    look = "number small" if _is_small(face, unit) else "number"
    return Label(round(x, 1), round(y, 1), str(face.face), "end" if at_right else "start", look)


def _crop(face: Any) -> Crop:
    facts = [(name, form.format(getattr(face, name)).replace("-0°", "0°")) for name, form in FACTS.items()]
    facts += [("turned", f"{face.turned:.0f}°")] if face.turned else []
    weakest = face.weakest if face.quality < 1 else ""
    return Crop(str(face.face), f"{face.quality:.2f}", tuple(facts), weakest, _uri(face.crop), face.why)


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii") if jpeg else ""
