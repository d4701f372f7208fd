"""What makes a vector what it is: a backbone's row of data, and the fingerprint of all that changes a vector."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import FingerprintMismatch

UNALIGNED = "none"  # what alignment and detector are where pictures are taken as they are


@dataclass(frozen=True)
class BackboneSpec:
    """One backbone as a row of data.

    Parameters
    ----------
    name : what tables and reports call it.
    runtime : the module of `embedder.runtimes` that executes it: the reference for its kind of file.
    executor : another one that does so in the reference's place; AUTO for the fastest here, "" for the reference.
    device : where that one computes: CPU, CUDA for an NVIDIA GPU, AUTO for a GPU where there is one.
    dim : shape of one row, e.g. (128,) for a vector, (128, 128) for a picture.
    input_size : (height, width) of the face it sees, in pixels.
    channel_order : "RGB", "BGR" or "GRAY".
    normalization : a key of `embedder.preprocess.NORMALIZATIONS`.
    crop : how a picture, or an aligned face, becomes `input_size`: what of it is seen, WHOLE, "central 80%", or
        "central 118%" with black around it; then a key of `embedder.preprocess.FITS`.
    alignment : how a face is cut from its picture: a key of `embedder.faces.templates.TEMPLATES`, and perhaps a margin;
        "none" where pictures are taken as they are.
    detector : that finds the face, as `embedder.faces.detect.parse_detector` reads it; "none" without alignment.
    layout : "NCHW" or "NHWC"; how the graph wants its input, which changes no value.
    dtype : NumPy name of the row's dtype.
    precision : of the arithmetic: one of PRECISIONS, for int8 with the model's digest; "uint8" where there is none.
    int8_file : the model in int8 where it is not the one in the cache folder.
    layer : the tensor that is the embedding; "output" for the graph's own. It ends in MIRRORED where it is the mean of
        the picture's and of its mirror image's.
    files : names of the weight files that fit, the preferred one first; rows of `embedder.weights.WEIGHTS`.
    graph : "module.function" under deepface.models.facial_recognition.tf that builds the network for an .h5 file.
    weights : the weight file, if there is one.
    given : whether that file was given by its path, not found by its name.
    seed : of weights drawn at random, None for trained ones.
    licence, url : of the weights, for people.
    """

    name: str
    runtime: str
    dim: tuple[int, ...]
    input_size: tuple[int, int]
    channel_order: str
    normalization: str
    crop: str
    alignment: str = UNALIGNED
    detector: str = UNALIGNED
    layout: str = "NHWC"
    dtype: str = "float32"
    precision: str = "fp32"
    layer: str = "output"
    files: tuple[str, ...] = ()
    graph: str = ""
    weights: Path | None = None
    executor: str = ""
    device: str = "auto"
    int8_file: Path | None = None
    given: bool = False
    seed: int | None = None
    licence: str = "unknown"
    url: str = ""

    @property
    def view(self) -> dict[str, str]:
        """The settings that say how a picture is looked at, as they are written; see `view_of`."""
        return view_of(self)

    @property
    def runs_on(self) -> str:
        """The module of `embedder.runtimes` that is to execute it."""
        return self.executor or self.runtime

    @property
    def own_file(self) -> Path | None:
        """The ONNX file that was given by hand: it goes into bundles. None for what is found or drawn by name."""
        return self.weights if self.given and self.runtime == "onnx" else None


L2_NORMALIZED = "output, l2-normalized"
SEEDED = "seeded:"  # and a number, in place of a weight file: weights drawn at random
AUTO = "auto"  # as an executor: the fastest one here; as a device: a GPU if there is one
CPU, CUDA = "cpu", "cuda"
DEVICES = (AUTO, CPU, CUDA)
ON_GPUS = ("onnx", "keras", "dlib")  # runtimes that can compute on one
INT8 = "int8"  # in a fingerprint with the digest of the model
PRECISIONS = ("fp32", "fp16", INT8)  # those below fp32 are OpenVINO's
EXECUTORS = {"onnx": ("openvino",), "keras": ("openvino",)}  # which others execute what a runtime does
WHOLE = "whole picture"
MIRRORED = ", mean with the mirrored picture's"
FACES = "faces"  # the layer of rows that are a detector's, see `embedder.faces.table`
DEFAULT_DETECTOR = "hog"  # also of pictures that are said to be aligned already, since nobody can tell it from them
_MARGIN = ", margin "
_LETTERBOX = f"{WHOLE}, letterbox, bilinear"


def _deepface(name: str, dim: int, size: tuple[int, int], normalization: str, **fields: Any) -> BackboneSpec:
    """A backbone as deepface runs it: BGR unless its row says otherwise, letterboxed."""
    url = "https://github.com/serengil/deepface_models"
    defaults = {"channel_order": "BGR", "crop": _LETTERBOX, "runtime": "onnx", "layout": "", "url": url}
    return BackboneSpec(name, dim=(dim,), input_size=size, normalization=normalization, **{**defaults, **fields})


_ROWS = (
    _deepface(
        "ArcFace",
        512,
        (112, 112),
        "ArcFace",
        files=("arcface_weights.onnx", "arcface_weights.h5"),
        graph="ArcFace.load_model",
        licence="code MIT, weights for non-commercial research",
    ),
    _deepface(
        "Facenet",
        128,
        (160, 160),
        "Facenet2018",
        files=("facenet_weights.onnx", "facenet_weights.h5"),
        graph="Facenet.load_facenet128d_model",
        licence="MIT",
    ),
    _deepface(
        "Facenet512",
        512,
        (160, 160),
        "Facenet2018",
        files=("facenet512_weights.onnx", "facenet512_weights.h5"),
        graph="Facenet.load_facenet512d_model",
        licence="MIT",
    ),
    _deepface(
        "VGG-Face",
        4096,
        (224, 224),
        "VGGFace",
        files=("vgg_face_weights.onnx", "vgg_face_weights.h5"),
        graph="VGGFace.load_model",
        layer=L2_NORMALIZED,
        licence="non-commercial research (Creative Commons)",
    ),
    _deepface(
        "OpenFace",
        128,
        (96, 96),
        "base",
        files=("openface_weights.onnx", "openface_weights.h5"),
        graph="OpenFace.load_model",
        licence="Apache-2.0",
    ),
    _deepface(
        "DeepID",
        160,
        (55, 47),
        "base",
        files=("deepid_weights.onnx", "deepid_keras_weights.h5"),
        graph="DeepID.load_model",
        licence="unknown, see github.com/Ruoyiran/DeepID",
    ),
    _deepface(
        "SFace",
        128,
        (112, 112),
        "raw",
        files=("face_recognition_sface_2021dec.onnx",),
        channel_order="RGB",
        licence="Apache-2.0",
        url="https://github.com/opencv/opencv_zoo",
    ),
    _deepface(
        "GhostFaceNet",
        512,
        (112, 112),
        "ArcFace",
        files=("ghostfacenet_v1.onnx", "ghostfacenet_v1.h5"),
        graph="GhostFaceNet.load_model",
        licence="code MIT, weights unclear",
    ),
    BackboneSpec(
        name="Dlib",
        runtime="dlib",
        dim=(128,),
        input_size=(150, 150),
        channel_order="RGB",
        normalization="raw",  # the network subtracts its own means
        crop=_LETTERBOX,
        licence="public domain (CC0)",
        url="https://github.com/davisking/dlib-models",
    ),
    BackboneSpec(
        name="pixels",
        runtime="pixels",
        dim=(128, 128),
        input_size=(128, 128),
        channel_order="GRAY",
        normalization="raw",
        crop=f"{WHOLE}, letterbox, gray, lanczos",
        dtype="uint8",
        precision="uint8",
        licence="none needed",
    ),
)
BACKBONES = {row.name: row for row in _ROWS}


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

    @property
    def seeded(self) -> int | None:
        """The seed, where the weights were drawn at random and nobody has trained them; None for trained ones."""
        return self.recorded.get("seeded")

    @property
    def holds_faces(self) -> bool:
        """Whether its rows are no embeddings but the Faces table of a detector."""
        return self.layer == FACES

    @property
    def view(self) -> dict[str, str]:
        """As of `BackboneSpec`."""
        return view_of(self)

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


def view_of(spec: BackboneSpec | EmbeddingSpec) -> dict[str, str]:
    """What a spec says beside the whole picture as it is, as settings are written.

    {"crop": "80", "flip": "yes"}, {"crop": "chip", "margin": "20", "detector": "cnn"}, or less.
    """
    view = {} if spec.crop.startswith(WHOLE) else {"crop": spec.crop.partition("%")[0].removeprefix("central ")}
    if spec.alignment != UNALIGNED:
        template, margin = split_alignment(spec.alignment)
        view = {"crop": template} | ({"margin": str(margin)} if margin else {})
        view |= {} if spec.detector == DEFAULT_DETECTOR else {"detector": spec.detector}
    return view | ({"flip": "yes"} if spec.layer.endswith(MIRRORED) else {})


def join_alignment(template: str, margin: int = 0) -> str:
    """The name of a template and a margin in percent as they stand in a spec: "chip", "chip, margin 20%"."""
    return f"{template}{_MARGIN}{margin}%" if margin else template


def split_alignment(alignment: str) -> tuple[str, int]:
    """What `join_alignment` joined."""
    template, _, margin = alignment.partition(_MARGIN)
    return template, int(margin.removesuffix("%") or 0)


def difference(first: EmbeddingSpec, second: EmbeddingSpec) -> list[tuple[str, Any, Any]]:
    """The hashed fields in which two specs differ: (field, value in the first, value in the second)."""
    pairs = ((field, getattr(first, field), getattr(second, field)) for field in HASHED)
    return [(field, one, other) for field, one, other in pairs if one != other]
