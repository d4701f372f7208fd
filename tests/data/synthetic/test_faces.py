"""Folders of drawn faces: the same for the same seed, named after their labels, found by a face detector."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from data.labels import ETHNICITIES, GENDERS
from data.readers import utkface
from data.synthetic.camera import draw_scene
from data.synthetic.faces import draw_face, draw_faces, labels_of
from data.synthetic.traits import draw_person


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def drawn(age: int, gender: str, tone: str, *seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return draw_face(draw_person(age, gender, tone, rng), draw_scene(rng), rng)


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of forty faces, of seed 0."""
    folder = tmp_path_factory.mktemp("forty")
    draw_faces(folder, 40)
    return folder


def test_the_same_seed_draws_the_same_bytes_and_a_face_does_not_depend_on_how_many_are_drawn(
    forty: Path, tmp_path: Path
) -> None:
    draw_faces(tmp_path / "not" / "there", 3)
    assert contents(tmp_path / "not" / "there").items() <= contents(forty).items()


def test_another_seed_draws_other_faces(forty: Path, tmp_path: Path) -> None:
    draw_faces(tmp_path, 3, seed=1)
    assert not set(contents(tmp_path).values()) & set(contents(forty).values())


def test_names_are_read_back_as_the_labels_asked_for(forty: Path) -> None:
    manifest, rejected = utkface.read(forty)
    assert rejected.empty
    read = manifest.frame.sort_values("image_id", key=lambda ids: ids.str.split("_").str[3])
    asked = [labels_of(i, 0) for i in range(40)]
    assert list(zip(read["age"], read["gender"], read["ethnicity"], strict=True)) == asked


@pytest.mark.parametrize("seed", range(5))
def test_any_ten_faces_have_every_decade_gender_and_tone(seed: int) -> None:
    ages, genders, tones = zip(*(labels_of(i, seed) for i in range(10, 20)), strict=True)
    assert {(age - 1) // 10 for age in ages} >= set(range(9))
    assert (set(genders), set(tones)) == (set(GENDERS), set(ETHNICITIES))


def test_age_tells_nothing_of_gender_and_tone() -> None:
    labels = [labels_of(i, 0) for i in range(300)]
    for name in (*GENDERS, *ETHNICITIES):
        ages = [age for age, *names in labels if name in names]
        assert np.percentile(ages, [0, 50, 100]) == pytest.approx([1, 45, 90], abs=5)


def test_files_are_colour_jpegs_of_200_by_200_pixels(forty: Path) -> None:
    for content in contents(forty).values():
        assert content.startswith(b"\xff\xd8\xff")
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED).shape == (200, 200, 3)


def test_progress_is_told_after_each_face(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    draw_faces(tmp_path, 2, on_progress=lambda done, n: told.append((done, n)))
    assert told == [(1, 2), (2, 2)]


def test_a_face_detector_finds_them(forty: Path) -> None:
    dlib = pytest.importorskip("dlib")
    detector = dlib.get_frontal_face_detector()
    pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) for path in sorted(forty.iterdir())]
    assert sum(len(detector(picture, 1)) == 1 for picture in pictures) >= 0.9 * len(pictures)


def test_hair_turns_light_with_age() -> None:
    def top_of_head(age: int) -> float:
        return float(np.mean([drawn(age, "female", "asian", seed)[15:35, 80:120].mean() for seed in range(8)]))

    assert top_of_head(85) > 1.5 * top_of_head(30)


def test_skin_is_lined_by_age() -> None:
    def roughness(age: int) -> float:
        foreheads = [drawn(age, "male", "white", seed)[60:76, 75:125, 1] / 255 for seed in range(8)]
        return float(np.mean([cv2.Sobel(forehead, cv2.CV_64F, 0, 1).std() for forehead in foreheads]))

    assert roughness(85) > 1.5 * roughness(10)


def test_tones_are_told_apart_by_their_lightness() -> None:
    def cheeks(tone: str) -> float:
        return float(np.mean([drawn(25, "female", tone, seed)[110:130, 70:130].mean() for seed in range(6)]))

    found = sorted(ETHNICITIES, key=cheeks)
    assert found == ["black", "indian", "others", "asian", "white"]
