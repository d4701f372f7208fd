"""The user's cache folder: what can be made or measured again, and need not be."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from data.errors import BackboneError
from data.files import write_text


def home() -> Path:
    """The user's home directory. Raises BackboneError if there is none, as for a bare user id in a container."""
    try:
        return Path.home()
    except RuntimeError:
        raise BackboneError(
            "no home directory is known for weights: set DEEPFACE_HOME to the folder of trained ones, and "
            "XDG_CACHE_HOME to one for weights drawn at random"
        ) from None


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/faceprobe, far from deepface's folder of trained weights."""
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "faceprobe"


def digest_of(facts: dict[str, Any]) -> str:
    """16 hexadecimal digits that stand for JSON-able facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def recall(question: dict[str, Any]) -> Any:
    """The answer that `remember` was given; None if there is none, or none that can be read."""
    try:
        return json.loads(_note(question).read_text("utf-8"))["answer"]
    except (BackboneError, OSError, ValueError, KeyError, TypeError):
        return None


def remember(question: dict[str, Any], answer: Any) -> None:
    """Write down what was found out, a file each; where nothing can be written it is found out again next time."""
    try:
        note = _note(question)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, json.dumps({**question, "answer": answer}, indent=1))
    except (BackboneError, OSError):
        pass


def _note(question: dict[str, Any]) -> Path:
    return cache_folder() / "found" / f"{digest_of(question)}.json"
