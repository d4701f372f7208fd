"""From images to rows: what is embedded, what is loaded, what is left behind."""

import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from data.manifest import list_images
from embedder import engine
from embedder.backbone import load_backbone
from embedder.preprocess import decode, read_file
from embedder.store import open_store
from heads.bundle import Bundle, save_bundle
from heads.net import HeadError, Layer, Net
from tests.fakes import embedded, fake_backbone
from tests.heads.score.scoring import ETHNICITY, FOUND, OK, Shown, height_only, scored

CHECKOUT = Path(__file__).resolve().parents[3]


# ---- the store


def test_store_that_is_given_is_a_cache(images, bundle, tmp_path):
    first = scored(images, bundle, fake_backbone(), store=tmp_path / "cache")
    backbone = fake_backbone()
    with mock.patch.object(engine, "read_file", wraps=read_file) as read:
        second = scored(images, bundle, backbone, store=tmp_path / "cache")
    assert embedded(backbone) == 0
    assert read.call_count == 1  # what fails is known too, but a file that is gone is looked for again
    pd.testing.assert_frame_equal(second, first)


def test_embeddings_of_an_extract_are_taken_from_its_store(world, bundle):
    backbone = fake_backbone()
    rows = scored(world.manifest.frame, bundle, backbone, store=world.store.path)
    assert embedded(backbone) == 0
    assert rows["age"].notna().all()


def test_store_is_kept_where_it_was_named(images, bundle, tmp_path):
    scored(images, bundle, fake_backbone(), store=tmp_path / "cache")
    assert [*open_store(tmp_path / "cache").specs()] == [bundle.embedding.fingerprint]


@pytest.mark.parametrize("fails", [False, True])
def test_no_embedding_is_left_behind_without_a_store(images, bundle, tmp_path, monkeypatch, fails):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    backbone = fake_backbone()
    if fails:
        monkeypatch.setattr(backbone._runtime, "embed", lambda faces: [][0])
        with pytest.raises(IndexError):
            scored(images, bundle, backbone)
    else:
        scored(images, bundle, backbone)
    assert [*(tmp_path / "tmp").iterdir()] == []


# ---- pictures in memory


def test_files_and_arrays_are_scored_alike_in_their_order(images, bundle):
    backbone = fake_backbone()
    rows = scored(images, bundle, backbone)
    given = images["path"].where(~images["image_id"].isin(OK[:3]))  # the others are read here
    pictures = [
        decode(read_file(path)[1]) if pd.isna(kept) else path for path, kept in zip(images["path"], given, strict=True)
    ]
    found = bundle.score(pictures, backbone=backbone)
    assert found["path"].isna().tolist() == given.isna().tolist()
    assert found["path"].dropna().tolist() == given.dropna().tolist()
    assert found["sha256"].isna().tolist() == (given.isna() | rows["sha256"].isna()).tolist()
    names = ["path", "sha256"]
    pd.testing.assert_frame_equal(found.drop(columns=names), rows.drop(columns=names), rtol=1e-6)


def test_one_picture_may_be_there_twice(images, bundle):
    path = images["path"][0]
    ages = bundle.score([path, path, decode(read_file(path)[1])], backbone=fake_backbone())["age"]
    assert ages.nunique() == 1


def test_array_that_is_too_small_has_a_status_like_a_file(bundle):
    rows = bundle.score([np.zeros((9, 40, 3), np.uint8)], backbone=fake_backbone())
    assert rows["status"].tolist() == ["too_small"]
    assert rows["age"].isna().all()


@pytest.mark.parametrize(
    "picture",
    [np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8), np.zeros((32, 32, 4), np.uint8), np.zeros((0, 9, 3), "u1")],
    ids=["float64", "grey", "alpha", "empty"],
)
def test_array_that_is_no_picture_is_refused_with_its_shape(bundle, picture):
    with pytest.raises(HeadError, match=rf"found {picture.dtype} of shape \({picture.shape[0]}, "):
        bundle.score([picture], backbone=fake_backbone())


def test_path_in_place_of_a_list_is_refused(bundle):
    with pytest.raises(HeadError, match="expected a list of pictures; found the one path faces/"):
        bundle.score("faces/", backbone=fake_backbone())


def test_empty_list_is_refused(bundle):
    with pytest.raises(HeadError, match="expected one picture or more; found none"):
        bundle.score([], backbone=fake_backbone())


def test_nothing_of_a_picture_in_memory_is_left_behind(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bundle.score([np.full((32, 32, 3), 9, np.uint8)], backbone=fake_backbone())
    assert [*tmp_path.iterdir()] == []


def test_bundle_starts_its_own_backbone_and_ethnicity_is_asked_for_here_too(tmp_path):
    with load_backbone("pixels") as pixels:
        layer = Layer(np.zeros((1, 128 * 128, 5), np.float32), np.zeros((1, 5), np.float32), "softmax")
        made = Bundle(pixels.spec, (ETHNICITY,), (Net((), {"ethnicity": layer}),), {})
        bundle = save_bundle(made, tmp_path / "bundle", card="")
    pictures = [np.zeros((32, 32, 3), np.uint8)]
    assert bundle.score(pictures, ethnicity=True)["ethnicity_proba"].tolist() == [pytest.approx(0.2)]
    with pytest.raises(HeadError, match="only on request"):
        bundle.score(pictures)


# ---- what is loaded

SCORE = """
import sys
from pathlib import Path
from data.sources import list_sources
from heads.bundle import load_bundle
from heads.score.job import fill, open_output
from heads.score.outputs import Table
from heads.score.rows import Scorer
images, _ = list_sources([sys.argv[2]])
bundle = load_bundle(sys.argv[1])
with bundle.load_backbone(cores=1) as backbone:
    scorer = Scorer(bundle, backbone)
    with open_output(Path(sys.argv[3]), Table("csv", scorer.columns), scorer.settings, images) as output:
        fill(output, images, scorer)
print(*sorted(name.partition(".")[0] for name in sys.modules))
"""


def test_scoring_a_folder_loads_neither_tensorflow_nor_keras(images, tmp_path):
    with load_backbone("pixels") as pixels:
        save_bundle(height_only(pixels.spec), tmp_path / "bundle", card="")
    folder = Path(images["path"][0]).parent
    arguments = [tmp_path / "bundle", folder, tmp_path / "out.csv"]
    run = subprocess.run(
        [sys.executable, "-c", SCORE, *map(str, arguments)], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert {"heads", "embedder", "safetensors"} <= loaded
    assert not loaded & {"tensorflow", "keras", "tf_keras", "deepface", "torch", "matplotlib"}
    rows = pd.read_csv(tmp_path / "out.csv")
    assert rows["path"].tolist() == list_images(folder)[0]["image_id"].tolist()
    assert rows["height"].dropna().tolist() == [170] * len(OK)


# ---- faces


def test_bundle_finds_faces_as_those_it_was_trained_on_unless_they_are_crops(photos, of_faces):
    paths, backbone = [*photos["path"]], fake_backbone(**FOUND)
    with mock.patch("embedder.faces.finder.load_detector", return_value=Shown()) as load:
        rows = of_faces.score(paths, backbone=backbone)
        assert load.call_args.args == ("hog",)
        assert rows["face"].tolist() == [1, 2, pd.NA, 1, 2, 3, pd.NA]
        assert of_faces.score(paths, backbone=backbone, faces="largest")["face"].tolist() == [1, pd.NA, 1, pd.NA]
        load.reset_mock()
        crops = of_faces.score(paths, backbone=backbone, detector="none")
        assert crops["face"].tolist() == [0, 0, 0, pd.NA]
        load.assert_not_called()
