"""Rows of scores, made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

BUNDLE = "7432cf1c93033ba5"


def row(path: str, face: int | None = 1, **values: Any) -> dict[str, Any]:
    """A face of 30 years, 24 to 36, most likely female, in a box of 20 x 20 pixels; or what is given instead."""
    seen = {"status": "ok", "reason": "", "left": 10.0, "top": 10.0, "right": 30.0, "bottom": 30.0, "quality": 0.8}
    said = {"age": 30.0, "age_low": 24.0, "age_high": 36.0, "gender": "female", "gender_proba": 0.9}
    return {"path": path, "face": face, **seen, **said, "bundle": BUNDLE, **values}


def no_face(path: str, status: str = "no_face", reason: str = "hog finds no face in it") -> dict[str, Any]:
    """A photograph without a face."""
    empty = dict.fromkeys([key for key in row("") if key not in ("path", "status", "reason", "bundle")])
    return {**row(path), **empty, "status": status, "reason": reason}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows as `score` gives them."""
    frame = pd.DataFrame(list(rows))
    numbers = ("left", "top", "right", "bottom", "quality", "age", "age_low", "age_high", "gender_proba")
    return frame.astype({"face": "Int16"} | {name: "float64" for name in numbers if name in frame})


def within(folder: Path, rows: pd.DataFrame) -> list[str]:
    """Where the photograph of each row is."""
    return [str(folder / path) for path in rows["path"]]


def picture(path: Path, size: tuple[int, int] = (120, 80), *, colour: tuple[int, int, int] = (90, 140, 200)) -> Path:
    """A plain picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def turned(path: Path, size: tuple[int, int]) -> Path:
    """A JPEG of this upright size, stored lying: white, with black in its upright top left quarter."""
    upright = np.full((size[1], size[0], 3), 255, np.uint8)
    upright[: size[1] // 2, : size[0] // 2] = 0
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    exif[0x010F] = "camera of somebody"
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(path, exif=exif, quality=95)
    return path
