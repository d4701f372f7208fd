"""From photographs to scores on the command line: real faces, dlib's detector, a real network."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.scenes import TRUTH, compose
from embedder.backbone import load_backbone
from embedder.faces.annotated import _overlap
from embedder.faces.table import BOX, COLUMNS, as_frame
from embedder.preprocess import decode
from embedder.store import open_store
from embedder.upkeep.verify import verify
from heads.bundle import load_bundle
from tests.cli import faceprobe
from tests.stores import content

DETECTOR = "hog:640"


@pytest.fixture(scope="module")
def world(shared, utkface_dir, tmp_path_factory):
    """Six scenes of real faces with their truth, forty chips, the network, and a bundle trained on the chips."""
    place = tmp_path_factory.mktemp("faces")
    truth = compose(utkface_dir, place / "scenes", 6, seed=3, sizes=((640, 480), (480, 640)))
    (place / "scenes" / TRUTH).unlink()
    Image.fromarray(np.full((480, 640, 3), 120, np.uint8)).save(place / "scenes" / "wall.png")
    (place / "chips").mkdir()
    for path in sorted(utkface_dir.glob("*.jpg"))[::500][:40]:
        shutil.copy(path, place / "chips")
    network = f"{shared / 'weights' / 'mobilefacenet_arcface.onnx'}"
    known = ("--store", place / "chips.store", "--backbone", f"{network},crop=chip,detector={DETECTOR}")
    tasks = ("--task", "age", "--task", "gender", "--head", "linear", "--folds", "2")
    steps = [
        ("index", place / "chips", "--dataset", "utkface", "-o", place / "chips.csv"),
        ("extract", place / "chips.csv", *known),
        ("train", place / "chips.csv", *known, *tasks, "-o", place / "bundle"),
    ]
    for step in steps:
        done = faceprobe(*step)
        assert done.code == 0, (step, done.out, done.err)
    words = ("extract", place / "scenes", "--backbone", network, "--detector", DETECTOR, "--faces", "all")
    done = faceprobe(*words, "--max-failures", "2", "--store", place / "store")
    return SimpleNamespace(place=place, chips=utkface_dir, network=network, truth=truth, words=words, done=done)


def faces_in(world):
    """A row per face that was found: scene, face, box and how well it can be seen; and the vectors."""
    store = open_store(world.place / "store")
    table, spec = sorted(store.specs().values(), key=lambda spec: not spec.holds_faces)
    images = store.images().rename(columns={"path": "scene"})[["scene", "sha256"]]
    found, rows = store.read_all(table.fingerprint, images["sha256"])
    embedded, vectors = store.read_all(spec.fingerprint, images["sha256"])
    pd.testing.assert_frame_equal(found, embedded)
    return pd.concat([found, as_frame(rows)], axis=1).merge(images, on="sha256", how="left"), vectors


def pairs(world):
    """Found faces joined to the true ones that they lie on."""
    found, _ = faces_in(world)
    both = found.rename_axis("row").reset_index().merge(world.truth, on="scene", suffixes=("", "_true"))
    true = both[[f"{side}_true" for side in BOX]].to_numpy(float)
    return both[_overlap(both[[*BOX]].to_numpy(float), true) > 0.4]


def test_faces_are_found_where_they_were_pasted(world):
    assert world.done.code == 0, world.done.err
    found, _ = faces_in(world)
    assert f"faces by {DETECTOR}" in world.done.out
    assert f": {len(found)} found" in world.done.out
    assert "no_face wall.png: hog:640 finds no face in it" in world.done.out
    on_target = pairs(world)
    assert len(on_target) >= 0.9 * len(found)
    clear = world.truth.query("size > 110 and abs(angle) < 10 and blur < 1")
    assert len(clear) > 5
    assert len(clear.merge(on_target[["scene", "chip"]])) >= 0.9 * len(clear)


def test_face_that_is_found_is_embedded_as_the_chip_it_was(world):
    _, vectors = faces_in(world)
    chips = sorted(set(world.truth["chip"]))
    with load_backbone(f"{world.network},crop=chip,detector={DETECTOR}") as network:
        declared = network.embed([decode((world.chips / name).read_bytes()) for name in chips])
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (vectors, declared)]
    clear = pairs(world).query("size > 100 and abs(angle) < 15 and blur < 1 and yaw < 30")
    assert len(clear) > 5
    likeness = unit[0][clear["row"]] @ unit[1].T
    own = likeness[range(len(clear)), [chips.index(name) for name in clear["chip"]]]
    assert (own == likeness.max(axis=1)).mean() >= 0.9  # nearer to its own chip than to all others
    assert np.median(own) > 0.8


def test_second_job_finds_nothing_to_do(world):
    done = faceprobe(*world.words, "--max-failures", "2", "--store", world.place / "store")
    assert done.code == 0
    assert "nothing to do" in done.out


def test_score_finds_faces_as_its_bundle_says(world):
    output = world.place / "scores.csv"
    words = ("score", world.place / "scenes", "--bundle", world.place / "bundle", "-o", output)
    done = faceprobe(*words, "--store", world.place / "store", "--max-failures", "2")
    assert done.code == 0, done.err
    rows, (found, _) = pd.read_csv(output), faces_in(world)
    scored = rows[rows["status"] == "ok"]
    expected = found.sort_values(["scene", "face"])
    assert scored[["path", "face"]].to_numpy().tolist() == expected[["scene", "face"]].to_numpy().tolist()
    np.testing.assert_allclose(scored[[*BOX]], expected[[*BOX]], atol=0.01)
    assert scored["age"].between(0, 116).all()
    assert set(scored["gender"]) <= {"male", "female"}
    (wall,) = rows[rows["path"] == "wall.png"].to_dict("records")
    assert wall["status"] == "no_face"
    assert pd.isna([wall[name] for name in ("face", "age", "gender", "left")]).all()


# ---- the table is looked after as all else in a store


@pytest.fixture
def store(world, tmp_path):
    return open_store(shutil.copytree(world.place / "store", tmp_path / "copy"))


def table_of(store):
    (table,) = (spec for spec in store.specs().values() if spec.holds_faces)
    return table


def test_store_with_faces_is_in_order_and_says_what_it_holds(store):
    done = faceprobe("store", "verify", store.path)
    assert (done.code, done.err) == (0, "")
    assert "nothing damaged, 0 remarks" in done.out
    assert f"{table_of(store).fingerprint}: lengths of vectors" not in done.out  # they mean nothing
    shown = faceprobe("store", "info", store.path)
    assert f"faces by {DETECTOR} {table_of(store).fingerprint}" in shown.out


def test_flipped_byte_of_a_table_is_found(store):
    file = max(store.folder(table_of(store).fingerprint).glob("*.npy"))
    altered = bytearray(file.read_bytes())
    altered[-3] ^= 1
    file.write_bytes(altered)
    assert verify(store.path).damaged


def test_forgotten_photograph_is_gone_from_the_table_too(store):
    table = table_of(store).fingerprint
    images = store.images()
    crowded = store.rows(table)["sha256"].value_counts().index[0]
    name = images.set_index("sha256")["path"][crowded]
    n = (store.rows(table)["sha256"] == crowded).sum()
    assert n > 1
    done = faceprobe("store", "forget", store.path, crowded)
    assert done.code == 0, done.err
    assert all(crowded not in store.rows(print_)["sha256"].tolist() for print_ in store.specs())
    assert name not in store.images()["path"].tolist()
    assert not verify(store.path).damaged


def test_stores_of_parts_are_merged_and_compacted_to_that_of_the_whole(world, store, tmp_path):
    parts = []
    for part in (1, 2):
        parts.append(open_store(tmp_path / f"part{part}", create=True))
        for spec in store.specs().values():
            rows = store.rows(spec.fingerprint)
            rows = rows[[int(sha[0], 16) % 2 == part - 1 for sha in rows["sha256"]]]
            parts[-1].add(spec, rows, store.vectors(spec.fingerprint, rows[rows["status"] == "ok"]))
        images = store.images()
        parts[-1].add_images(images[[int(sha[0], 16) % 2 == part - 1 for sha in images["sha256"]]])
    done = faceprobe("store", "merge", *(part.path for part in parts), store.path, "--into", tmp_path / "all")
    assert done.code == 0, done.err
    merged = open_store(tmp_path / "all")
    assert content(merged) == content(store)
    assert faceprobe("store", "compact", merged.path).code == 0
    assert content(merged) == content(store)
    assert all(len([*merged.folder(print_).glob("*.parquet")]) == 1 for print_ in merged.specs())
    done = faceprobe(*world.words, "--max-failures", "2", "--store", merged.path)
    assert "nothing to do" in done.out


def test_table_is_exported_with_its_numbers(store, tmp_path):
    spec = table_of(store)
    done = faceprobe(
        "store", "export", store.path, "--backbone", spec.name, "--format", "csv", "-o", tmp_path / "f.csv"
    )
    assert done.code == 0, done.err
    rows = pd.read_csv(tmp_path / "f.csv")
    assert {"image_path", "sha256", "face"} <= set(rows)
    numbers = rows[[f"e{number}" for number in range(len(COLUMNS))]].set_axis([*COLUMNS], axis=1)
    _, found = store.read_all(spec.fingerprint, rows["sha256"])
    again = rows[["sha256", "face"]].join(numbers).sort_values(["sha256", "face"])
    np.testing.assert_array_equal(again[[*COLUMNS]].to_numpy(np.float32), found[:, : len(COLUMNS)])


def test_export_says_of_which_photographs_there_is_no_face(world, store, tmp_path):
    words = ("store", "export", store.path, "--backbone", f"MobileFaceNet chip {DETECTOR}", "--format", "csv")
    done = faceprobe(*words, "-o", tmp_path / "e.csv", "--failures", tmp_path / "failed.csv")
    assert done.code == 0, done.err
    failed = pd.read_csv(tmp_path / "failed.csv").set_index("image_path")["status"]
    assert failed["wall.png"] == "no_face"
    everything = {path.name for path in (world.place / "scenes").iterdir()}
    assert set(pd.read_csv(tmp_path / "e.csv")["image_path"]) | set(failed.index) == everything


# ---- the command line


def test_train_takes_template_and_detector_as_extract_does(world, tmp_path):
    words = ("train", world.place / "chips.csv", "--store", world.place / "chips.store", "--folds", "2")
    told = ("--backbone", world.network, "--crop", "chip", "--detector", DETECTOR)
    done = faceprobe(*words, *told, "--task", "gender", "--head", "linear", "-o", tmp_path / "bundle")
    assert done.code == 0, done.err
    embedding = load_bundle(tmp_path / "bundle").embedding
    assert (embedding.alignment, embedding.detector) == ("chip", DETECTOR)
    refused = faceprobe(*words, "--backbone", world.network, "--crop", "eyes", "-o", tmp_path / "other")
    assert (refused.code, "crop=eyes" in refused.err) == (2, True)


def test_face_options_without_a_detector_are_refused(world, tmp_path):
    words = ("extract", world.place / "chips", "--backbone", world.network, "--store", tmp_path / "s")
    done = faceprobe(*words, "--min-face", "40", "--min-quality", "0.2")
    assert done.code == 2
    assert "--min-face and --min-quality: no faces are looked for to choose among: add --detector hog" in done.err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--detector", "hogg"), "unknown detector 'hogg'; known are hog, cnn"),
        (("--detector", "hog:5"), "hog:2000:turned"),
        (("--detector", "none"), "unknown detector 'none'"),
        (("--detector", "hog", "--crop", "80"), "crop must be one of chip, arcface, eyes, box; found 80"),
        (("--crop", "face"), "or one of chip, arcface, eyes, box; found face"),
        (("--margin", "20"), "with a margin needs faces that are aligned"),
        (("--crop", "chip", "--margin", "300"), "percentage from -40 to 100, found 300"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_a_store_is_made(world, tmp_path, words, said):
    done = faceprobe("extract", world.place / "chips", "--backbone", world.network, *words, "--store", tmp_path / "s")
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) <= 3
    assert not (tmp_path / "s").exists()
