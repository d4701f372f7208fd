"""Seeded weights are the same whenever they are drawn, alive, and never taken for trained ones."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.errors import BackboneError
from embedder.backbone import load_backbone
from embedder.fetch import import_weights
from embedder.resolve import resolve_backbone
from embedder.seeded import BITS, draw_pictures, draw_tensor, is_seeded, seeded_folder, seeded_weights
from embedder.spec import BACKBONES
from embedder.weights import weights_folder, working_backbones
from tests.embedder.weight_files import h5_bytes


@pytest.fixture
def cache(seeded_cache, monkeypatch):
    """Return the folder for XDG_CACHE_HOME, set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache))
    return seeded_cache


def test_seed_gives_the_same_bytes_whatever_was_built_before(cache, monkeypatch, tmp_path):
    first = seeded_weights(BACKBONES["OpenFace"], 0).read_bytes()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seeded_weights(BACKBONES["DeepID"], 0)
    assert seeded_weights(BACKBONES["OpenFace"], 0).read_bytes() == first


def test_file_is_made_once_and_left_alone(cache):
    made = seeded_weights(BACKBONES["DeepID"], 0)
    before = made.stat().st_mtime_ns
    assert seeded_weights(BACKBONES["DeepID"], 0) == made
    assert made.stat().st_mtime_ns == before
    assert [path for path in made.parent.iterdir() if path.suffix != ".h5"] == []


def test_seeds_are_told_apart_by_name_fingerprint_and_numbers(cache):
    faces = list(draw_pictures(2, (60, 60)))
    one, other = load_backbone("DeepID,weights=seeded:0"), load_backbone("DeepID,weights=seeded:1")
    assert (one.spec.name, other.spec.name) == ("DeepID seeded:0", "DeepID seeded:1")
    assert one.spec.fingerprint != other.spec.fingerprint
    assert not np.allclose(one.embed(faces), other.embed(faces))


def test_spec_says_that_the_weights_are_not_trained(cache):
    spec = load_backbone("DeepID,weights=seeded:3").spec
    assert spec.seeded == 3
    assert (spec.recorded["licence"], spec.recorded["url"]) == ("none: drawn at random", "")


def test_settings_run_on_the_same_file(cache):
    plain, changed = (
        load_backbone("DeepID,weights=seeded:0"),
        load_backbone("DeepID,weights=seeded:0,normalization=raw"),
    )
    assert plain.spec.weights_sha256 == changed.spec.weights_sha256
    assert plain.spec.fingerprint != changed.spec.fingerprint


def test_seeded_weights_lie_apart_from_trained_ones(cache):
    assert seeded_weights(BACKBONES["DeepID"], 0).is_relative_to(cache)
    assert weights_folder() not in [seeded_folder(), *seeded_folder().parents]


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BackboneError, match=r"cannot write to .*seeded-2: Not a directory\. .* XDG_CACHE_HOME"):
        seeded_weights(BACKBONES["DeepID"], 0)


def test_statistics_of_batch_norms_are_measured_and_rounded(cache):
    import h5py

    found = {}
    with h5py.File(seeded_weights(BACKBONES["OpenFace"], 0)) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    variances = np.concatenate([values for name, values in found.items() if "moving_variance" in name])
    assert np.ptp(np.log10(variances)) > 1  # not the ones that Keras starts with
    mantissas, _ = np.frexp(variances)
    np.testing.assert_array_equal(mantissas * 2**BITS, np.rint(mantissas * 2**BITS))


def test_kernel_keeps_the_size_of_signals():
    kernel = draw_tensor("conv/kernel:0", (3, 3, 64, 32), [0, 1])
    assert kernel.dtype == np.float32
    assert kernel.var() == pytest.approx(2 / (3 * 3 * 64), rel=0.05)
    assert not np.array_equal(kernel, draw_tensor("conv/kernel:0", (3, 3, 64, 32), [0, 2]))


def test_pictures_are_smooth_and_differ():
    pictures = draw_pictures(4, (100, 80)).astype(float)
    steps = np.abs(np.diff(pictures, axis=1)).mean()
    assert steps < 0.2 * pictures.std()  # white noise: 1.1
    assert np.abs(np.corrcoef(pictures.reshape(4, -1))[np.triu_indices(4, 1)]).max() < 0.9


def test_seeded_file_is_recognised_wherever_it_lies_and_whatever_it_is_called(cache, tmp_path, monkeypatch):
    made = seeded_weights(BACKBONES["DeepID"], 0)
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    with pytest.raises(BackboneError, match=r"random numbers, not trained weights: say weights=seeded:SEED"):
        resolve_backbone(f"DeepID,weights={made}")
    with pytest.raises(BackboneError, match=r"cannot be deepid_keras_weights\.h5: it holds random numbers"):
        import_weights(made, name="deepid_keras_weights.h5")
    weights_folder().mkdir(parents=True)
    shutil.copyfile(made, weights_folder() / "deepid_keras_weights.h5")
    with pytest.raises(BackboneError, match=r"deepid_keras_weights\.h5 is not used: it holds random numbers"):
        resolve_backbone("DeepID")
    assert "DeepID" not in working_backbones()
    assert [path.name for path in weights_folder().iterdir()] == ["deepid_keras_weights.h5"]  # nothing was recorded


def test_damaged_file_is_drawn_again(cache):
    made = seeded_weights(BACKBONES["DeepID"], 5)
    whole = made.read_bytes()
    made.write_bytes(whole[:-1000])
    assert seeded_weights(BACKBONES["DeepID"], 5).read_bytes() == whole


def test_leftovers_of_a_killed_process_are_swept_after_an_hour(cache):
    seeded_weights(BACKBONES["DeepID"], 0)
    old, new = seeded_folder() / ".making-old", seeded_folder() / ".making-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "weights.h5").write_text("half")
    os.utime(old, (0, 0))
    seeded_weights(BACKBONES["DeepID"], 6)
    assert (old.exists(), new.exists()) == (False, True)
    shutil.rmtree(new)


def test_user_without_a_home_is_told_what_to_set(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", raise_no_home)
    with pytest.raises(BackboneError, match=r"set DEEPFACE_HOME .* and XDG_CACHE_HOME"):
        seeded_folder()
    monkeypatch.setenv("DEEPFACE_HOME", "/weights")
    assert weights_folder() == Path("/weights/.deepface/weights")


def raise_no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_other_files_are_not_taken_for_seeded_ones(tmp_path):
    (tmp_path / "trained.h5").write_bytes(h5_bytes(tmp_path))
    (tmp_path / "text.h5").write_text("no HDF5")
    assert not any(map(is_seeded, [tmp_path / "trained.h5", tmp_path / "text.h5", tmp_path / "absent.h5"]))
