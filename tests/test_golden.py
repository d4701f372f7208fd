"""Every backbone of deepface gives its canonical numbers, and different pictures different embeddings.

Seed 0 stands in for trained weights: the same numbers are drawn on every machine, so whatever changes in an
architecture, in preprocessing or in a library shows here.
"""

import numpy as np
import pytest

from embedder.backbone import load_backbone
from embedder.seeded import draw_pictures
from embedder.spec import BACKBONES
from tests.fakes import gradient
from tests.process import run_python

# The first numbers of `gradient()`'s embedding; SFace comes as one file, without a definition to draw weights for.
GOLDEN = {
    "ArcFace": [3.0458, -2.3919, -1.3085, 0.7307, 2.7436, 2.4897],
    "Facenet": [-2.6299, 1.3054, -2.1976, 1.5669, -1.1352, 1.7023],
    "Facenet512": [-2.1925, 0.3996, 1.5720, -0.2344, -2.3748, -3.0366],
    "VGG-Face": [0.03272, 0.01991, 0.0, 0.03411, 0.04724, 0.03496],
    "OpenFace": [0.07679, 0.02358, -0.02770, 0.02741, 0.03574, -0.02608],
    "DeepID": [0.0188, 0.0, 0.1973, 0.0, 0.3291, 0.0],
    "GhostFaceNet": [-0.2683, 1.3005, -0.2878, 0.6992, -0.2920, 0.1448],
    "Dlib": [-0.05342, 0.12227, 0.06243, 0.00947, -0.05870, -0.04570],
}
SEEDED = [name for name, row in BACKBONES.items() if row.graph]

EMBED = """
import sys
import numpy as np
from embedder.backbone import load_backbone
from embedder.seeded import draw_pictures
from tests.fakes import gradient
output, *names = sys.argv[1:]
faces = [gradient(), *draw_pictures(15, (200, 200), seed=1)]
np.savez(output, **{name: load_backbone(f"{name},weights=seeded:0").embed(faces) for name in names})
"""


@pytest.fixture(scope="module")
def seeded(seeded_cache, tmp_path_factory):
    """Return embeddings (16, dim) by seeded backbone; VGG-Face has a process to itself, as it takes 3 GB."""
    found = {}
    for names in ([name for name in SEEDED if name != "VGG-Face"], ["VGG-Face"]):
        output = tmp_path_factory.mktemp("golden") / "embeddings.npz"
        run_python(EMBED, output, *names, XDG_CACHE_HOME=seeded_cache)
        with np.load(output) as arrays:
            found |= dict(arrays)
    next(seeded_cache.rglob("VGG-Face-seed0-*.h5")).unlink()  # 580 MB
    return found


def assert_begins_as(found: np.ndarray, golden: list[float]) -> None:
    np.testing.assert_allclose(found[:6], golden, rtol=0, atol=1e-3 * np.linalg.norm(found))


@pytest.mark.parametrize("name", SEEDED)
def test_seed_0_gives_its_canonical_numbers(seeded, name):
    assert_begins_as(seeded[name][0], GOLDEN[name])


def test_dlib_gives_its_canonical_numbers():
    assert_begins_as(load_backbone("Dlib", cores=1).embed([gradient()])[0], GOLDEN["Dlib"])


@pytest.mark.parametrize("name", SEEDED)
def test_different_pictures_have_different_embeddings(seeded, name):
    vectors = seeded[name]
    centred = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    assert lengths.min() > 0.1 * np.linalg.norm(vectors, axis=1).mean()  # as Keras starts them: under 0.01
    cosine = (centred / lengths[:, None]) @ (centred / lengths[:, None]).T
    assert cosine[np.triu_indices(len(vectors), 1)].max() < 0.95


def test_drawn_pictures_are_the_same_everywhere():
    pictures = draw_pictures(3, (50, 40))
    assert (pictures.shape, pictures.dtype) == ((3, 50, 40, 3), np.uint8)
    assert pictures[:, 0, 0].tolist() == [[100, 65, 96], [163, 121, 116], [66, 47, 26]]
