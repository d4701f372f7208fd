"""`Backbone.embed` equals `DeepFace.represent(..., detector_backend="skip")` on the same weights and files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.preprocess import NORMALIZATIONS
from embedder.seeded import draw_pictures
from tests.fakes import write_pooling_onnx
from tests.process import run_python

SIZES = [(200, 200), (57, 201), (300, 90)]  # height, width; beside a real face

# Both scripts take: a file to write, backbones, normalizations, pictures; they save an array (n, dim) for each pair.
DEEPFACE = """
import sys
import numpy as np
from deepface import DeepFace
output, names, normalizations, *pictures = sys.argv[1:]
def embedding(path, name, normalization):
    options = {"detector_backend": "skip", "enforce_detection": False, "normalization": normalization}
    return DeepFace.represent(img_path=path, model_name=name, **options)[0]["embedding"]
pairs = [(name, n) for name in names.split() for n in normalizations.split()]
np.savez(output, **{f"{name} {n}": [embedding(path, name, n) for path in pictures] for name, n in pairs})
print("tensorflow" in sys.modules)
"""
OURS = """
import sys
from pathlib import Path
import numpy as np
from embedder.backbone import load_backbone
from embedder.preprocess import decode
output, names, normalizations, *pictures = sys.argv[1:]
faces = [decode(Path(path).read_bytes()) for path in pictures]
found = {}
for name in names.split():
    network = None
    for n in normalizations.split():
        backbone = load_backbone(f"{name},normalization={n}")
        if network:  # it is the same for all, and slow to build
            backbone._runtime._network = network
        found[f"{name.partition(',')[0]} {n}"] = backbone.embed(faces)
        network = vars(backbone._runtime).get("_network")
np.savez(output, **found)
print("tensorflow" in sys.modules)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Return PNG files, which both decode alike: drawn ones of many sizes, and real faces where there are any."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = [draw_pictures(1, size, seed=seed)[0] for seed, size in enumerate(SIZES)]
    faces = Path(__file__).resolve().parents[2] / "shared" / "utkface"
    real = sorted(faces.rglob("*.jpg"))[:1] if faces.is_dir() else []
    images = [Image.fromarray(picture) for picture in drawn] + [Image.open(path).convert("RGB") for path in real]
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    return paths


def run(script: str, names: str, pictures: list[Path], folder: Path, **environment: object):
    """Return the embeddings by backbone and normalization, and whether TensorFlow was loaded."""
    output = folder / "embeddings.npz"
    arguments = (output, names, " ".join(NORMALIZATIONS), *pictures)
    loaded = run_python(script, *arguments, DEEPFACE_HOME=folder, **environment).stdout.split()[-1]
    with np.load(output) as arrays:
        return dict(arrays), loaded == "True"


def assert_equal(theirs: np.ndarray, ours: np.ndarray) -> None:
    lengths = np.linalg.norm(theirs, axis=1)
    assert np.all(np.linalg.norm(ours - theirs, axis=1) <= 1e-4 * lengths)
    one, other = theirs - theirs.mean(axis=0), ours - theirs.mean(axis=0)
    cosine = np.sum(one * other, axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert np.all(cosine >= 0.99999)


@pytest.fixture(scope="module")
def on_tensorflow(pictures, seeded_cache, tmp_path_factory):
    """Return what deepface and we make of seeded weights, which deepface takes for its own files."""
    folder = tmp_path_factory.mktemp("tensorflow")
    names = "ArcFace,weights=seeded:0 Facenet,weights=seeded:0"
    ours, _ = run(OURS, names, pictures, folder, XDG_CACHE_HOME=seeded_cache)
    weights = folder / ".deepface" / "weights"
    weights.mkdir(parents=True)
    for name in ("ArcFace", "Facenet"):
        (seeded,) = seeded_cache.rglob(f"{name}-seed0-*.h5")
        (weights / f"{name.lower()}_weights.h5").symlink_to(seeded)
    theirs, _ = run(DEEPFACE, "ArcFace Facenet", pictures, folder, DEEPFACE_BACKEND_ENGINE="tensorflow")
    return theirs, ours


@pytest.fixture(scope="module")
def on_onnx(pictures, tmp_path_factory):
    """Return what deepface and we make of a stand-in for its ONNX file, and whether either loaded TensorFlow."""
    folder = tmp_path_factory.mktemp("onnx")
    write_pooling_onnx(folder / ".deepface" / "weights" / "arcface_weights.onnx")
    ours, we_loaded = run(OURS, "ArcFace", pictures, folder)
    theirs, they_loaded = run(DEEPFACE, "ArcFace", pictures, folder, DEEPFACE_BACKEND_ENGINE="onnx")
    return theirs, ours, we_loaded or they_loaded


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", ["ArcFace", "Facenet"])
def test_networks_of_tensorflow_give_what_deepface_gives(on_tensorflow, name, normalization):
    theirs, ours = on_tensorflow
    assert_equal(theirs[f"{name} {normalization}"], ours[f"{name} {normalization}"])


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_onnx_files_give_what_deepface_gives(on_onnx, normalization):
    theirs, ours, _ = on_onnx
    assert_equal(theirs[f"ArcFace {normalization}"], ours[f"ArcFace {normalization}"])


def test_onnx_files_need_no_tensorflow(on_onnx):
    *_, loaded_tensorflow = on_onnx
    assert not loaded_tensorflow


def test_normalizations_are_told_apart(on_onnx):
    theirs, *_ = on_onnx
    for normalization in set(NORMALIZATIONS) - {"raw"}:
        with pytest.raises(AssertionError):
            assert_equal(theirs["ArcFace raw"], theirs[f"ArcFace {normalization}"])
