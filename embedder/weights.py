"""Weight files of pretrained backbones: where they lie, and what they must be.

They lie in deepface's own folder, so that both find the same files. A file is used only if its SHA-256 is the known
one. Where none is known, that of the first file is recorded in the folder, and a later change is refused.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import BackboneError
from data.files import sha256_of_file
from embedder.cache import home
from embedder.download import not_weights
from embedder.seeded import is_seeded
from embedder.spec import BACKBONES

RECORD = "faceprobe.sha256"  # in the format of sha256sum: `sha256sum -c faceprobe.sha256` checks it
_RELEASE = "https://github.com/serengil/deepface_models/releases/download/v1.0/"
_HUB = "https://huggingface.co/serengil/deepface/resolve/main/"
_SFACE = "face_recognition_sface_2021dec.onnx"


@dataclass(frozen=True)
class WeightFile:
    """One weight file as a row of data.

    Parameters
    ----------
    name : its name in the folder, which is deepface's and not always the last part of its URL.
    urls : where it is served, in the order in which to try.
    sha256 : hexadecimal, None where no trusted one is known.
    bytes : its length, None where it is not known.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    bytes: int | None = None


def _released(name: str, sha256: str | None = None, bytes: int | None = None) -> WeightFile:
    """A file of deepface's release, which its hub repository mirrors."""
    return WeightFile(name, (_RELEASE + name, _HUB + name), sha256, bytes)


# URLs: deepface 0.0.103. A hash stands here only if sources that do not copy each other agree on it: several projects
# that verified the release (ArcFace, Facenet512, and Facenet, whose hash deepface itself once listed), deepface's own
# list and test (VGG-Face), opencv_zoo's git-LFS pointer and many projects (SFace).
_ROWS = (
    _released("arcface_weights.onnx"),
    _released("arcface_weights.h5", "6336979c0c602cae08d1122a66f4dfb862d059bbcd8ef80306aef2b2249b0c93", 137_026_640),
    _released("facenet_weights.onnx"),
    _released("facenet_weights.h5", "90659cc97bfda5999120f95d8e122f4d262cca11715a21e59ba024bcce816d5c", 92_190_816),
    _released("facenet512_weights.onnx"),
    _released("facenet512_weights.h5", "3f76b5117a9ca574d536af8199e6720089eb4ad3dc7e93534496d88265de864f", 94_955_648),
    _released("vgg_face_weights.onnx"),
    _released("vgg_face_weights.h5", "759266b9614d0fd5d65b97bf716818b746cc77ab5944c7bffc937c6ba9455d8c"),
    _released("openface_weights.onnx"),
    _released("openface_weights.h5"),
    _released("deepid_weights.onnx"),
    _released("deepid_keras_weights.h5"),
    WeightFile(
        _SFACE,
        (
            f"https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/{_SFACE}",
            f"https://huggingface.co/opencv/face_recognition_sface/resolve/main/{_SFACE}",
        ),
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38_696_353,
    ),
    _released("ghostfacenet_v1.onnx"),
    WeightFile(
        "ghostfacenet_v1.h5",
        ("https://github.com/HamadYA/GhostFaceNets/releases/download/v1.2/GhostFaceNet_W1.3_S1_ArcFace.h5",),
    ),
)
WEIGHTS = {row.name: row for row in _ROWS}


@dataclass(frozen=True)
class Check:
    """What a file is, against what the weight file `name` must be.

    Attributes
    ----------
    sha256 : of the file.
    origin : of the hash that it must have: "known", "recorded", or "" if there is none.
    problem : why it must not be used, None if it may.
    """

    name: str
    path: Path
    sha256: str
    origin: str
    problem: str | None


def weights_folder() -> Path:
    """The folder of deepface: $DEEPFACE_HOME/.deepface/weights, below the home directory by default."""
    return Path(os.environ.get("DEEPFACE_HOME") or home()) / ".deepface" / "weights"


def find_weights(files: Sequence[str]) -> Path | None:
    """The first of these files that is in the folder."""
    return next((path for name in files if (path := weights_folder() / name).is_file()), None)


def require_weights(name: str, files: Sequence[str]) -> Path:
    """Find the weight file of a backbone and make sure that it is what it must be.

    Without a known or recorded hash, that of this first use is recorded, if the folder may be written to.

    Parameters
    ----------
    name : of the backbone, for messages.
    files : names that fit, the preferred one first; rows of `WEIGHTS`, or files of one's own.

    Raises
    ------
    BackboneError : none is there, and all the ways to get one; or the first that is there must not be used.
    """
    path = find_weights(files)
    if path is None:
        raise BackboneError(_how_to_get(name, files))
    found = check(path, path.name)
    if found.problem:
        raise BackboneError(
            f"{path} is not used: {found.problem}.\n"
            f"Replace it with `faceprobe weights fetch {path.name}` or `faceprobe weights import FILE`."
        )
    remember(found)
    return path


def expected_sha256(name: str) -> tuple[str, str]:
    """The hash that a file must have and its origin, "known" or "recorded"; ("", "") if there is none."""
    if known := _row(name).sha256:
        return known, "known"
    path = weights_folder() / RECORD
    recorded = _hashes(path.read_bytes()).get(name, "") if path.is_file() else ""
    return recorded, "recorded" if recorded else ""


def working_backbones() -> list[str]:
    """Names of the backbones that need no weight file, or have one in the folder."""
    return [row.name for row in BACKBONES.values() if not row.files or _may_work(find_weights(row.files))]


def _may_work(path: Path | None) -> bool:
    """Whether a file is there that is not plainly something else; its hash is checked when it is used."""
    if path is None or is_seeded(path):
        return False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return not not_weights(file.read(64))
    return False


def verify_weights() -> list[Check]:
    """Check every weight file in the folder; nothing is recorded."""
    return [check(path, name) for name in WEIGHTS if (path := find_weights([name]))]


def check(path: Path, name: str) -> Check:
    """Compare the file at `path`, wherever it lies, with what the weight file `name` must be."""
    try:
        with open(path, "rb") as file:
            problem = not_weights(file.read(64))
        sha256 = sha256_of_file(path)
    except OSError as error:
        return Check(name, path, "", "", f"it cannot be read: {error.strerror}")
    if is_seeded(path):
        problem = "it holds random numbers that were drawn here, not trained weights"
    expected, origin = expected_sha256(name)
    if not problem and not expected:
        problem = _why_not_opened(path, name)
    elif not problem and sha256 != expected:
        problem = f"its SHA-256 is {sha256}, the {origin} one is {expected}"
        if origin == "recorded":
            problem += f" (to accept a change that you know of, delete its line in {weights_folder() / RECORD})"
    return Check(name, path, sha256, origin, problem)


def remember(found: Check) -> None:
    """Record the hash of a file that has none yet.

    Where the folder may not be written to, nothing is recorded: the hash is in every fingerprint all the same.
    """
    if found.origin:
        return
    try:
        with open(weights_folder() / RECORD, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed: other processes may record, too
            file.seek(0)
            text = file.read()
            if found.name not in _hashes(text):
                file.write(b"" if text.endswith(b"\n") or not text else b"\n")  # an editor may have left none
                file.write(f"{found.sha256}  {found.name}\n".encode())
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def addresses(row: WeightFile) -> tuple[str, ...]:
    """Where to fetch a file from: $FACEPROBE_WEIGHTS_URL first, a folder on a server of one's own."""
    own = os.environ.get("FACEPROBE_WEIGHTS_URL")
    return (f"{own.rstrip('/')}/{row.name}", *row.urls) if own else row.urls


def _row(name: str) -> WeightFile:
    """The row of a file; one that is in no table is served nowhere, and nothing is known of it."""
    return WEIGHTS.get(name, WeightFile(name, ()))


def _why_not_opened(path: Path, name: str) -> str | None:
    """What the library that reads such files says of it; without a hash nothing else tells a damaged file."""
    try:
        if name.endswith(".h5"):
            import h5py

            h5py.File(path, "r", locking=False).close()
        else:
            from embedder.ort import onnxruntime

            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 4  # the exception says it all
            onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  onnxruntime's exceptions have no common base
        return "it is damaged or of another kind: " + str(error).splitlines()[0]
    return None


def _hashes(record: bytes) -> dict[str, str]:
    """Hashes by file, from lines as sha256sum writes them."""
    lines = (line.split(maxsplit=1) for line in record.decode("utf-8", "replace").splitlines())
    return {words[1].lstrip("*"): words[0].lower() for words in lines if len(words) == 2}


def _how_to_get(name: str, files: Sequence[str]) -> str:
    """The one message about weights that are not there."""
    lines = [f"{name} needs {' or '.join(files)} in {weights_folder()}, which holds none of them."]
    for file in files:
        expected, _ = expected_sha256(file)
        lines.append(f"  {file}  SHA-256 {expected or 'not known: that of the first file will be recorded'}")
        lines += [f"    {url}" for url in addresses(_row(file))]
    dry_run = f"--backbone {name} --weights seeded:0 has the true architecture and random values"
    lines += [
        f"With network:     faceprobe weights fetch {name}",
        "Without:          download it elsewhere, then faceprobe weights import FILE, or put it there yourself",
        *([f"For a dry run:    {dry_run}"] if BACKBONES[name].graph else []),
        f"Works right now:  {', '.join(working_backbones())}, and any .onnx file",
    ]
    return "\n".join(lines)
