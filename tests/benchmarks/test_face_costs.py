import numpy as np
import pytest

from benchmarks.face_costs import draw_crowd, true_face
from benchmarks.scenes import compose, read_chip
from data.images import scan_images
from data.synthetic import draw_faces
from embedder.faces.detect import load_detector
from embedder.faces.templates import align
from embedder.preprocess import decode


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chips")
    draw_faces(folder, 12)
    return folder


def test_the_true_face_is_aligned_to_the_chip_that_it_was(chips, tmp_path):
    truth = compose(chips, tmp_path, 3, seed=1, sizes=((640, 480),))
    sharp = truth[(truth["blur"] == 0) & (truth["size"] > 150)]
    assert sharp["angle"].abs().max() > 5
    inner = slice(30, 170)
    for row in sharp.to_dict("records"):
        face = align(decode((tmp_path / row["scene"]).read_bytes()), true_face(row), "chip", side=200)
        chip = read_chip(chips / row["chip"])
        off = [
            np.abs(face[inner, inner] - np.roll(chip, by, axis=1)[inner, inner].astype(float)).mean() for by in (0, 4)
        ]
        assert off[0] < min(6, off[1])


def test_a_crowd_has_a_face_at_each_place(chips):
    paths = [chips / name for name in scan_images(chips)]
    crowd = draw_crowd(paths, (900, 600), 3, 2)
    faces = load_detector("hog").detect(crowd)
    middles = {(int((f.box[0] + f.box[2]) / 600), int((f.box[1] + f.box[3]) / 600)) for f in faces}
    assert crowd.shape == (600, 900, 3)
    assert middles == {(column, row) for column in range(3) for row in range(2)}
