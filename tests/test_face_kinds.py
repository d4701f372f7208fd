"""Pictures of all kinds, with a real face, dlib's detector and a real network: each gets a row or a status."""

from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.manifest import list_images
from data.synthetic import draw_faces
from embedder.backbone import load_backbone
from embedder.extract import extract
from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.finder import FinderSettings, load_finder
from embedder.faces.table import as_frame
from embedder.preprocess import decode
from embedder.store import open_store

BOX = ["left", "top", "right", "bottom"]


def stone(chip):
    """A face without colour."""
    return np.repeat(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) // 10 * 8 + 40


def drawn(chip):
    """The lines of a face."""
    return np.repeat(255 - cv2.Canny(chip, 60, 120)[..., None], 3, axis=2)


def write_pictures(folder, chip):
    """The same face in a grey picture of 400 x 300, at 100, 50, and what can become of it."""
    folder.mkdir()
    grey = np.full((300, 400, 3), 128, np.uint8)

    def framed(face):
        picture = grey.copy()
        picture[50:250, 100:300] = face
        return picture

    plain = framed(chip)
    pictures = {
        "plain": plain,
        "upside down": np.rot90(plain, 2),
        "on its side": np.rot90(plain, 1),
        "statue": framed(stone(chip)),
        "lines": framed(drawn(chip)),
        "cut": plain[:, 130:],
        "wall": grey,
        "noise": np.random.default_rng(0).integers(0, 256, (300, 400, 3)),
        "tiny": cv2.resize(plain, (24, 18), interpolation=cv2.INTER_AREA),
        "twice": np.concatenate([plain, plain[:, ::-1]], axis=1),
    }
    for name, picture in pictures.items():
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{name}.png")
    still = Image.fromarray(plain)
    still.save(folder / "animated.gif", save_all=True, append_images=[Image.fromarray(grey)])
    still.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    still.convert("L").save(folder / "grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    Image.fromarray(np.ascontiguousarray(np.rot90(plain, 1))).save(folder / "exif.jpg", quality=95, exif=exif)


@pytest.fixture(scope="module")
def world(shared, utkface_dir, tmp_path_factory):
    place = tmp_path_factory.mktemp("kinds")
    chip = decode(sorted(utkface_dir.glob("30_0_0_*.jpg"))[0].read_bytes())
    write_pictures(place / "photos", chip)
    return SimpleNamespace(place=place, network=shared / "weights" / "mobilefacenet_arcface.onnx", chip=chip)


def run(world, setting, folder="photos"):
    """Faces (picture, face, columns of the table), the embeddings of these by picture, and statuses by picture."""
    store = open_store(world.place / f"{folder} {setting.replace(':', ' ')}", create=True)
    with (
        load_backbone(f"{world.network},detector={setting}") as network,
        load_finder(FinderSettings(parse_detector(setting), Choice("all"))) as finder,
    ):
        report = extract(list_images(world.place / folder)[0], [network], store, finder=finder)
        declared = network.embed([world.chip])[0]
    names = report.images.assign(picture=report.images["image_id"].str.split(".").str[0]).set_index("picture")
    found, rows = store.read_all(finder.spec.fingerprint, names["sha256"])
    faces = pd.concat([found, as_frame(rows)], axis=1).merge(names.reset_index()[["picture", "sha256"]], on="sha256")
    _, vectors = store.read_all(network.spec.fingerprint, found["sha256"])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    faces["likeness"] = unit @ (declared / np.linalg.norm(declared))
    return faces.set_index("picture"), names["status"].to_dict()


@pytest.fixture(scope="module")
def upright(world):
    return run(world, "hog:400")


@pytest.fixture(scope="module")
def turned(world):
    return run(world, "hog:400:turned")


def test_face_is_found_or_a_status_says_why_not(upright):
    faces, statuses = upright
    nobody = {"upside down", "on its side", "lines", "wall", "noise", "tiny"}
    assert {name for name, status in statuses.items() if status == "no_face"} == nobody
    assert {name for name, status in statuses.items() if status == "ok"} == set(faces.index)
    assert faces.index.value_counts().drop("twice").eq(1).all()
    assert len(faces.loc["twice"]) == 2


@pytest.mark.parametrize("kind", ["animated", "cmyk", "exif", "grey", "statue"])
def test_face_lies_where_it_is_seen_whatever_the_file(upright, kind):
    faces, _ = upright
    np.testing.assert_allclose(faces.loc[kind, BOX].to_numpy(float), faces.loc["plain", BOX].to_numpy(float), atol=30)


@pytest.mark.parametrize("kind", ["plain", "animated", "cmyk", "exif", "twice"])
def test_face_is_embedded_as_its_chip(upright, kind):
    faces, _ = upright
    assert faces.loc[[kind], "likeness"].min() > 0.8


def test_face_that_the_border_cuts_is_a_row_that_says_so(upright):
    cut = upright[0].loc["cut"]
    assert cut["left"] < 0
    assert 0.5 < cut["inside"] < 0.95
    assert cut["quality"] < upright[0].loc["plain", "quality"]


@pytest.mark.parametrize(("kind", "degrees"), [("upside down", 180), ("on its side", 90)])
def test_turned_picture_has_its_face_where_that_is_asked_for(turned, kind, degrees):
    faces, statuses = turned
    assert (statuses[kind], faces.loc[kind, "turned"]) == ("ok", degrees)
    assert faces.loc[kind, "likeness"] > 0.8
    left, top, right, bottom = faces.loc["plain", BOX]
    seen = {180: (400 - right, 300 - bottom, 400 - left, 300 - top), 90: (top, 400 - right, bottom, 400 - left)}
    np.testing.assert_allclose(faces.loc[kind, BOX].to_numpy(float), seen[degrees], atol=40)


def test_looking_at_turned_pictures_changes_nothing_for_upright_ones(upright, turned):
    same = ["plain", "animated", "cmyk", "exif", "grey", "statue", "cut"]
    pd.testing.assert_frame_equal(turned[0].loc[same], upright[0].loc[same])


def test_drawn_faces_are_a_row_or_a_status(world):
    draw_faces(world.place / "drawn", 4)
    faces, statuses = run(world, "hog:400", "drawn")
    assert set(statuses.values()) <= {"ok", "no_face"}
    assert {name for name, status in statuses.items() if status == "ok"} == set(faces.index)
