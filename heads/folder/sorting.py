"""Photographs into folders by what is in them, as one sorts an album: by age group, by gender, by any class."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from data.images import printable
from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS, AgeGroups
from embedder.preprocess import ImageRejected, read_file
from heads.folder.photographs import class_columns
from heads.folder.places import (
    FAILED,
    THERE,
    WRITTEN,
    FolderError,
    failure,
    holds,
    outcomes,
    place_within,
    put,
    require_apart,
)

How = Literal["copy", "hardlink", "symlink"]

MOST_GROUPS = 100  # folders; more are no groups but values
NOT_GIVEN = "not given"  # the folder of faces without a value, such as an age that was abstained from
_MOST_LETTERS = 60  # of a folder's name
_UNSAFE = re.compile(r"""[\x00-\x1f\x7f/\\:*?"<>|]""")  # in names of files somewhere: sticks and clouds are elsewhere


def sort_into(
    rows: pd.DataFrame,
    sources: Sequence[str] | pd.Series,
    folder: Path,
    *,
    by: str,
    how: How = "copy",
    groups: AgeGroups = AGE_GROUPS[DEFAULT_AGE_GROUPS],
    scanned: Iterable[Path] = (),
    on_progress: Callable[[int], object] = lambda n: None,
) -> pd.DataFrame:
    """Copy or link photographs into a folder per group.

    A photograph of several faces goes into the folder of each; one without a face into that of its status ("no face").
    Where another file has its name, a number is added, and nothing is ever written over; what is there already with the
    same bytes (of links, is the same file) is not put there again, so that the same call may be repeated. Copies keep
    the time of their photograph.

    Parameters
    ----------
    rows : of `heads.score`.
    sources : where each row's photograph is.
    folder : for the groups' folders, apart from the photographs.
    by : a column of classes, "age_group" (made from ages, if there is none) or "status".
    how : links need files of this machine; hard ones, of the same disk.
    groups : of ages, for "age_group" where it is made from ages.
    scanned : folders that were searched for photographs.
    on_progress : called with 1 after each photograph.

    Returns
    -------
    DataFrame with columns `places.COLUMNS`, a row per photograph and folder: see `annotate`.

    Raises
    ------
    FolderError : no such groups, too many, or a folder that is not apart from the photographs or cannot be created.
    """
    values = _groups(rows, by, groups)
    names = _folder_names(values)
    top = require_apart(Path(folder), map(str, sources), scanned=scanned)
    wanted: dict[tuple[str, str], dict[str, None]] = {}  # in the order of the rows, each once
    for source, path, group in zip(map(str, sources), rows["path"], values.map(names), strict=True):
        into = wanted.setdefault((source, str(path)), {})
        if isinstance(group, str):
            into[group] = None
    found = []
    for (source, path), into in wanted.items():
        found += [(path, *_place(path, source, top, group, how=how)) for group in into]
        on_progress(1)
    return outcomes(found)


def _groups(rows: pd.DataFrame, by: str, groups: AgeGroups) -> pd.Series:
    """The group of each row, missing for a row that adds nothing: of a face that failed beside others."""
    possible = dict.fromkeys(
        [*class_columns(rows), *(["age_group"] if {"age", "age_group"} & {*rows} else []), "status"]
    )
    if by not in possible:
        raise FolderError(f"expected a column of groups: {', '.join(possible)}; found {printable(by)}")
    status = rows["status"].str.replace("_", " ")
    if by == "status":
        return status
    if by in rows:
        own = rows[by].astype(object).where(rows[by] != "")
    else:
        codes = pd.Series(groups.assign(rows["age"].to_numpy(float)), index=rows.index)
        own = codes.map(dict(enumerate(groups.names)))
    ok = rows["status"] == "ok"
    seen = ok.groupby(rows["path"]).transform("any")
    return own.where(own.notna(), NOT_GIVEN).where(ok, status).where(ok | ~seen)


def _folder_names(values: pd.Series) -> dict[str, str]:
    """A folder's name for each group: safe anywhere, and another for each."""
    found = [str(value) for value in values.dropna().unique()]
    if len(found) > MOST_GROUPS:
        raise FolderError(f"expected {MOST_GROUPS} groups at most; found {len(found):,}. Sort by something coarser")
    names: dict[str, str] = {}
    taken: set[str] = set()
    for value in found:
        safe = _UNSAFE.sub("_", printable(value))[:_MOST_LETTERS].strip(". ") or "_"
        name = next(each for each in _numbered(safe) if each.casefold() not in taken)
        names[value] = name
        taken.add(name.casefold())
    return names


def _numbered(name: str) -> Iterator[str]:
    """Yield "a.jpg", "a (2).jpg", "a (3).jpg" and so on."""
    path = PurePosixPath(name)
    yield name
    yield from (f"{path.stem} ({number}){path.suffix}" for number in count(2))


def _place(path: str, source: str, top: Path, group: str, *, how: How) -> tuple[str, str, str]:
    """Put one photograph into one folder: its place, outcome and reason."""
    places = (f"{group}/{name}" for name in _numbered(PurePosixPath(path).name or "_"))
    try:
        put_at = _copier(source) if how == "copy" else _linker(source, how)
        tried = ((place, put_at(place_within(top, place))) for place in places)
        place, outcome = next((place, outcome) for place, outcome in tried if outcome)
        return place, outcome, ""
    except (ImageRejected, FolderError, OSError) as error:
        return "", FAILED, failure(error)


def _copier(source: str) -> Callable[[Path], str]:
    """What copies a photograph to a place: "" if something else is there."""
    status, content = read_file(source)

    def copy(target: Path) -> str:
        if os.path.lexists(target) and not holds(target, content):
            return ""
        return put(target, content, mtime_ns=status.st_mtime_ns)

    return copy


def _linker(source: str, how: How) -> Callable[[Path], str]:
    """What links a photograph to a place: "" if something else is there."""
    if not os.path.isfile(source):
        raise FolderError("only a file of this machine can be linked: copy it")

    def link(target: Path) -> str:
        if os.path.lexists(target):
            return THERE if target.exists() and target.samefile(source) else ""
        if how == "hardlink":
            os.link(os.path.realpath(source), target)
        else:
            os.symlink(os.path.abspath(source), target)
        return WRITTEN

    return link
