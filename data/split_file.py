"""Splits as files: our own with their rule beside them, and the lists that others publish with a dataset."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from data.errors import SplitError
from data.files import atomic_write, write_text
from data.split import TEST, TRAIN, VALID, Split, listed

ROLES = ("train", "valid", "test")
_WORDS = {"train": TRAIN, "valid": VALID, "val": VALID, "validation": VALID, "dev": VALID, "test": TEST}
_LISTS = (("train.txt",), ("valid.txt", "val.txt"), ("test.txt",))  # in the order of ROLES


def write_split(split: Split, path: str | os.PathLike[str]) -> None:
    """Write a split as CSV, atomically: columns image_id, group and fold_0, ... with train, valid or test.

    Beside x.csv stands x.json with the rule, the seed, the number of repeats and the hash.
    """
    words = np.array(ROLES, dtype=object)[split.roles]
    columns = {f"fold_{fold}": words[:, fold] for fold in range(split.n_folds)}
    frame = pd.DataFrame({"image_id": split.ids, "group": split.groups, **columns})
    facts = {"rule": split.rule, "seed": split.seed, "repeats": split.repeats, "hash": split.hash}
    with atomic_write(path) as file:
        frame.to_csv(file, index=False, lineterminator="\n")
    write_text(_facts_of(path), json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def read_split(path: str | os.PathLike[str], ids: ArrayLike | None = None) -> Split:
    """Read a split: one that `write_split` wrote, another program's table, or a folder of lists.

    - CSV with image_id and fold_0, ...: roles in each fold, and `group` if rows belong together.
    - CSV with image_id (or path) and `split`: train, valid (val, validation, dev) or test.
    - CSV with image_id (or path) and `fold`: whole numbers. Each is tested once, the next one validates meanwhile.
    - A folder with train.txt, valid.txt (or val.txt) and test.txt: an image per line.

    Parameters
    ----------
    ids : array-like of str, the images to split. Names in the file are then taken for the ids that they equal, or whose
        last part they share (lists name files, ids may name folders as well); rows of other images are left out.
        Without `ids` names stay as they are.

    Raises
    ------
    SplitError : if the file cannot be read, a column or list is missing, a role is none of the above, an id stands
        there twice, a group is on two sides of a fold, a fold lacks a role, a name fits several ids, none of `ids` is
        there, or the file is not the one that the rule beside it was written for.
    """
    split = _read_lists(Path(path)) if os.path.isdir(path) else _read_table(Path(path))
    if ids is not None:
        split = _of(split, np.asarray(ids, dtype=object))
    _check_roles(split)
    return split


def _facts_of(path: str | os.PathLike[str]) -> Path:
    return Path(path).with_suffix(".json")


def _read_table(path: Path) -> Split:
    """Read a CSV of any of the three kinds, with the facts beside it if there are any."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)  # an id may be "NA"
    except (OSError, ValueError) as error:
        raise SplitError(f"expected a split as CSV; {path} cannot be read: {error}") from None
    if "image_id" not in frame and "path" in frame:
        frame = frame.rename(columns={"path": "image_id"})
    folds = [column for column in frame.columns if column.startswith("fold_")]
    kind = "folds" if folds else next((column for column in ("split", "fold") if column in frame), None)
    if "image_id" not in frame or kind is None or frame.empty:
        raise SplitError(
            f"expected the columns image_id and fold_0, ... or split or fold in {path}, and rows; "
            f"found {', '.join(frame.columns)} and {len(frame)} rows.\nMake the split with `compare`."
        )
    roles = _numbered(frame["fold"], path) if kind == "fold" else _roles(frame[folds or ["split"]], path)
    ids = frame["image_id"].to_numpy(dtype=object)
    groups = frame["group"].to_numpy(dtype=object) if "group" in frame else ids
    return _with_facts(Split(ids, groups, roles, rule=f"read from {path.name}"), path)


def _roles(frame: pd.DataFrame, path: Path) -> np.ndarray:
    """Turn words into roles, int8 of the same shape."""
    words = frame.to_numpy(dtype=object)
    wrong = ~np.isin(words, list(_WORDS))
    if wrong.any():
        raise SplitError(f"expected train, valid or test in the folds of {path}; found {listed(words[wrong])}.")
    return np.array([[_WORDS[word] for word in row] for row in words], dtype=np.int8)


def _numbered(column: pd.Series, path: Path) -> np.ndarray:
    """Turn each row's fold into its roles, int8 (n, folds): its own tests it, the one before validates on it."""
    codes, found = pd.factorize(column, sort=True)
    if not all(name.isdecimal() for name in found) or len(found) < 3:
        raise SplitError(
            f"expected three or more folds, numbered, in the column fold of {path}; found {listed(np.asarray(found))}."
        )
    numbers = np.argsort(np.argsort([int(name) for name in found]))[codes]  # "10" comes after "9"
    after = (numbers[:, None] - np.arange(len(found))) % len(found)
    return np.select([after == 0, after == 1], [TEST, VALID], TRAIN).astype(np.int8)


def _with_facts(split: Split, path: Path) -> Split:
    """Give a split the rule that stands beside its file, if there is one."""
    try:
        facts = json.loads(_facts_of(path).read_text("utf-8"))
        rule, seed, repeats, written = (facts[key] for key in ("rule", "seed", "repeats", "hash"))
    except FileNotFoundError:
        return split
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SplitError(
            f"expected the rule of {path} in {_facts_of(path).name}; it cannot be read: {error!r}.\n"
            "Remove it, or rename the split."
        ) from None
    if written != split.hash:
        raise SplitError(
            f"expected {path} to be the split {written[:16]} that {_facts_of(path).name} describes; found "
            f"{split.hash[:16]}: it was changed since.\nRemove {_facts_of(path).name} if that was meant."
        )
    return Split(split.ids, split.groups, split.roles, rule, seed, repeats)


def _read_lists(folder: Path) -> Split:
    """Read a text file per role."""
    names: list[str] = []
    roles: list[int] = []
    for role, spellings in enumerate(_LISTS):
        found = _lines(folder, spellings)
        names += found
        roles += [role] * len(found)
    ids = np.array(names, dtype=object)
    return Split(ids, ids, np.array(roles, dtype=np.int8)[:, None], rule=f"read from the lists in {folder.name}")


def _lines(folder: Path, spellings: Sequence[str]) -> list[str]:
    """Return the lines, empty ones left out, of the first of some files that is there."""
    path = next((folder / name for name in spellings if (folder / name).exists()), None)
    if path is None:
        raise SplitError(
            f"expected {' or '.join(spellings)} in {folder}; found none.\nHold some rows out for each role."
        )
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise SplitError(f"expected an image per line in {path}; it cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()]


def _of(split: Split, ids: np.ndarray) -> Split:
    """Return the part of a split that is of some images, under their ids."""
    known = set(ids)
    by_last: dict[str, list[str]] = {}
    for image_id in ids:
        by_last.setdefault(_last_part(image_id), []).append(image_id)
    meant = [[name] if name in known else by_last.get(_last_part(name), []) for name in split.ids]
    vague = np.array([len(found) > 1 for found in meant], dtype=bool)
    if vague.any():
        raise SplitError(
            f"expected names that fit one image each; found {listed(split.ids[vague])} to fit several.\n"
            "Write image_ids as in the manifest."
        )
    kept = np.array([len(found) == 1 for found in meant], dtype=bool)
    if not kept.any():
        raise SplitError(
            f"expected images of the manifest; found {len(kept)} others such as {listed(split.ids[:1])}.\n"
            "Use the split of this manifest."
        )
    names = np.array([found[0] for found in meant if found], dtype=object)
    return replace(split, ids=names, groups=split.groups[kept], roles=split.roles[kept])


def _last_part(name: str) -> str:
    return name.rpartition("/")[2]


def _check_roles(split: Split) -> None:
    """Refuse a split with a fold that nothing trains, validates or tests."""
    for fold in range(split.n_folds):
        missing = [role for role, rows in zip(ROLES, split.indices(fold), strict=True) if not len(rows)]
        if missing:
            raise SplitError(
                f"expected rows of every role in each fold; found none to {missing[0]} in fold {fold}, {split.rule}.\n"
                "Hold some rows out for it."
            )
