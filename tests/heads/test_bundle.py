"""A bundle gives back what was saved, or refuses to be loaded."""

import hashlib
import json
import os
import pickle
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BackboneError, BundleError, FaceprobeError
from embedder.backbone import load_backbone
from embedder.resolve import resolve_backbone
from heads.bundle import Bundle, load_bundle, save_bundle
from heads.calibrate import Intervals, Temperature
from heads.net import Layer, Net
from heads.tasks import Task
from tests.fakes import FAKE_SPEC, fake_backbone, write_mean_colour_onnx, write_pooling_onnx

AGE = Task("age", "age", "age", tuple(range(11)))
GENDER = Task("gender", "gender", "class", ("male", "female"))
HEIGHT = Task("height", "height", "number")
FACTS = {"head": "dense", "metrics": [{"task": "age", "mean": 4.5}]}
FILES = ["README.md", "SHA256SUMS", "bundle.json", "heads.safetensors"]


def random_net(tasks, *, seed=0, n_in=12) -> Net:
    rng = np.random.default_rng(seed)

    def layer(n_in, n_out, activation):
        kernel, bias = rng.normal(size=(2, n_in, n_out)), rng.normal(size=(2, n_out))
        return Layer(kernel.astype(np.float32), bias.astype(np.float32), activation)

    outputs = {t.name: layer(3, t.n_outputs, "linear" if t.kind == "number" else "softmax") for t in tasks}
    return Net((layer(n_in, 3, "gelu"),), outputs)


def make_bundle(*, seed=0, **changes) -> Bundle:
    nets = (random_net([AGE, GENDER], seed=seed), random_net([HEIGHT], seed=seed + 1))
    return replace(Bundle(FAKE_SPEC, (AGE, GENDER, HEIGHT), nets, FACTS), **changes)


def vectors(n=9) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, 12)).astype(np.float32)


@pytest.fixture
def saved(tmp_path):
    """Return the folder of a bundle."""
    save_bundle(make_bundle(), tmp_path / "bundle", card="# A card\n")
    return tmp_path / "bundle"


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sign(folder) -> None:
    """Write SHA256SUMS anew, as someone would who changes a bundle on purpose."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))


# ---- what is saved comes back


def test_predictions_are_the_same_to_the_bit(saved):
    pd.testing.assert_frame_equal(
        load_bundle(saved).predict(vectors()), make_bundle().predict(vectors()), check_exact=True
    )


def test_everything_else_comes_back(saved):
    found, made = load_bundle(saved), make_bundle()
    assert (found.embedding, found.tasks, found.facts) == (made.embedding, made.tasks, made.facts)
    assert found.embedding.recorded == made.embedding.recorded
    assert found.backbone_file is None
    assert (saved / "README.md").read_text() == "# A card\n"


def test_save_returns_the_bundle_as_it_is_on_disk(tmp_path):
    bundle = save_bundle(make_bundle(), tmp_path / "deeper" / "bundle", card="")
    assert bundle.id == load_bundle(tmp_path / "deeper" / "bundle").id
    assert len(bundle.id) == 16


def test_id_is_that_of_the_sums_so_that_other_tools_can_check_it(saved):
    sums = (saved / "SHA256SUMS").read_bytes()
    assert load_bundle(saved).id == hashlib.sha256(sums).hexdigest()[:16]
    for line in sums.decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((saved / name).read_bytes()).hexdigest() == digest


def test_files_hold_json_and_arrays_and_no_pickle(saved):
    assert sorted(contents(saved)) == FILES
    json.loads((saved / "bundle.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    arrays = (saved / "heads.safetensors").read_bytes()
    length = int.from_bytes(arrays[:8], "little")
    header = json.loads(arrays[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert max(ends) == len(arrays) - 8 - length
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"facts": {}},
        {"tasks": (GENDER, AGE, HEIGHT)},
        {"embedding": replace(FAKE_SPEC, layer="other")},
        {"calibration": {"gender": Temperature(1.1, 60)}},
    ],
    ids=str,
)
def test_id_changes_with_whatever_is_in_the_bundle(saved, tmp_path, change):
    assert save_bundle(make_bundle(**change), tmp_path / "changed", card="# A card\n").id != load_bundle(saved).id


def test_id_changes_with_the_card_and_only_with_the_content(saved, tmp_path):
    own = load_bundle(saved).id
    assert save_bundle(make_bundle(), tmp_path / "same", card="# A card\n").id == own
    assert save_bundle(make_bundle(), tmp_path / "reworded", card="# The card\n").id != own


def test_page_is_a_file_of_the_bundle_like_the_others(saved, tmp_path):
    bundle = save_bundle(make_bundle(), tmp_path / "paged", card="# A card\n", page="<p>page")
    assert (tmp_path / "paged" / "report.html").read_text() == "<p>page"
    assert sorted(contents(tmp_path / "paged")) == sorted([*FILES, "report.html"])
    assert bundle.id != load_bundle(saved).id
    (tmp_path / "paged" / "report.html").write_text("<p>other")
    with pytest.raises(BundleError, match=r"report\.html was altered"):
        load_bundle(tmp_path / "paged")
    (tmp_path / "paged" / "report.html").unlink()
    with pytest.raises(BundleError, match=r"report\.html"):
        load_bundle(tmp_path / "paged")


def test_bundle_with_a_page_is_replaced_by_one_without(saved):
    save_bundle(make_bundle(), saved, card="", page="<p>page")
    save_bundle(make_bundle(), saved, card="")
    assert sorted(contents(saved)) == FILES


def test_predict_gives_the_columns_of_the_tasks_asked_for(saved):
    bundle = load_bundle(saved)
    everything = bundle.predict(vectors())
    assert [*everything] == ["age", "age_low", "age_high", "gender", "gender_proba", "height"]
    pd.testing.assert_frame_equal(
        bundle.predict(vectors(), tasks=[HEIGHT, GENDER]), everything[["height", "gender", "gender_proba"]]
    )


def test_predict_of_no_rows_has_the_same_columns(saved):
    bundle = load_bundle(saved)
    nothing = bundle.predict(vectors(0))
    assert len(nothing) == 0
    assert [*nothing] == [*bundle.predict(vectors())]


# ---- calibration

CALIBRATION = {"age": Intervals(0.9, (0.0, 4.0), (1.5, 2.0), (60, 70)), "gender": Temperature(2.0, 130)}


@pytest.fixture
def calibrated(tmp_path):
    """Return a bundle with calibration, saved and loaded."""
    return save_bundle(make_bundle(calibration=CALIBRATION), tmp_path / "calibrated", card="")


def test_calibration_comes_back(calibrated):
    assert calibrated.calibration == CALIBRATION


def test_age_has_the_interval_that_its_calibration_gives(calibrated):
    rows = calibrated.predict(vectors())
    output = calibrated.nets[0].predict(vectors())["age"]
    np.testing.assert_allclose(rows[["age_low", "age_high"]], CALIBRATION["age"](AGE, output))
    assert (rows["age_low"] <= rows["age"]).all()
    assert (rows["age"] <= rows["age_high"]).all()


def test_probability_is_calibrated_and_neither_ages_nor_classes_change(calibrated):
    rows, plain = calibrated.predict(vectors()), make_bundle().predict(vectors())
    pd.testing.assert_frame_equal(rows[["age", "gender", "height"]], plain[["age", "gender", "height"]])
    odds, colder = (p / (1 - p) for p in (rows["gender_proba"], plain["gender_proba"]))
    np.testing.assert_allclose(odds**2, colder, rtol=1e-4)


def test_bundle_without_calibration_has_ages_without_intervals(saved):
    rows = load_bundle(saved).predict(vectors())
    assert rows[["age_low", "age_high"]].isna().all(axis=None)
    assert rows["age"].notna().all()


def test_bundle_of_version_1_which_has_no_calibration_can_still_be_read(saved):
    main = json.loads((saved / "bundle.json").read_text())
    del main["calibration"]
    (saved / "bundle.json").write_text(json.dumps({**main, "version": 1}))
    sign(saved)
    bundle = load_bundle(saved)
    assert bundle.calibration == {}
    pd.testing.assert_frame_equal(bundle.predict(vectors()), make_bundle().predict(vectors()))


# ---- what was altered is refused


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_is_noticed(saved, name):
    path = saved / name
    own = path.read_bytes()
    for position in range(len(own)):
        path.write_bytes(own[:position] + bytes([own[position] ^ 1]) + own[position + 1 :])
        with pytest.raises(BundleError):
            load_bundle(saved)
    path.write_bytes(own)
    load_bundle(saved)


@pytest.fixture(scope="module")
def spare(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spare") / "bundle"
    save_bundle(make_bundle(), folder, card="# A card\n")
    return folder


@settings(max_examples=200)
@given(st.sampled_from(FILES), st.integers(0), st.binary(max_size=3), st.integers(0, 3))
def test_bytes_replaced_added_or_removed_are_noticed(spare, name, position, inserted, removed):
    path = spare / name
    own = path.read_bytes()
    position %= len(own) + 1
    changed = own[:position] + inserted + own[position + removed :]
    if changed == own:
        return
    path.write_bytes(changed)
    try:
        with pytest.raises(BundleError):
            load_bundle(spare)
    finally:
        path.write_bytes(own)


def test_altered_file_is_named_with_both_hashes(saved):
    (saved / "heads.safetensors").write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(
        BundleError, match=rf"heads\.safetensors was altered: its SHA-256 is {found}, expected [0-9a-f]{{64}}"
    ):
        load_bundle(saved)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused(saved, name):
    (saved / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(saved)


@pytest.mark.parametrize("name", FILES)
def test_renamed_file_is_refused(saved, name):
    (saved / name).rename(saved / f"{name}.old")
    with pytest.raises(BundleError):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["backbone.onnx", "heads.pkl"])
def test_file_that_the_sums_do_not_name_is_refused(saved, name):
    (saved / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=name):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "./README.md", "sub/../README.md", "heads.pkl", ""])
def test_name_that_no_bundle_has_is_refused(saved, name):
    (saved.parent / "outside").write_bytes(b"")
    digest = hashlib.sha256(b"").hexdigest()
    with open(saved / "SHA256SUMS", "a") as file:
        file.write(f"{digest}  {name}\n")
    with pytest.raises(BundleError, match="SHA256SUMS"):
        load_bundle(saved)


def test_folder_or_file_that_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(BundleError, match="no bundle at"):
            load_bundle(path)


# ---- signed, but not what this program writes


def rewrite(folder, **changes) -> None:
    main = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**main, **changes}))
    sign(folder)


def test_newer_version_is_refused(saved):
    rewrite(saved, version=3)
    with pytest.raises(BundleError, match="format 3, this program reads 2: update faceprobe"):
        load_bundle(saved)


def test_other_format_is_refused(saved):
    rewrite(saved, format="other bundle")
    with pytest.raises(BundleError):
        load_bundle(saved)


def test_settings_that_do_not_fit_their_fingerprint_are_refused(saved):
    rewrite(saved, embedding={**FAKE_SPEC.to_json(), "normalization": "base"})
    with pytest.raises(FaceprobeError, match="fingerprint"):
        load_bundle(saved)


@pytest.mark.parametrize(
    "changes",
    [
        *({"nets": [{}, {}]}, {"nets": 3}, {"tasks": [{}]}, {"tasks": None}, {"embedding": []}),
        *(
            {"calibration": None},
            {"calibration": {"age": {"level": 0.9}}},
            {"calibration": {"age": {"value": 0, "n": 1}}},
        ),
    ],
    ids=str,
)
def test_contents_that_make_no_sense_are_an_expected_error(saved, changes):
    rewrite(saved, **changes)
    with pytest.raises(FaceprobeError):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["bundle.json", "heads.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff" * 64, pickle.dumps({})], ids=["empty", "list", "high", "pickle"]
)
def test_signed_file_of_something_else_is_an_expected_error(saved, name, content):
    (saved / name).write_bytes(content)
    sign(saved)
    with pytest.raises(FaceprobeError):
        load_bundle(saved)


# ---- where a bundle may be written


def test_saving_over_a_bundle_replaces_it(saved):
    before = load_bundle(saved).id
    after = save_bundle(make_bundle(seed=3), saved, card="new")
    assert after.id == load_bundle(saved).id != before
    assert sorted(contents(saved)) == FILES
    assert [path.name for path in saved.parent.iterdir()] == ["bundle"]


def test_saving_into_an_empty_folder_is_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    assert save_bundle(make_bundle(), tmp_path / "empty", card="").id


@pytest.mark.parametrize(
    "names", [["thesis.tex"], ["SHA256SUMS", "disk.iso"], [*FILES, "notes.txt"], ["README.md"]], ids=str
)
def test_folder_that_holds_something_else_is_refused_and_left_as_it_was(tmp_path, names):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"my {name}")
    before = contents(tmp_path)
    with pytest.raises(BundleError, match="holds something that is not a bundle: choose another place"):
        save_bundle(make_bundle(), folder, card="")
    assert contents(tmp_path) == before


def test_file_in_the_place_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BundleError, match="choose another place"):
        save_bundle(make_bundle(), tmp_path / "file", card="")
    assert (tmp_path / "file").read_text() == "mine"


def test_failed_save_leaves_the_old_bundle(saved):
    before = contents(saved)
    with pytest.raises(TypeError):
        save_bundle(make_bundle(facts={"not JSON": object()}), saved, card="")
    assert contents(saved) == before


def test_remains_of_a_killed_save_are_no_obstacle(saved):
    shutil.copytree(saved, saved.with_name(".bundle.new"))
    assert save_bundle(make_bundle(seed=3), saved, card="").id == load_bundle(saved).id


# ---- the backbone it may meet


def test_backbone_of_other_settings_is_refused_with_the_fields_that_differ(saved):
    with pytest.raises(BundleError) as refusal:
        load_bundle(saved).load_backbone("pixels", cores=1)
    message = str(refusal.value)
    assert "channel_order: GRAY given, the heads were trained on RGB" in message
    assert FAKE_SPEC.fingerprint in message
    assert "precision: uint8 given" in message
    assert "decode" not in message  # the same in both


def test_refused_backbone_is_closed(saved, monkeypatch):
    backbone, closed = fake_backbone(normalization="base"), []
    monkeypatch.setattr(backbone._runtime, "close", lambda: closed.append(True))
    monkeypatch.setattr("heads.bundle.start_backbone", lambda row, cores: backbone)
    with pytest.raises(BundleError, match="normalization: base given, the heads were trained on raw"):
        load_bundle(saved).load_backbone("pixels")
    assert closed


def test_own_backbone_is_found_by_its_name(tmp_path):
    with load_backbone("pixels") as pixels:
        net = random_net([HEIGHT], n_in=128 * 128)
        bundle = save_bundle(Bundle(pixels.spec, (HEIGHT,), (net,), {}), tmp_path / "bundle", card="")
    with bundle.load_backbone() as own:
        assert own.spec == pixels.spec


SETTINGS = "channel_order=BGR,normalization=ArcFace,input_size=24x16"


@pytest.fixture
def onnx(tmp_path):
    """Return a bundle that carries the ONNX file of its backbone, saved, with the backbone's spec."""
    file = write_mean_colour_onnx(tmp_path / "colour.onnx", side="side")
    with load_backbone(f"{file},{SETTINGS},licence=MIT", cores=1) as backbone:
        spec = backbone.spec
    bundle = Bundle(spec, (HEIGHT,), (random_net([HEIGHT], n_in=3),), {}, backbone_file=file)
    save_bundle(bundle, tmp_path / "bundle", card="")
    return SimpleNamespace(spec=spec, file=file, folder=tmp_path / "bundle")


def test_bundle_carries_an_onnx_backbone_with_its_settings(onnx):
    onnx.file.unlink()
    with load_bundle(onnx.folder).load_backbone(cores=1) as backbone:
        assert backbone.spec.fingerprint == onnx.spec.fingerprint
        assert backbone.embed([np.zeros((24, 16, 3), np.uint8)]).shape == (1, 3)


def test_flipped_byte_in_the_onnx_backbone_is_noticed(onnx):
    path = onnx.folder / "backbone.onnx"
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(BundleError, match=r"backbone\.onnx was altered"):
            load_bundle(onnx.folder)


def test_bundle_saved_over_itself_keeps_its_backbone(onnx):
    before = load_bundle(onnx.folder)
    assert save_bundle(before, onnx.folder, card="").id == before.id


def test_bundle_without_weights_says_which_file_it_needs(onnx, tmp_path):
    lean = save_bundle(replace(load_bundle(onnx.folder), backbone_file=None), tmp_path / "lean", card="")
    with pytest.raises(BundleError, match=rf"add --backbone FILE\.onnx,channel_order=.* {onnx.spec.weights_sha256}"):
        lean.load_backbone()
    with lean.load_backbone(f"{onnx.file},{SETTINGS}", cores=1) as backbone:
        assert backbone.spec.fingerprint == onnx.spec.fingerprint


def bundle_of(name, folder) -> Bundle:
    """Save a bundle of a backbone that gives 512 numbers."""
    with load_backbone(name, cores=1) as backbone:
        bundle = Bundle(backbone.spec, (HEIGHT,), (random_net([HEIGHT], n_in=512),), {})
    return save_bundle(replace(bundle, backbone_file=resolve_backbone(name).own_file), folder, card="")


def test_backbone_known_by_name_stays_in_its_folder_and_is_found_there_with_its_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    file = write_pooling_onnx(tmp_path / ".deepface" / "weights" / "arcface_weights.onnx")
    bundle = bundle_of("ArcFace,normalization=base,channel_order=RGB", tmp_path / "bundle")
    assert bundle.backbone_file is None
    with bundle.load_backbone(cores=1) as own:
        assert own.spec == bundle.embedding
    file.unlink()
    with pytest.raises(BackboneError, match=r"ArcFace needs arcface_weights\.onnx"):
        bundle.load_backbone(cores=1)


def test_other_weights_under_the_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    file = write_pooling_onnx(tmp_path / ".deepface" / "weights" / "arcface_weights.onnx")
    bundle = bundle_of("ArcFace", tmp_path / "bundle")
    file.write_bytes(file.read_bytes().replace(b"pooling", b"POOLING"))
    with pytest.raises(FaceprobeError, match=r"weights_sha256|arcface_weights\.onnx"):
        bundle.load_backbone(cores=1)


def test_network_on_an_onnx_file_given_by_hand_goes_into_the_bundle(tmp_path):
    file = write_pooling_onnx(tmp_path / "mine.onnx")
    bundle = bundle_of(f"ArcFace,weights={file},normalization=raw", tmp_path / "bundle")
    file.unlink()
    with bundle.load_backbone(cores=1) as own:
        assert own.spec == bundle.embedding


def test_network_on_an_h5_file_given_by_hand_must_be_given_again(tmp_path):
    file = tmp_path / "mine.h5"
    file.write_bytes(b"an .h5 file, which is read when the first face comes")
    bundle = bundle_of(f"ArcFace,weights={file},normalization=raw", tmp_path / "bundle")
    assert bundle.backbone_file is None
    name = "ArcFace,weights=FILE,channel_order=BGR,normalization=raw"
    with pytest.raises(BundleError, match=f"holds no weights of ArcFace: add --backbone {name} "):
        bundle.load_backbone()
    with bundle.load_backbone(name.replace("FILE", str(file))) as given:
        assert given.spec.fingerprint == bundle.embedding.fingerprint


def test_seeded_backbone_is_drawn_again(tmp_path, monkeypatch, seeded_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(seeded_cache))
    with load_backbone("DeepID,weights=seeded:7,normalization=raw") as backbone:
        net = random_net([HEIGHT], n_in=160)
        bundle = save_bundle(Bundle(backbone.spec, (HEIGHT,), (net,), {}), tmp_path / "bundle", card="")
    assert (bundle.embedding.name, bundle.embedding.seeded) == ("DeepID seeded:7", 7)
    next(seeded_cache.rglob("DeepID-seed7-*.h5")).unlink()
    with bundle.load_backbone() as own:
        assert own.spec == bundle.embedding
    with pytest.raises(BundleError, match=r"DeepID seeded:8 .* does not give the embeddings of this bundle"):
        bundle.load_backbone("DeepID,weights=seeded:8,normalization=raw")


def test_unknown_backbone_is_refused_as_everywhere(saved):
    with pytest.raises(BackboneError, match="unknown backbone"):
        load_bundle(saved).load_backbone("nobody")


def test_disk_that_refuses_is_one_clear_error_and_leaves_the_old_bundle(saved, monkeypatch):
    before = contents(saved)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(BundleError, match=f"cannot write {saved}: No space left on device"):
        save_bundle(make_bundle(seed=1), saved, card="another")
    assert contents(saved) == before
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]


def test_hidden_files_of_a_file_manager_are_passed_over(saved):
    (saved / ".DS_Store").write_bytes(b"of the Finder")
    load_bundle(saved)


def test_old_bundle_is_back_when_the_new_one_cannot_take_its_place(saved, monkeypatch):
    before = contents(saved)
    move = os.replace

    def interrupted(source, target):
        if str(source).endswith(".new"):
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_bundle(make_bundle(seed=1), saved, card="another")
    assert contents(saved) == before
    assert [entry.name for entry in saved.parent.iterdir()] == [saved.name]
