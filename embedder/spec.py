"""What makes a vector what it is: a backbone's row of data, and the fingerprint of all that changes a vector."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import FingerprintMismatch


@dataclass(frozen=True)
class BackboneSpec:
    """One backbone as a row of data.

    Parameters
    ----------
    name : what tables and reports call it.
    runtime : the module of `embedder.runtimes` that executes it.
    dim : shape of one row, e.g. (128,) for a vector, (128, 128) for a picture.
    input_size : (height, width) of the face it sees, in pixels.
    channel_order : "RGB", "BGR" or "GRAY".
    normalization : a key of `embedder.preprocess.NORMALIZATIONS`.
    crop : how a picture becomes `input_size`, a key of `embedder.preprocess.CROPS`.
    layout : "NCHW" or "NHWC"; how the graph wants its input, which changes no value.
    dtype : NumPy name of the row's dtype.
    precision : of the arithmetic, e.g. "fp32"; "uint8" where there is none.
    layer : the tensor that is the embedding; "output" for the graph's own.
    weights : the weight file, if there is one.
    licence, url : of the weights, for people.
    """

    name: str
    runtime: str
    dim: tuple[int, ...]
    input_size: tuple[int, int]
    channel_order: str
    normalization: str
    crop: str
    layout: str = "NHWC"
    dtype: str = "float32"
    precision: str = "fp32"
    layer: str = "output"
    weights: Path | None = None
    licence: str = "unknown"
    url: str = ""


# Everything that changes a vector and nothing that does not: runtimes, batch sizes and machines must agree anyway.
HASHED = (
    "weights_sha256",
    "dim",
    "input_size",
    "channel_order",
    "normalization",
    "layer",
    "detector",
    "alignment",
    "crop",
    "decode",
    "precision",
)


@dataclass(frozen=True)
class EmbeddingSpec:
    """Everything that changes a vector, and beside it what people want to know (`recorded`, not hashed)."""

    weights_sha256: str | None
    dim: tuple[int, ...]
    input_size: tuple[int, int]
    channel_order: str
    normalization: str
    layer: str
    detector: str
    alignment: str
    crop: str
    decode: str
    precision: str
    name: str
    dtype: str
    recorded: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 over the hashed fields in canonical JSON."""
        canonical = json.dumps({key: getattr(self, key) for key in HASHED}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; `from_json` is its inverse."""
        return {"fingerprint": self.fingerprint, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "EmbeddingSpec":
        """Rebuild a spec.

        Raises
        ------
        FingerprintMismatch : if the recorded fingerprint is not that of the fields: someone changed the file.
        """
        fields = dict(fields)
        recorded = fields.pop("fingerprint")
        fields["dim"], fields["input_size"] = tuple(fields["dim"]), tuple(fields["input_size"])
        spec = cls(**fields)
        if spec.fingerprint != recorded:
            raise FingerprintMismatch(
                f"the settings of {spec.name} have fingerprint {spec.fingerprint}, their file says {recorded}: "
                "it was altered or written by another version. Run `extract` again into a new store."
            )
        return spec


def difference(first: EmbeddingSpec, second: EmbeddingSpec) -> list[tuple[str, Any, Any]]:
    """The hashed fields in which two specs differ: (field, value in the first, value in the second)."""
    pairs = ((field, getattr(first, field), getattr(second, field)) for field in HASHED)
    return [(field, one, other) for field, one, other in pairs if one != other]
