"""The Faces table of a store: what a detector found in each content, and how well each face can be seen.

It is kept as embeddings are, under a fingerprint (of the detector and its model files), a row of numbers for every face
and a status for every content without one. So whatever holds for embeddings holds for it: it survives kills, is
verified, merged, forgotten from and exported by the same code.
"""

import hashlib
import json

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedder.faces.choice import TRAITS, Traits
from embedder.faces.detect import DETECTORS, DetectorSpec, describe_detector
from embedder.faces.face import Face
from embedder.faces.quality import Quality
from embedder.preprocess import DECODE
from embedder.spec import FACES, UNALIGNED, WHOLE, EmbeddingSpec

BOX = ("left", "top", "right", "bottom")
MEASURES = ("size", "sharpness", "exposure", "contrast", "inside", "yaw", "pitch", "roll", "quality")
MEASURED_BY = "quality 1"  # another number whenever `embedder.faces.quality` measures the same face otherwise
COLUMNS = (*BOX, "confidence", "turned", *MEASURES)

Rows = NDArray[np.float32]


def table_spec(detector: DetectorSpec) -> EmbeddingSpec:
    """The spec under which a store keeps what a detector finds; its fingerprint is of all that changes a row.

    Model files are read for their hashes.
    """
    recorded = describe_detector(detector)
    row = DETECTORS[detector.name]
    decisive = json.dumps({"files": recorded["files"], "threshold": row.threshold}, sort_keys=True).encode()
    return EmbeddingSpec(
        weights_sha256=hashlib.sha256(decisive).hexdigest(),
        dim=(len(COLUMNS) + 2 * row.landmarks,),
        input_size=(detector.side, detector.side),
        channel_order="RGB",
        normalization=MEASURED_BY,
        layer=FACES,
        detector=str(detector),
        alignment=UNALIGNED,
        crop=WHOLE,
        decode=DECODE,
        precision="fp32",
        name=f"faces by {detector}",
        dtype="float32",
        recorded={**recorded, "columns": COLUMNS},
    )


def to_row(face: Face, quality: Quality) -> Rows:
    """One face as a row: COLUMNS, then x and y of each landmark."""
    measured = [getattr(quality, name) or 0.0 for name in MEASURES[:-1]]  # landmarks in one place tell of no pose
    numbers = [*face.box, face.confidence, face.turned, *measured, quality.overall]
    return np.array([*numbers, *face.landmarks.ravel()], np.float32)


def to_face(row: Rows) -> Face:
    """What `to_row` was given."""
    left, top, right, bottom, confidence, turned = row[:6].tolist()
    landmarks = row[len(COLUMNS) :].reshape(-1, 2)
    return Face((left, top, right, bottom), landmarks, confidence, int(turned))


def column(rows: Rows, name: str) -> Rows:
    """A column of rows, (n, columns) to (n,)."""
    return rows[:, COLUMNS.index(name)]


def traits_of(rows: Rows) -> Traits:
    """What a choice goes by."""
    return {name: column(rows, name) for name in TRAITS}


def as_frame(rows: Rows) -> pd.DataFrame:
    """Rows with the names of their columns, without landmarks."""
    return pd.DataFrame(rows[:, : len(COLUMNS)], columns=pd.Index(COLUMNS))
