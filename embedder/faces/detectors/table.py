"""All detectors, whether each can be used here, and how to get what it lacks. Nothing is loaded or downloaded."""

import contextlib
import importlib.metadata
import importlib.util
import re
import shlex
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from data.errors import DetectorError
from data.files import sha256_of_file
from embedder.download import not_weights
from embedder.faces.detectors import deepface, dlib, mtcnn
from embedder.faces.detectors.row import DetectorRow, find_file
from embedder.weights import WeightFile, weights_folder

MODULES: dict[str, ModuleType] = {"dlib": dlib, "mtcnn": mtcnn, "deepface": deepface}
DETECTORS: dict[str, DetectorRow] = {row.name: row for module in MODULES.values() for row in module.ROWS}
_MARKUP = (".xml",)  # which begins as a web page does


@dataclass(frozen=True)
class DetectorState:
    """Whether a detector can be used here.

    Attributes
    ----------
    state : "works", "needs a package", "needs a file" or "does not work".
    why : one line; what to do about it, or what the detector is good for.
    """

    name: str
    state: str
    why: str


def list_detectors() -> list[DetectorState]:
    """What works here and why the others do not, by packages and files; an installed package is taken to be sound."""
    return [_state(row) for row in DETECTORS.values()]


def require_detector(name: str) -> DetectorRow:
    """Make sure that a detector has what it needs, and that its files are the known ones.

    Raises
    ------
    DetectorError : what is missing and how to get it.
    """
    row = DETECTORS[name]
    found = _state(row)
    if found.state != "works":
        how = _how_to_get(row) if found.state.startswith("needs") else []
        working = ", ".join(found.name for found in list_detectors() if found.state == "works")
        lines = [f"{name} {found.state}: {found.why}", *how, f"Works right now:  {working}"]
        raise DetectorError("\n".join(lines))
    for file in row.files:
        _check_hash(row, file)
    return row


def describe_row(row: DetectorRow) -> dict[str, Any]:
    """Versions of the packages, SHA-256 of the model files, licence."""
    paths = {file.name: find_file(row, file.name) for file in row.files}
    return {
        "packages": {module: _version(module, package) for module, package in sorted(row.packages.items())},
        "files": {name: sha256_of_file(path) for name, path in paths.items() if path},
        "licence": row.licence,
    }


def _state(row: DetectorRow) -> DetectorState:
    if why := MODULES[row.module].unusable(row):
        return DetectorState(row.name, "does not work", why)
    missing = [package for module, package in row.packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        return DetectorState(row.name, "needs a package", f"{shlex.join(['pip', 'install', *missing])} ({row.about})")
    for file in row.files:
        path = find_file(row, file.name)
        if path is None and file.urls:
            return DetectorState(row.name, "needs a file", f"{file.name} ({row.about})")
        if path is None:
            package = row.within[-1].partition("/")[0]
            return DetectorState(row.name, "needs a file", f"{package} is installed without {file.name}: do it again")
        with open(path, "rb") as opened:
            problem = not_weights(opened.read(64))
        if problem and path.suffix not in _MARKUP:
            return DetectorState(row.name, "needs a file", f"in place of {path}: {problem}")
    return DetectorState(row.name, "works", row.about)


def _version(module: str, package: str) -> str:
    """Of the package that a module came with, which may be another than the one that is advised."""
    own_name = re.split("[<>=]", package)[0]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(own_name)
    others = importlib.metadata.packages_distributions().get(
        module, ()
    )  # looks at all that is installed: half a second
    return importlib.metadata.version(others[0]) if others else "unknown"


def _check_hash(row: DetectorRow, file: WeightFile) -> None:
    """Refuse a file that is not the known one; where none is known, `describe_row` records what was used."""
    path = find_file(row, file.name)
    if path and file.sha256 and (found := sha256_of_file(path)) != file.sha256:
        raise DetectorError(
            f"{path} is not used: its SHA-256 is {found}, the known one is {file.sha256}.\n"
            f"Put the right one there, from {' or '.join(file.urls)}"
        )


def _how_to_get(row: DetectorRow) -> list[str]:
    """Where the model files come from that are not there."""
    absent = [file for file in row.files if file.urls and find_file(row, file.name) is None]
    lines = []
    for file in absent:
        lines.append(f"  {file.name}  SHA-256 {file.sha256 or 'not known'}")
        lines += [f"    {url}" for url in file.urls]
    by_hand = f"faceprobe does not download such files: fetch them by hand and put them into {weights_folder()}"
    return [*lines, by_hand] if absent else []
