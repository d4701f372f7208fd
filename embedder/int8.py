"""A backbone's model in int8: one file, made once and kept in the cache folder.

    int8/DIGEST.zip      DIGEST: of the weights and of what is done to a picture before them
      model.xml, .bin    OpenVINO's, as NNCF made it: what computes
      facts.json         of what it was made, and how near it comes to fp32

The same images and versions may give other numbers on another machine, so nothing but the model itself says which it
is: its SHA-256 goes into the fingerprint, and embeddings of two calibrations never mix.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import BackboneError, FingerprintMismatch
from data.files import PRIVATE, atomic_write, sha256_of_file
from embedder.cache import cache_folder, digest_of
from embedder.spec import INT8, BackboneSpec, EmbeddingSpec, difference

_XML, _BIN, _FACTS = "model.xml", "model.bin", "facts.json"


@dataclass(frozen=True)
class Int8Model:
    """What the file holds.

    Attributes
    ----------
    xml, weights : OpenVINO's model.
    facts : `of`, the backbone; `versions` of libraries; `calibration`, how many images and the SHA-256 of their hashes;
        `checked`, how many others and their cosines to fp32 (see `embedder.selfcheck.Fidelity`).
    """

    xml: bytes
    weights: bytes
    facts: dict[str, Any]

    @property
    def precision(self) -> str:
        """What the fingerprint says of it."""
        return f"{INT8} nncf {hashlib.sha256(self.xml + self.weights).hexdigest()[:16]}"


def int8_file(spec: BackboneSpec) -> Path:
    """Where the model of a backbone is, or will be."""
    return spec.int8_file or cache_folder() / "int8" / f"{digest_of(identity(spec))}.zip"


def identity(spec: BackboneSpec) -> dict[str, Any]:
    """The backbone that a model is of: its weights, and what is done to a picture before them."""
    return {
        "weights_sha256": sha256_of_file(spec.weights) if spec.weights else None,
        "normalization": spec.normalization,
        "channel_order": spec.channel_order,
        "crop": spec.crop,
    }


def read_int8(spec: BackboneSpec) -> Int8Model:
    """A backbone's model.

    Raises
    ------
    BackboneError : there is none, it is damaged, of another backbone, or not the one that the spec asks for.
    """
    path = int8_file(spec)
    again = f"make it with `extract --precision {INT8}`"
    try:
        with zipfile.ZipFile(path) as file:
            model = Int8Model(file.read(_XML), file.read(_BIN), json.loads(file.read(_FACTS)))
        of = model.facts["of"]
    except FileNotFoundError:
        raise BackboneError(f"{spec.name} has no model in int8 yet, {path}: {again}, or copy the file here") from None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise BackboneError(f"{path} is no model in int8 ({error}): remove it and {again}") from None
    if of != identity(spec):
        raise BackboneError(f"{path} is the model in int8 of other weights or settings than {spec.name}: {again}")
    if spec.precision not in (INT8, model.precision):
        raise BackboneError(
            f"expected {spec.name} in {spec.precision}; {path} is {model.precision}, from another calibration: copy "
            "the file from where the embeddings were made, or extract and train again"
        )
    return model


def require_one_int8(spec: EmbeddingSpec, held: Iterable[EmbeddingSpec]) -> None:
    """Refuse to begin embeddings in int8 beside those of another model of the same backbone, as of another machine.

    Raises
    ------
    FingerprintMismatch : with both models.
    """
    for other in held:
        both = all(each.precision.startswith(INT8) for each in (spec, other))
        if both and [field for field, *_ in difference(spec, other)] == ["precision"]:
            raise FingerprintMismatch(
                f"the store holds {other.name} in {other.precision}, the model here is {spec.precision}, from another "
                f"calibration: copy its file from where the store was begun to {cache_folder() / 'int8'}, or extract "
                "into a new store"
            )


def write_int8(model: Int8Model, path: Path) -> None:
    """Write a model, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, mode=PRIVATE) as target, zipfile.ZipFile(target, "w") as file:
        file.writestr(_XML, model.xml)
        file.writestr(_BIN, model.weights)
        file.writestr(_FACTS, json.dumps(model.facts, indent=1))
