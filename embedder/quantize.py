"""Make a backbone's model in int8 from pictures of the user's own, and hold it against fp32 on others of them.

NNCF's mixed preset with the whole range of activations that was seen. Measured with MobileFaceNet on UTKFace, cosine to
fp32 with the mean embedding subtracted, lowest and mean of 248 images, calibrated on 292 others: NNCF's own choice of
range 0.958 and 0.994, the whole range 0.989 and 0.995. The first and the last layer, the depthwise ones or the sums in
fp32 changed the mean by 0.001 at most. Static QDQ in ONNX Runtime is no second way: 1.9 times fp32 with ArcFace and 3.5
with Facenet, where OpenVINO has 3.8 and 3.6.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from data.errors import BackboneError
from embedder.backbone import Backbone, drawn_weights, start_backbone
from embedder.int8 import Int8Model, identity, int8_file, read_int8, write_int8
from embedder.preprocess import ImageRejected, Picture, decode, padded, read_file
from embedder.runtimes.graph import BATCH, complete, graph_input
from embedder.selfcheck import fidelity
from embedder.spec import BackboneSpec
from embedder.start import reference_of

CALIBRATION, OTHERS = 300, 200  # images; of fewer, three in five calibrate
FEWEST = 20
MIN_COSINE = 0.95


def require_int8(spec: BackboneSpec, images: pd.DataFrame, *, min_cosine: float = MIN_COSINE) -> Int8Model:
    """A backbone's model in int8: the one that is kept, or one calibrated on some of these images.

    Calibrated is once: later folders and stores use the same model, so that their embeddings can be compared.

    Parameters
    ----------
    spec : of precision int8, as resolved.
    images : DataFrame with columns image_id and path. Which of them are used depends on their ids alone.
    min_cosine : the least cosine to fp32, mean subtracted, that an image which calibrated nothing must reach.

    Raises
    ------
    BackboneError : too few images can be read, a package is missing, or an image's cosine is lower.
    """
    spec = drawn_weights(spec)
    path = int8_file(spec)
    if not path.exists():
        return _make(spec, images, path, min_cosine)
    model = read_int8(spec)
    _require_near(spec, model, min_cosine, found_in=f"{path}: remove it to calibrate anew")
    return model


def _require_near(spec: BackboneSpec, model: Int8Model, min_cosine: float, found_in: str) -> None:
    checked = model.facts["checked"]
    if not checked["lowest"] >= min_cosine:
        raise BackboneError(
            f"{spec.name} in int8 reaches cosines to fp32 of {checked['lowest']:.4f} at the lowest, "
            f"{checked['mean']:.4f} in the mean (mean embedding subtracted, {checked['images']} images), expected "
            f"{min_cosine:g}: give another --min-cosine, or leave int8 out. {found_in}"
        )


def _make(spec: BackboneSpec, images: pd.DataFrame, path: Path, min_cosine: float) -> Int8Model:
    if importlib.util.find_spec("nncf") is None:
        raise BackboneError("int8 needs nncf: pip install openvino nncf")
    with start_backbone(reference_of(spec)) as reference:
        hashes, faces = _draw(images, reference)
        n = len(faces) * CALIBRATION // (CALIBRATION + OTHERS)
        facts = {
            "of": identity(spec),
            "calibration": {"images": n, "sha256": hashlib.sha256("\n".join(sorted(hashes[:n])).encode()).hexdigest()},
            "versions": {library: importlib.metadata.version(library) for library in ("openvino", "nncf")},
        }
        model = Int8Model(*_calibrated(spec, faces[:n]), facts)
        facts["checked"] = {"images": len(faces) - n, **_compared(spec, model, reference, faces[n:])}
    _require_near(spec, model, min_cosine, found_in="Nothing was kept.")
    try:
        write_int8(model, path)
    except OSError as error:
        raise BackboneError(f"cannot write {path}: {error.strerror}. Make room, or set XDG_CACHE_HOME") from None
    return model


def _draw(images: pd.DataFrame, reference: Backbone) -> tuple[list[str], Picture]:
    """Contents and crops of images that can be read, each content once, in the order of their ids' hashes."""
    found: dict[str, Picture] = {}
    keys = [hashlib.sha256(str(name).encode("utf-8", "surrogateescape")).digest() for name in images["image_id"]]
    for position in sorted(range(len(keys)), key=keys.__getitem__):
        try:
            content = read_file(images["path"].iloc[position])[1]
            found[hashlib.sha256(content).hexdigest()] = reference.crop(decode(content))
        except ImageRejected:
            continue
        if len(found) == CALIBRATION + OTHERS:
            break
    if len(found) < FEWEST:
        raise BackboneError(
            f"int8 is calibrated on images: expected {FEWEST} or more that can be read, found {len(found)}"
        )
    return [*found], np.stack([*found.values()])


def _calibrated(spec: BackboneSpec, faces: Picture) -> tuple[bytes, bytes]:
    """The model's XML and weights."""
    from embedder.ov import import_nncf, openvino
    from embedder.runtimes.openvino import fused_model, input_shape

    nncf = import_nncf()
    ranges = importlib.import_module("nncf.quantization.range_estimator").RangeEstimatorParametersSet
    model = fused_model(spec)
    spec, only = complete(spec, input_shape(model))
    batch = only or BATCH
    model.reshape({model.input(0): graph_input(spec, padded(faces[:1], batch)).shape})
    inputs = [graph_input(spec, padded(faces[start : start + batch], batch)) for start in range(0, len(faces), batch)]
    with contextlib.redirect_stdout(io.StringIO()):  # bars
        quantized = nncf.quantize(
            model,
            nncf.Dataset(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(inputs),
            advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges.MINMAX),
        )
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "model.xml"
        openvino.save_model(quantized, made, compress_to_fp16=False)
        return made.read_bytes(), made.with_suffix(".bin").read_bytes()


def _compared(spec: BackboneSpec, model: Int8Model, reference: Backbone, faces: Picture) -> dict[str, float]:
    """Cosines of a model that is not kept yet."""
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / "int8.zip"
        write_int8(model, made)
        with start_backbone(replace(spec, int8_file=made)) as backbone:
            return fidelity(backbone.embed(list(faces)), reference.embed(list(faces)))._asdict()
