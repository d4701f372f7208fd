import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.scenes import COLUMNS, LABELS, TRUTH, compose, onto_scene, read_chip
from data.images import scan_images
from data.synthetic import draw_faces
from embedder.preprocess import decode

SMALL = ((640, 480), (500, 700))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn faces, scenes composed of them, and the truth."""
    chips, folder = tmp_path_factory.mktemp("chips"), tmp_path_factory.mktemp("scenes")
    draw_faces(chips, 15)
    return chips, folder, compose(chips, folder, 8, seed=1, sizes=SMALL)


def cut_back(scene, face):
    """The chip's pixels, by the truth alone."""
    return cv2.warpAffine(scene, onto_scene(face), (200, 200), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def blurred(chip, face):
    """A chip as blurred as it can be seen in its scene."""
    lost = max(0.0, 200 / face["size"] - 1)
    return cv2.GaussianBlur(chip, (0, 0), np.hypot(face["blur"], 0.5 * lost + 0.5))


def assert_chips_lie_where_the_truth_says(chips, folder, truth):
    assert len(truth) > 10
    for _, face in truth.iterrows():
        scene = decode((folder / face["scene"]).read_bytes())
        inner = slice(30, 170)
        back = cut_back(scene, face)[inner, inner].astype(float)
        chip = blurred(read_chip(chips / face["chip"]), face)
        assert np.abs(back - chip[inner, inner]).mean() < 9
        shifted = np.roll(chip, 12, axis=(0, 1))[inner, inner]
        assert np.abs(back - chip[inner, inner]).mean() < np.abs(back - shifted).mean()


def test_drawn_chips_lie_where_the_truth_says(drawn):
    assert_chips_lie_where_the_truth_says(*drawn)


def test_real_chips_lie_where_the_truth_says(utkface_dir, tmp_path):
    chips = tmp_path / "chips"
    chips.mkdir()
    for name in scan_images(utkface_dir)[::200]:
        (chips / name).symlink_to(utkface_dir / name)
    truth = compose(chips, tmp_path / "scenes", 4, seed=3, sizes=SMALL)
    assert_chips_lie_where_the_truth_says(chips, tmp_path / "scenes", truth)


def test_faces_are_whole_clear_of_each_other_and_within_the_limits(drawn):
    _, _, truth = drawn
    sizes = {f"scene_{i:05}.jpg": SMALL[i % 2] for i in range(8)}
    assert truth["size"].between(60, 600).all()
    assert truth["angle"].abs().max() <= 30
    assert truth["angle"].nunique() > 5
    assert set(truth["blur"] > 0) == {True, False}
    for name, faces in truth.groupby("scene"):
        width, height = sizes[name]
        assert len(faces) <= 12
        assert (faces[["left", "top"]] >= 0).all(axis=None)
        assert ((faces["right"] <= width) & (faces["bottom"] <= height)).all()
        places = faces["x"].to_numpy() + 1j * faces["y"].to_numpy()
        radii = faces["size"].to_numpy() / np.sqrt(2)
        apart = np.abs(places[:, None] - places) - (radii[:, None] + radii)
        assert apart[~np.eye(len(faces), dtype=bool)].min(initial=1) > 0


def test_truth_on_disk_is_what_was_returned_and_has_the_labels_of_the_names(drawn):
    _, folder, truth = drawn
    read = pd.read_csv(folder / TRUTH)
    assert list(read) == [*COLUMNS, *LABELS]
    pd.testing.assert_frame_equal(read, truth, check_exact=False, atol=1e-3, check_dtype=False)
    for row in read.itertuples():
        age, gender, *_ = row.chip.split("_")
        assert (row.age, row.gender) == (float(age), ("male", "female")[int(gender)])


def test_equal_seeds_give_equal_bytes_and_others_give_others(drawn, tmp_path):
    chips, folder, _ = drawn
    compose(chips, tmp_path / "again", 3, seed=1, sizes=SMALL)
    compose(chips, tmp_path / "other", 3, seed=2, sizes=SMALL)
    for name in scan_images(tmp_path / "again"):
        if name != TRUTH:
            assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
            assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_chips_whose_names_tell_no_labels_are_left_out(drawn, tmp_path):
    chips, _, _ = drawn
    names = scan_images(chips)
    folder = tmp_path / "chips"
    folder.mkdir()
    (folder / "nobody.jpg").symlink_to(chips / names[0])
    (folder / names[1]).symlink_to(chips / names[1])
    truth = compose(folder, tmp_path / "scenes", 6, sizes=SMALL)
    assert set(truth["chip"]) == {names[1]}
