"""Settings in words, coordinates from the small and turned picture back to the full one, and real faces."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DetectorError
from embedder.faces import detect
from embedder.faces.detect import DETECTORS, DetectorSpec, describe_detector, load_detector, parse_detector
from embedder.faces.detectors.row import Found
from embedder.faces.face import Face, five_points
from embedder.preprocess import decode

BLANK = np.full((300, 300, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def hog() -> detect.Detector:
    """Return the default detector, at a side that is quick and enough for these pictures."""
    return load_detector("hog:800")


@pytest.fixture(scope="module")
def turning_hog() -> detect.Detector:
    return load_detector("hog:800:turned")


def chip(folder: Path, n: int = 0) -> np.ndarray:
    """One of the faces of grown-ups that look at the camera."""
    names = ("30_0_0_", "26_1_0_", "35_0_0_", "28_1_2_")
    return decode(sorted(folder.glob(f"{names[n]}*.jpg"))[0].read_bytes())


def framed(face: np.ndarray, left: int = 100, top: int = 60) -> np.ndarray:
    """A face in a grey picture that is wider than high."""
    picture = np.full((400, 600, 3), 128, np.uint8)
    picture[top : top + face.shape[0], left : left + face.shape[1]] = face
    return picture


def inside(face: Face, share: float = 0.1) -> bool:
    """Whether the five points lie within the box, widened by a share of its side."""
    points, margin = five_points(face.landmarks), share * face.size
    return bool((points > np.array(face.box[:2]) - margin).all() and (points < np.array(face.box[2:]) + margin).all())


@pytest.mark.parametrize(
    ("written", "same", "spec"),
    [
        ("hog", "hog", DetectorSpec("hog", 2000)),
        ("hog:2000", "hog", DetectorSpec("hog", 2000)),
        ("hog:640", "hog:640", DetectorSpec("hog", 640)),
        ("cnn:turned", "cnn:turned", DetectorSpec("cnn", 640, turned=True)),
        ("cnn:0960:turned", "cnn:960:turned", DetectorSpec("cnn", 960, turned=True)),
    ],
)
def test_a_setting_is_read_and_written_in_its_shortest_form(written, same, spec):
    assert parse_detector(written) == spec
    assert str(spec) == same


@given(st.sampled_from(list(DETECTORS)), st.integers(*detect.SIDES), st.booleans())
def test_every_spec_is_read_back_from_its_text(name, side, turned):
    spec = DetectorSpec(name, side, turned)
    assert parse_detector(str(spec)) == spec


@pytest.mark.parametrize(
    "setting",
    ["hog:", "hog:99", "hog:20001", "hog:turned:640", "hog:640:640", "hog:-640", "hog:6.4", "hog:²", "hog:640:"],
)
def test_a_wrong_setting_is_refused_with_an_example(setting):
    with pytest.raises(DetectorError, match="hog:2000:turned"):
        parse_detector(setting)


@pytest.mark.parametrize("name", ["", "HOG", "dlib", ":640"])
def test_an_unknown_detector_is_refused_with_those_that_are_known(name):
    with pytest.raises(DetectorError, match="known are hog, cnn, mtcnn"):
        parse_detector(name)


def test_least_face_grows_with_the_picture_and_shrinks_with_the_side():
    assert parse_detector("hog").least_face(4000, 3000) == 120
    assert parse_detector("hog:4000").least_face(3000, 4000) == 60
    assert parse_detector("hog").least_face(200, 200) == 15  # enlarged 4 times, not 10 times
    assert parse_detector("ssd").least_face(200, 200) is None


class Marks:
    """A library that finds what is drawn in red, if it is higher than wide and has a yellow dot in its upper half."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def find(self, picture):
        self.seen.append(picture.shape)
        red = picture[..., 0] > 127
        if not red.any():
            return []
        ys, xs = red.any(axis=1).nonzero()[0], red.any(axis=0).nonzero()[0]
        box = xs[0], ys[0], xs[-1] + 1, ys[-1] + 1
        yellow = np.argwhere(picture[..., 1] > 127)
        if box[3] - box[1] <= box[2] - box[0] or not len(yellow):
            return []
        dot = yellow.mean(axis=0)[::-1]
        if dot[1] > (box[1] + box[3]) / 2:
            return []
        return [Found(box, 1.0, np.tile(dot, (5, 1)).astype(np.float32))]


def detector_of(library, setting: str = "hog") -> detect._Detector:
    return detect._Detector(parse_detector(setting), library)


@settings(max_examples=40)
@given(st.data(), st.integers(120, 500), st.integers(120, 500), st.integers(100, 700), st.integers(0, 3))
def test_boxes_and_points_come_back_where_they_were(data, width, height, side, quarters):
    upright = np.zeros((height, width, 3), np.uint8)
    left, top = data.draw(st.integers(0, width - 60)), data.draw(st.integers(0, height - 100))
    upright[top : top + 100, left : left + 60] = (255, 0, 0)
    upright[top + 20 : top + 40, left + 10 : left + 30] = (255, 255, 0)
    picture = np.ascontiguousarray(np.rot90(upright, quarters))  # counter-clockwise: to be turned back clockwise
    (face,) = detector_of(Marks(), f"hog:{side}:turned").detect(picture)
    found = np.zeros_like(upright)
    found[top : top + 100, left : left + 60] = 255
    ys, xs = np.rot90(found[..., 0], quarters).nonzero()
    pixel = max(1.0, max(width, height) / side)  # of the picture that the library saw
    assert face.box == pytest.approx((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), abs=pixel)
    ys, xs = (picture[..., 1] > 127).nonzero()
    assert face.landmarks[0] == pytest.approx((xs.mean(), ys.mean()), abs=pixel)
    assert face.turned == 90 * quarters


def test_turned_pictures_are_not_looked_at_unless_asked_for():
    library, lying = Marks(), np.zeros((120, 200, 3), np.uint8)
    lying[40:80, 20:180, 0] = 255
    assert detector_of(library).detect(lying) == []
    assert len(library.seen) == 1


def test_a_narrow_strip_is_padded_before_a_library_sees_it():
    library = Marks()
    assert detector_of(library, "hog:400").detect(np.zeros((16, 4000, 3), np.uint8)) == []
    assert min(library.seen[0][:2]) >= 80


class Broken:
    def find(self, picture):
        raise RuntimeError("\nError detected in function conv\nno memory")


def test_an_exception_of_a_library_is_an_error_and_not_no_face():
    with pytest.raises(
        DetectorError, match=r"hog failed on a picture of .*: RuntimeError: Error detected .* no memory"
    ):
        detector_of(Broken()).detect(BLANK)


def test_a_closed_detector_says_so():
    detector = load_detector("hog")
    detector.close()
    with pytest.raises(DetectorError, match="closed"):
        detector.detect(BLANK)


def test_a_chip_as_it_is_has_its_face_in_its_middle(utkface_dir, hog):
    (face,) = hog.detect(chip(utkface_dir))
    left, top, right, bottom = face.box
    assert (abs((left + right) / 2 - 100), abs((top + bottom) / 2 - 105)) < (20, 20)
    assert 130 < face.size < 200
    assert face.landmarks.shape == (68, 2)
    assert face.landmarks.dtype == np.float32
    assert inside(face)


def test_the_largest_face_comes_first(utkface_dir, hog):
    picture = np.full((320, 720, 3), 128, np.uint8)
    for n, (side, left) in enumerate([(120, 0), (300, 130), (200, 500)]):
        picture[10 : 10 + side, left : left + side] = cv2.resize(chip(utkface_dir, n), (side, side))
    middles = [(face.box[0] + face.box[2]) / 2 for face in hog.detect(picture)]
    assert middles == pytest.approx([280, 600, 60], abs=25)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_face_is_found_where_the_upright_one_is(utkface_dir, hog, turning_hog, turn):
    upright = framed(chip(utkface_dir, 1))
    (expected,) = hog.detect(upright)
    turned = np.ascontiguousarray(np.rot90(upright, turn // 90))  # counter-clockwise
    assert hog.detect(turned) == []
    (face,) = turning_hog.detect(turned)
    assert face.turned == turn
    canvas = np.zeros((68, *upright.shape[:2]), bool)
    x, y = expected.landmarks.round().astype(int).T
    canvas[np.arange(68), y, x] = True
    where = np.rot90(canvas, turn // 90, axes=(1, 2)).nonzero()
    assert np.abs(face.landmarks - np.stack([where[2], where[1]], axis=1)).mean() < 1.5
    assert inside(face)


@pytest.mark.parametrize("factor", [0.5, 3])
def test_a_scaled_picture_has_the_face_at_the_scaled_place(utkface_dir, hog, factor):
    picture = framed(chip(utkface_dir))
    size = [round(factor * length) for length in picture.shape[1::-1]]
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    (expected,), (face,) = hog.detect(picture), hog.detect(scaled)
    off = np.linalg.norm((face.landmarks + 0.5) / factor - 0.5 - expected.landmarks, axis=1)
    assert off.mean() < 0.03 * expected.size


@pytest.mark.parametrize(
    "picture",
    [
        BLANK,
        np.zeros((16, 16, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 200, 1), np.uint8).repeat(3, axis=2),
        np.random.default_rng(1).integers(0, 256, (16, 3000, 3), np.uint8),
    ],
    ids=["blank", "tiny", "grey noise", "strip"],
)
def test_where_no_face_is_none_is_found(turning_hog, picture):
    assert turning_hog.detect(picture) == []


def test_the_network_of_dlib_finds_a_face_and_its_landmarks(utkface_dir, hog):
    (face,) = load_detector("cnn:200").detect(chip(utkface_dir))
    (by_hog,) = hog.detect(chip(utkface_dir))
    assert np.abs(five_points(face.landmarks) - five_points(by_hog.landmarks)).mean() < 5


@pytest.mark.skipif(
    not importlib.util.find_spec("mtcnn"), reason="needs the package mtcnn"
)  # not imported: by us first
def test_mtcnn_gives_five_points_of_its_own(utkface_dir, hog):
    mtcnn, picture = load_detector("mtcnn:300"), framed(chip(utkface_dir))
    (face,), (by_hog,) = mtcnn.detect(picture), hog.detect(picture)
    assert face.landmarks.shape == (5, 2)
    assert inside(face)
    assert np.abs(face.landmarks - five_points(by_hog.landmarks)).mean() < 8
    assert mtcnn.detect(np.full((30, 40, 3), 128, np.uint8)) == []


def test_a_description_names_versions_and_files():
    described = describe_detector(parse_detector("cnn:800:turned"))
    assert (described["name"], described["side"], described["turned"]) == ("cnn", 800, True)
    assert described["files"].keys() == {"mmod_human_face_detector.dat", "shape_predictor_68_face_landmarks.dat"}
    assert {len(sha256) for sha256 in described["files"].values()} == {64}
    assert described["packages"]["dlib"][0].isdecimal()
    assert "not for commercial products" in described["licence"]
