"""Manifest: one row per image with what is known about it, kept as CSV or Parquet."""

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from data.errors import ManifestError
from data.files import atomic_write
from data.images import IMAGE_SUFFIXES, is_named_like_an_image, printable, scan_images, scan_objects
from data.labels import COLUMN_SYNONYMS, ETHNICITY_WORDS, GENDER_WORDS, OLDEST_AGE
from data.remote import RemotePath, StorageError, is_remote, place

TABLE_SUFFIXES = (".csv", ".parquet")
_SHOWN = 3  # offending rows in an error message
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>")  # what stands in CSV for an unknown label
_TEXT_COLUMNS = (
    *("image_id", "path", "sha256", "phash", "subject_id", "gender", "ethnicity"),
    *COLUMN_SYNONYMS,
)


@dataclass(frozen=True, eq=False)
class Manifest:
    """A table of images whose ids and labels have been checked.

    Attributes
    ----------
    frame : DataFrame with a row per image, numbered from 0. Columns, the first two always there:

        - `image_id` : str, unique: the path relative to the folder that was indexed, or to the table that was read
        - `path` : str, absolute or s3://BUCKET/KEY
        - `sha256` : str, of the file's bytes
        - `phash` : str, 16 hexadecimal digits: what views of one picture have in common, see `data.phash`
        - `subject_id` : who is pictured
        - `age` : float64, years
        - `gender` : one of `labels.GENDERS`
        - `ethnicity` : one of `labels.ETHNICITIES`
        - any further columns, untouched

        A missing value in a label column means unknown.

    Raises
    ------
    ManifestError : on a missing column, an empty table, an id that is empty or stands there twice, or a label that is
        not of its vocabulary. "m" and "f" are read as genders, 0 and 1 are not.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        """Check a copy of the frame and bring its labels into their one form."""
        frame = self.frame.reset_index(drop=True)
        for column in ("image_id", "path"):
            _check_filled(frame, column)
            frame[column] = frame[column].astype(str)
        repeated = frame["image_id"].duplicated(keep=False)
        _refuse("each image_id once", frame["image_id"], repeated, "Remove the repeated rows.")
        for column, normalised in (("age", _ages), ("gender", _genders), ("ethnicity", _ethnicities)):
            if column in frame:
                frame[column] = normalised(frame[column])
        for column in ("sha256", "subject_id"):
            if column in frame:
                frame[column] = frame[column].where(_filled(frame[column]))
        object.__setattr__(self, "frame", frame)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.frame)


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a table of images, written by `write_manifest` or by anyone.

    Only `path` must be there; relative paths start at the table's folder. `image_id` is made from `path` where the
    table has none, and `subject` or `celeb_id` and `race` are read as `subject_id` and `ethnicity`.

    Parameters
    ----------
    path : a file ending in .csv (UTF-8, commas, a header) or .parquet.

    Raises
    ------
    ManifestError : if the file cannot be read, or for any reason that `Manifest` has.
    """
    try:
        frame = _read_table(Path(path))
        synonyms: dict[str, str] = {}
        for found, ours in COLUMN_SYNONYMS.items():
            if found in frame and ours not in frame and ours not in synonyms.values():
                synonyms[found] = ours
        return Manifest(_resolved(frame.rename(columns=synonyms), _folder_of(path)))
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from None


def list_images(source: str | os.PathLike[str] | RemotePath) -> tuple[pd.DataFrame, int]:
    """What a folder or a manifest offers as images, without opening them.

    Parameters
    ----------
    source : a folder, of which every file named like an image counts, or the path of a manifest. The folder may be
        s3://BUCKET/KEY; a manifest lies on this machine, and the paths in it anywhere.

    Returns
    -------
    (images, ignored) : DataFrame with image_id (escaped by `printable`) and path (absolute or s3://), both in Arrow's
        memory, or path as Python's strings where one is not UTF-8; of an s3:// folder also size and mtime_ns (int64,
        whole seconds); and how many other files the folder holds.

    Raises
    ------
    ManifestError : as `scan_images`, `scan_objects` and `read_manifest`; also if a folder holds no file named like an
        image.
    """
    if isinstance(source, RemotePath) or is_remote(source):
        return _list_objects(source)
    if not os.path.isdir(source) and str(source).endswith(TABLE_SUFFIXES):
        return read_manifest(source).frame[["image_id", "path"]].apply(_texts), 0
    folder = os.path.abspath(source)
    files = scan_images(folder)
    names = [name for name in files if is_named_like_an_image(name)]
    if not names:
        raise _no_images(folder, len(files))
    return _table_below(folder, names), len(files) - len(names)


def write_manifest(manifest: Manifest, path: str | os.PathLike[str]) -> None:
    """Write a manifest as CSV or Parquet, whichever its name ends in; an existing file is replaced as a whole.

    Paths are written relative to the file's folder, so that a folder with its manifest can be moved; s3:// ones stay.

    Raises
    ------
    ManifestError : on another ending, and on text that CSV cannot hold.
    OSError : if the file cannot be written.
    """
    _check_suffix(Path(path))
    folder = _folder_of(path)
    frame = manifest.frame.assign(path=[_relative(each, folder) for each in manifest.frame["path"]])
    as_csv = Path(path).suffix == ".csv"
    if as_csv:
        _check_no_carriage_return(frame)
    with atomic_write(path) as file:
        if as_csv:
            frame.to_csv(file, index=False, lineterminator="\n")
        else:
            frame.to_parquet(file, index=False)


def _list_objects(source: str | os.PathLike[str] | RemotePath) -> tuple[pd.DataFrame, int]:
    """`list_images` of a folder in object storage, with size and mtime_ns: the listing knows them."""
    if str(source).endswith(TABLE_SUFFIXES):
        raise ManifestError(f"expected a manifest on this machine; found {source}.\nCopy it; it may list s3:// paths.")
    try:
        folder = cast(RemotePath, place(source))
    except StorageError as error:
        raise ManifestError(str(error)) from None
    objects = scan_objects(folder)
    images = [each for each in objects if is_named_like_an_image(each.name)]
    if not images:
        raise _no_images(str(folder), len(objects))
    looks = {
        "size": np.array([each.status.st_size for each in images], np.int64),
        "mtime_ns": np.array([each.status.st_mtime_ns for each in images], np.int64),
    }
    return _table_below(str(folder), [each.name for each in images]).assign(**looks), len(objects) - len(images)


def _table_below(folder: str, names: Sequence[str]) -> pd.DataFrame:
    """Ids and paths of images below a folder."""
    below = f"{folder}/"
    plain = folder.isprintable()  # then Arrow can put it before all names at once
    return table_of(names, below + _texts(names) if plain else [below + name for name in names])


def table_of(names: Sequence[str], paths: "Sequence[str] | pd.Series") -> pd.DataFrame:
    """A table of images as `list_images` gives it, from what they are called, (n,), and where they are, (n,)."""
    return pd.DataFrame({"image_id": _texts([printable(name) for name in names]), "path": _texts(paths)})


def _texts(texts: "Sequence[str] | pd.Series") -> pd.Series:
    """Texts of 8 bytes and their UTF-8 each, where Python's own strings take 57 more."""
    try:
        return pd.Series(texts, dtype="string[pyarrow]")
    except UnicodeEncodeError:  # the name of a file need not be UTF-8
        return pd.Series(texts, dtype=object)


def _no_images(folder: str, files: int) -> ManifestError:
    return ManifestError(
        f"expected images in {printable(folder)}; found {files} files, none of them named like one "
        f"({', '.join(IMAGE_SUFFIXES)}).\nName another folder."
    )


def _read_table(path: Path) -> pd.DataFrame:
    """Read CSV or Parquet as it is, ids and paths as the text that stands there."""
    _check_suffix(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        header = _header_of(path)
        labels = [column for column in header if column not in ("image_id", "path")]
        missing = dict.fromkeys(labels, _MISSING)  # not in ids and paths: a file may be called "NA"
        text = dict.fromkeys(_TEXT_COLUMNS, str)  # "007" stays what it is
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=missing, low_memory=False)
    except FileNotFoundError:
        raise ManifestError("expected a table of images; there is no such file.\nMake one with `index`.") from None
    except UnicodeDecodeError:
        raise ManifestError("expected CSV in UTF-8; found another encoding.\nSave the table as UTF-8.") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"expected a table as {path.suffix[1:]}; it cannot be read: {error}") from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus fields for row names
        raise ManifestError("expected as many fields as the header has; found rows with more.\nQuote commas in values.")
    return frame


def _header_of(path: Path) -> list[str]:
    """Return the names of a CSV's columns, each of which must stand there once."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise ManifestError(f"expected fields separated by commas; found {header[0]!r}.\nSave the table with commas.")
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise ManifestError(f"expected each column once; found {', '.join(twice)} again.\nRename or remove it.")
    return header


def _resolved(frame: pd.DataFrame, folder: str) -> pd.DataFrame:
    """Make paths absolute and give every row an id; s3:// paths stay as they are."""
    _check_filled(frame, "path")
    paths = [
        str(path) if is_remote(path) else os.path.normpath(os.path.join(folder, str(path))) for path in frame["path"]
    ]
    if "image_id" not in frame:
        frame.insert(0, "image_id", [_relative(path, folder) for path in paths])
    return frame.assign(path=paths)


def _relative(path: str, folder: str) -> str:
    return path if is_remote(path) else os.path.relpath(path, folder)


def _folder_of(path: str | os.PathLike[str]) -> str:
    """Return the absolute folder of a file, links not followed: what lies beside it must stay beside it."""
    return os.path.dirname(os.path.abspath(path))


def _ages(column: pd.Series) -> pd.Series:
    """Return ages as float64, NaN for unknown."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    not_a_number = numbers.isna() & _filled(column)
    out_of_range = numbers.notna() & ~numbers.between(0, OLDEST_AGE)
    _refuse(
        f"ages as numbers of years from 0 to {OLDEST_AGE}",
        column,
        not_a_number | out_of_range,
        "Correct them, or leave the field empty where the age is unknown.",
    )
    return numbers


def _genders(column: pd.Series) -> pd.Series:
    """Return genders in the words of `labels.GENDERS`."""
    _refuse(
        "gender as a word",
        column,
        column.astype("string").str.strip().isin(("0", "1", "0.0", "1.0")).astype(bool),
        "Datasets disagree on the codes (UTKFace has 0 for male, IMDB-WIKI 0 for female): write male or female.",
    )
    return _translated(column, GENDER_WORDS)


def _ethnicities(column: pd.Series) -> pd.Series:
    """Return ethnicities in the words of `labels.ETHNICITIES`."""
    return _translated(column, ETHNICITY_WORDS)


def _translated(column: pd.Series, words: dict[str, str]) -> pd.Series:
    """Look values up, whatever their case and the spaces around them; NaN for unknown."""
    labels = column.astype("string").str.strip().str.lower().astype(object).map(words)
    _refuse(
        f"{column.name} as one of {', '.join(words)}",
        column,
        labels.isna() & _filled(column),
        "Correct them, or leave the field empty where it is unknown.",
    )
    return labels


def _filled(column: pd.Series) -> pd.Series:
    """Say where a column holds anything but nothing or spaces."""
    return column.notna() & (column.astype("string").str.strip() != "").fillna(False).astype(bool)


def _check_filled(frame: pd.DataFrame, column: str) -> None:
    """Refuse a frame without rows, without `column`, or with rows that have nothing in it."""
    if column not in frame:
        found = ", ".join(map(str, frame.columns)) or "none"
        raise ManifestError(f"expected a column `{column}`; found {found}.\nName the columns in a header.")
    if frame.empty:
        raise ManifestError("expected a row per image; found none.\nIndex a folder that holds images.")
    _refuse(f"{column} in every row", frame[column], ~_filled(frame[column]), "Fill it in or remove the rows.")


def _check_suffix(path: Path) -> None:
    """Refuse what is neither CSV nor Parquet by its name."""
    if path.suffix not in TABLE_SUFFIXES:
        raise ManifestError(f'expected a name ending in .csv or .parquet; found "{path.name}".\nRename or convert it.')


def _check_no_carriage_return(frame: pd.DataFrame) -> None:
    """Refuse text that Python before 3.13 writes to CSV without the quotes that hold its row together."""
    for column, values in frame.select_dtypes(exclude="number").items():
        broken = values.astype("string").str.contains("\r", regex=False).fillna(False).astype(bool)
        _refuse(f"{column} without carriage returns", values, broken, "Write a name ending in .parquet.")


def _refuse(expected: str, column: pd.Series, bad: pd.Series, remedy: str) -> None:
    """Raise ManifestError if any row is bad, and show the first of them; rows count from 1, without the header."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return
    shown = zip(rows[:_SHOWN], column.iloc[rows[:_SHOWN]].tolist(), strict=True)
    first = ", ".join(f"row {row + 1} has {value!r}" for row, value in shown)
    more = ", and more" if len(rows) > _SHOWN else ""
    raise ManifestError(f"expected {expected}; found {len(rows)} unfit: {first}{more}.\n{remedy}")
