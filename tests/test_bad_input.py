"""Everything a user can get wrong: each ends in one message, an exit code and nothing half-done, never a traceback."""

import io
import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embedder.store import open_store
from tests.cli import Outcome, command, faceprobe, finish, lines, start
from tests.fakes import write_mean_colour_onnx


def picture(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    return saved(picture(5), "JPEG", exif=exif)


def sixteen_bit() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), np.uint16)
    return cv2.imencode(".png", pixels)[1].tobytes()


def png_header_of(width: int, height: int) -> bytes:
    """Return a PNG that claims another size than it has."""
    content = bytearray(saved(picture(), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def animated(form: str) -> bytes:
    return saved(picture(6), form, save_all=True, append_images=[picture(7)])


# file name: (content, status, words of the reason)
PICTURES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "zero_bytes.jpg": (lambda: b"", "unreadable", "empty file"),
    "text.jpg": (lambda: b"I am not a picture", "unreadable", "not an image"),
    "cut_at_30_percent.jpg": (lambda: cut(saved(picture(size=(200, 200)), "JPEG")), "unreadable", "truncated"),
    "cut_at_30_percent.png": (lambda: cut(saved(picture(size=(200, 200)), "PNG")), "unreadable", "truncated"),
    "16_bit.png": (sixteen_bit, "ok", ""),
    "1_bit.png": (lambda: saved(picture(1).convert("1"), "PNG"), "ok", ""),
    "gray.png": (lambda: saved(picture(2).convert("L"), "PNG"), "ok", ""),
    "palette.png": (lambda: saved(picture(3).convert("P"), "PNG"), "ok", ""),
    "rgba.png": (lambda: saved(picture(4).convert("RGBA"), "PNG"), "ok", ""),
    "cmyk.jpg": (lambda: saved(picture(4).convert("CMYK"), "JPEG"), "ok", ""),
    "exif_rotated.jpg": (rotated_by_exif, "ok", ""),
    "animated.gif": (lambda: animated("GIF"), "ok", ""),
    "animated.webp": (lambda: animated("WEBP"), "ok", ""),
    "bitmap.bmp": (lambda: saved(picture(8), "BMP"), "ok", ""),
    "really_a_png.jpg": (lambda: saved(picture(9), "PNG"), "ok", ""),
    "1_by_1.png": (lambda: saved(picture(size=(1, 1)), "PNG"), "too_small", "1 x 1 pixels"),
    "100_megapixels.png": (lambda: saved(Image.new("1", (10_000, 10_000)), "PNG"), "ok", ""),
    "bomb.png": (lambda: png_header_of(100_000, 100_000), "too_large", "100000 x 100000 pixels"),
    "grüße-面.png": (lambda: saved(picture(10), "PNG"), "ok", ""),
    "面" * 82 + ".png": (lambda: saved(picture(11), "PNG"), "ok", ""),  # 250 bytes
    "x" * 251 + ".png": (lambda: saved(picture(12), "PNG"), "ok", ""),  # 255 bytes, the most there is
    """it's "quoted", with, commas .png""": (lambda: saved(picture(13), "PNG"), "ok", ""),
    "new\nline.png": (lambda: saved(picture(14), "PNG"), "ok", ""),
    "-o.png": (lambda: saved(picture(15), "PNG"), "ok", ""),
    "UPPER.JPG": (lambda: saved(picture(16), "JPEG"), "ok", ""),
}
LINKS = {"broken_link.jpg": ("missing", "no such file"), "loop.jpg": ("unreadable", "Too many levels")}


def cut(content: bytes) -> bytes:
    return content[: len(content) * 3 // 10]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SimpleNamespace:
    """A folder of every odd file, and a small bundle with the manifest and the store that it comes from."""
    place = tmp_path_factory.mktemp("odd")
    odd = place / "odd"
    odd.mkdir()
    for name, (content, _, _) in PICTURES.items():
        (odd / name).write_bytes(content())
    (odd / "broken_link.jpg").symlink_to("nowhere")
    (odd / "loop.jpg").symlink_to("loop.jpg")
    with open(os.fsencode(odd) + b"/not utf-8 \xff.png", "wb") as file:
        file.write(saved(picture(17), "PNG"))
    (odd / "folder.jpg").mkdir()
    backbone = write_mean_colour_onnx(place / "mean.onnx")
    backbone.with_suffix(".json").write_text(json.dumps({"channel_order": "RGB", "normalization": "base"}))
    faces = place / "faces"
    faces.mkdir()
    for i in range(20):
        (faces / f"{4 * i}_{i % 2}_0_{1000 + i}.jpg").write_bytes(saved(picture(i), "JPEG"))
    made = SimpleNamespace(place=place, odd=odd, faces=faces, backbone=backbone)
    made.manifest, made.store, made.bundle = place / "faces.csv", place / "store", place / "bundle"
    of_store = (made.manifest, "--store", made.store, "--backbone", backbone)
    faceprobe("index", faces, "--dataset", "utkface", "-o", made.manifest)
    faceprobe("extract", *of_store)
    done = faceprobe("train", *of_store, "--task", "gender", "--head", "linear", "-o", made.bundle)
    assert (done.code, done.err) == (0, ""), done
    return made


def assert_refused(done: Outcome, *words: str) -> None:
    """Expect exit code 2 and one message that holds `words`, on stderr alone."""
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(("faceprobe: ", "Usage: "))
    assert "Traceback" not in done.err
    for each in words:
        assert each in done.err


# pictures


def expected_statuses() -> dict[str, tuple[str, str]]:
    escaped = {name.replace("\n", "\\n"): (status, words) for name, (_, status, words) in PICTURES.items()}
    return {**escaped, **LINKS, "not utf-8 \\udcff.png": ("ok", "")}


def test_every_odd_picture_is_extracted_or_gets_a_reason(world, tmp_path):
    words = ("extract", world.odd, "--backbone", world.backbone, "--backbone", "pixels", "--store", tmp_path / "store")
    done = faceprobe(*words, "--log-json", tmp_path / "log")
    assert (done.code, done.err) == (1, "")
    *failures, summary = [json.loads(line) for line in lines(tmp_path / "log")]
    expected = expected_statuses()
    assert summary["images"] == len(expected)
    assert summary["statuses"] == pd.Series([status for status, _ in expected.values()]).value_counts().to_dict()
    assert {f["image_id"]: f["status"] for f in failures} == {
        name: status for name, (status, _) in expected.items() if status != "ok"
    }
    for failure in failures:
        assert expected[failure["image_id"]][1] in failure["reason"]
    again = faceprobe(*words)
    assert again.code == 1
    assert f"\n{len(LINKS)} read in " in again.out  # only what is not there is tried again


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_odd_picture_is_one_row_of_the_scores(world, tmp_path, suffix):
    output = tmp_path / f"scores{suffix}"
    done = faceprobe("score", world.odd, "--bundle", world.bundle, "-o", output)
    assert (done.code, done.err) == (1, "")
    readers = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".parquet": pd.read_parquet}
    rows = readers[suffix](output)
    expected = expected_statuses()
    names = rows["path"].str.removeprefix("'")  # which CSV has before "-o.png"
    assert dict(zip(names, rows["status"], strict=True)) == {name: each[0] for name, each in expected.items()}
    ok = rows["status"] == "ok"
    assert (rows["gender"].notna() == ok).all()
    assert (rows["face"].notna() == ok).all()
    assert (rows["reason"].fillna("").astype(bool) != ok).all()
    assert set(os.listdir(tmp_path)) == {output.name, f"{output.name}.job.json"}


def test_index_accounts_for_every_odd_file(world, tmp_path):
    done = faceprobe("index", world.odd, "-o", tmp_path / "odd.csv")
    assert (done.code, done.err) == (0, "")
    kept, rejected = pd.read_csv(tmp_path / "odd.csv"), pd.read_csv(tmp_path / "odd.rejected.csv")
    assert len(kept) + len(rejected) == len(expected_statuses())
    reasons = rejected.set_index("path")["reason"]
    assert set(reasons.index) == {"zero_bytes.jpg", "text.jpg", *LINKS, "new\\nline.png", "not utf-8 \\udcff.png"}
    assert reasons["text.jpg"].startswith("not an image")


# folders


@pytest.mark.parametrize("words", [("index", "-o", "out.csv"), ("extract", "--backbone", "pixels", "--store", "store")])
@pytest.mark.parametrize(
    ("name", "said"),
    [("empty", "found no file in"), ("absent", "No such file or directory"), ("file", "Not a directory")],
)
def test_folder_without_images_is_refused(tmp_path, monkeypatch, words, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert_refused(faceprobe(words[0], name, *words[1:]), said, "Name another folder")
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"]


def test_folder_of_other_files_says_what_images_are_named_like(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    done = faceprobe("extract", tmp_path, "--backbone", "pixels", "--store", tmp_path / "store")
    assert_refused(done, "found 1 files, none of them named like one (.jpg, .jpeg, .png")


def test_unknown_dataset_names_those_known(world, tmp_path):
    done = faceprobe("index", world.faces, "--dataset", "wiki", "-o", tmp_path / "out.csv")
    assert_refused(done, "unknown dataset 'wiki'", "folder, utkface")
    assert not os.listdir(tmp_path)


def as_anyone(words: list[str]) -> list[str]:
    """Return words that run a command under the permissions that root may pass over."""
    if os.geteuid():
        return words
    if not shutil.which("setpriv"):
        pytest.skip("runs as root, and without setpriv permissions do not bind root")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *words]


@pytest.fixture
def closed(tmp_path):
    """Return a function that takes permissions from a file or folder until the test ends."""
    modes = {}

    def close(path: Path, mode: int) -> Path:
        modes[path] = path.stat().st_mode
        path.chmod(mode)
        return path

    yield close
    for path, mode in modes.items():
        path.chmod(mode)


def test_folder_without_permission_is_refused(world, tmp_path, draw_image, closed):
    draw_image(tmp_path / "closed" / "face.png")
    folder = closed(tmp_path / "closed", 0o000)
    words = command("extract", folder, "--backbone", "pixels", "--store", tmp_path / "store")
    assert_refused(finish(start(as_anyone(words))), f"{folder}/: Permission denied", "mend its permissions")
    assert os.listdir(tmp_path) == ["closed"]


def test_file_without_permission_is_unreadable_and_the_rest_goes_on(tmp_path, draw_image, closed):
    draw_image(tmp_path / "faces" / "at_hand.png", seed=1)
    closed(draw_image(tmp_path / "faces" / "closed.png"), 0o000)
    words = command("extract", tmp_path / "faces", "--backbone", "pixels", "--store", tmp_path / "store")
    done = finish(start(as_anyone(words)))
    assert (done.code, done.err) == (1, "")
    assert "ok 1, unreadable 1\n  unreadable closed.png: cannot be read: Permission denied" in done.out


def test_folder_that_may_not_be_written_to_is_refused_before_the_work(world, tmp_path, closed):
    (tmp_path / "closed").mkdir()
    output = closed(tmp_path / "closed", 0o500) / "scores.csv"
    done = finish(start(as_anyone(command("score", world.faces, "--bundle", world.bundle, "-o", output))))
    assert_refused(done, f"cannot write {output}: {output.parent} may not be written to")


# manifests

FACE = "faces/0_0_0_1000.jpg"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("age,gender\n3,male\n", "expected a column `path`; found age, gender"),
        ("", "cannot be read"),
        ("path\n", "expected a row per image; found none"),
        (f"path,age\n{FACE},3\n{FACE},4\n", "expected each image_id once"),
        (f"image_id,path\na,{FACE}\na,x.jpg\n", "expected each image_id once"),
        ("path,age\n,3\n", "expected path in every row"),
        (f"path,age\n{FACE},131\n", "expected ages as numbers of years from 0 to 130"),
        (f"path,age\n{FACE},-1\n", "expected ages as numbers of years from 0 to 130"),
        (f"path,age\n{FACE},old\n", "expected ages as numbers of years from 0 to 130"),
        (f"path,gender\n{FACE},1\n", "expected gender as a word"),
        (f"path,gender\n{FACE},x\n", "expected gender as one of male"),
        (f"path,ethnicity\n{FACE},martian\n", "expected ethnicity as one of white"),
        (f"path,age\n{FACE},3,4\n", "expected as many fields as the header has"),
        ("path\n\udcff.jpg\n", "another encoding"),
    ],
)
def test_manifest_that_cannot_be_used_is_refused_with_the_reason(world, tmp_path, table, said):
    manifest = world.place / "bad.csv"
    manifest.write_text(table, "utf-8", "surrogateescape")
    done = faceprobe("extract", manifest, "--backbone", "pixels", "--store", tmp_path / "store")
    assert_refused(done, f"{manifest}: ", said)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "text.parquet", "folder.csv"])
def test_manifest_that_is_no_table_is_refused(world, tmp_path, name):
    (tmp_path / "text.parquet").write_text("not a table")
    (tmp_path / "folder.csv").mkdir()
    words = ("compare", tmp_path / name, "--store", world.store, "--backbone", world.backbone)
    assert_refused(faceprobe(*words, "-o", tmp_path / "run"), name)
    assert not (tmp_path / "run").exists()


def test_path_that_is_not_there_is_missing_and_the_rest_goes_on(world, tmp_path):
    manifest = world.place / "missing.csv"
    manifest.write_text(f"path,note\n{FACE},ok\nfaces/gone.jpg,gone\n")
    done = faceprobe("extract", manifest, "--backbone", "pixels", "--store", tmp_path / "store")
    assert (done.code, done.err) == (1, "")
    assert "status: ok 1, missing 1\n  missing faces/gone.jpg: no such file" in done.out
    done = faceprobe("score", manifest, "--bundle", world.bundle, "-o", tmp_path / "scores.csv")
    assert done.code == 1
    assert pd.read_csv(tmp_path / "scores.csv")["status"].tolist() == ["ok", "missing"]


def test_rows_without_a_label_or_outside_the_range_are_left_out_and_counted(world, tmp_path):
    rows = pd.read_csv(world.manifest)
    rows.loc[:1, "age"] = np.nan
    rows.loc[2, "age"] = 120.0
    rows.loc[3:5, "gender"] = np.nan
    rows["path"] = [str(world.place / path) for path in rows["path"]]
    rows.to_csv(tmp_path / "gaps.csv", index=False)
    words = ("compare", tmp_path / "gaps.csv", "--store", world.store, "--backbone", world.backbone)
    done = faceprobe(*words, "--head", "ridge", "--head", "linear", "--folds", 2, "-o", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    left_out = json.loads((tmp_path / "run" / "summary.json").read_text())["left_out"]
    assert sorted(left_out["age"].values()) == [1, 2]
    assert list(left_out["gender"].values()) == [3]
    for reason, count in left_out["age"].items():
        assert f"age: {count} rows left out, {reason}" in done.out
    results = pd.read_csv(tmp_path / "run" / "results.csv")
    counted = results[results["metric"].isin(["mae", "accuracy"]) & (results["head"] == "dummy")].groupby("task")["n"]
    assert counted.sum().to_dict() == {"age": 17, "gender": 17}


# backbones and stores


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (",channel_order=XYZ", "needs channel_order (one of RGB, BGR), found XYZ"),
        (",normalization=Arcface", "needs normalization (one of raw, base, ArcFace"),
        (",colour=RGB", "unknown settings colour"),
        (",dim=4", "is described as 4-d, its graph gives 3-d"),
        (",dim=three", "must be 1 positive whole number(s), found three"),
        (",input_size=17", "its graph takes"),
        (",layout=NHWC", "mend layout or input_size"),
    ],
)
def test_settings_that_do_not_fit_the_graph_are_refused(world, tmp_path, settings, said):
    done = faceprobe("extract", world.faces, "--backbone", f"{world.backbone}{settings}", "--store", tmp_path / "store")
    assert_refused(done, said)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ArcFacs", "unknown backbone 'ArcFacs'; known are ArcFace, "),
        ("absent.onnx", "no file absent.onnx"),
        ("pixels,dim=3", "pixels has no settings"),
    ],
)
@pytest.mark.parametrize("action", ["extract", "compare", "train"])
def test_unknown_backbone_names_those_known(world, tmp_path, action, name, said):
    output = () if action == "extract" else ("-o", tmp_path / "out")
    done = faceprobe(action, world.manifest, "--backbone", name, "--store", world.store, *output)
    assert_refused(done, said)
    assert action == "extract" or "holds mean" in done.err
    assert not os.listdir(tmp_path)


def test_file_that_is_no_graph_is_refused(world, tmp_path):
    (tmp_path / "text.onnx").write_text("not a graph")
    name = f"{tmp_path / 'text.onnx'},channel_order=RGB,normalization=raw"
    done = faceprobe("extract", world.faces, "--backbone", name, "--store", tmp_path / "store")
    assert_refused(done, "cannot be opened as an ONNX model")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("action", ["compare", "train"])
def test_store_of_another_fingerprint_is_refused_field_by_field(world, tmp_path, action):
    other = f"{world.backbone},normalization=ArcFace"
    done = faceprobe(action, world.manifest, "--backbone", other, "--store", world.store, "-o", tmp_path / "out")
    assert_refused(done, "normalization: the store has base, asked for is ArcFace", "Run `extract`")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("action", ["compare", "train"])
def test_store_that_is_not_there_says_how_to_make_one(world, tmp_path, action):
    words = (action, world.manifest, "--backbone", "pixels", "--store", tmp_path / "none", "-o", tmp_path / "out")
    assert_refused(faceprobe(*words), f"no embedding store at {tmp_path / 'none'}: run `extract")


def test_folder_of_something_else_is_not_taken_for_a_store(world):
    before = sorted(os.listdir(world.faces))
    for path in (world.faces, world.manifest):
        done = faceprobe("extract", world.manifest, "--backbone", "pixels", "--store", path)
        assert_refused(done, "is not an embedding store", "choose another place")
    assert sorted(os.listdir(world.faces)) == before


def test_store_without_an_image_of_the_manifest_is_refused(world, tmp_path, draw_image):
    for seed, name in enumerate(("1_0_0_1.jpg", "2_1_0_2.jpg"), start=90):
        draw_image(tmp_path / "faces" / name, seed=seed)
    faceprobe("index", tmp_path / "faces", "--dataset", "utkface", "-o", tmp_path / "other.csv")
    words = ("compare", tmp_path / "other.csv", "--backbone", world.backbone, "--store", world.store)
    assert_refused(faceprobe(*words, "-o", tmp_path / "run"), "2 not ok in the store for mean", "Run `extract`")


# tasks, heads, options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--head", "forest"), "expected a head out of dense, shared, searched, linear, ridge"),
        (("--task", "smiling"), 'expected a column "smiling"; found image_id, path, sha256, phash, age'),
        (("--kind", "smiling=bool"), "--kind must be like smiling=class"),
        (("--age-range", "young"), "--age-range must be like 0-100, found 'young'"),
        (("--age-range", "60-20"), "expected an age range such as 0 to 100; found 60 to 20"),
        (("--age-groups", "teens"), "expected age groups as one of ten, five, twenty-years"),
        (("--folds", 0), "Invalid value for '--folds': 0 is not in the range x>=1"),
        (("--cap", "few"), "expected a cap such as 200, or 200:0,1,25 of some ages; found few"),
        (("--train-ages", "21"), "expected ages such as 21-75; found 21"),
        (("--seeds", 0), "Invalid value for '--seeds': 0 is not in the range x>=1"),
        (("--folds", 50), "Use more rows, or fewer folds"),
        (("--seed", -1), "Invalid value for '--seed': -1 is not in the range x>=0"),
        (("--colour", "red"), "No such option"),
    ],
)
def test_options_that_make_no_sense_are_refused(world, tmp_path, options, said):
    words = ("compare", world.manifest, "--backbone", world.backbone, "--store", world.store, "-o", tmp_path / "run")
    assert_refused(faceprobe(*words, *options), said)
    assert not os.listdir(tmp_path)


def test_head_that_cannot_learn_a_task_is_refused(world, tmp_path):
    words = ("train", world.manifest, "--backbone", world.backbone, "--store", world.store, "-o", tmp_path / "bundle")
    assert_refused(faceprobe(*words, "--head", "ridge", "--task", "gender"), 'head "ridge" cannot learn gender')
    assert not os.listdir(tmp_path)


# outputs


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("out.txt", "expected a name ending in .csv or "),
        ("out", "expected a name ending in .csv or "),
        ("absent/out.csv", "there is no folder"),
        ("folder.csv", "it is a folder"),
    ],
)
@pytest.mark.parametrize("action", ["index", "score"])
def test_output_that_cannot_be_written_is_refused_before_the_work(world, tmp_path, monkeypatch, action, name, said):
    monkeypatch.setattr("data.manifest.scan_images", lambda folder: pytest.fail("began to work"))
    monkeypatch.setattr("data.readers.files.scan_images", lambda folder: pytest.fail("began to work"))
    (tmp_path / "folder.csv").mkdir()
    bundle = ("--bundle", world.bundle) if action == "score" else ()
    assert_refused(faceprobe(action, world.faces, *bundle, "-o", tmp_path / name), said)
    assert os.listdir(tmp_path) == ["folder.csv"]


def test_bundle_does_not_replace_what_is_no_bundle(world):
    before = sorted(os.listdir(world.faces))
    words = ("train", world.manifest, "--backbone", world.backbone, "--store", world.store, "--head", "linear")
    done = faceprobe(*words, "--task", "gender", "-o", world.faces)
    assert_refused(done, "choose another place")
    assert sorted(os.listdir(world.faces)) == before


# bundles


@pytest.mark.parametrize("name", ["README.md", "bundle.json", "heads.safetensors", "backbone.onnx", "SHA256SUMS"])
def test_bundle_with_one_changed_byte_is_refused(world, tmp_path, name):
    bundle = tmp_path / "bundle"
    shutil.copytree(world.bundle, bundle)
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    done = faceprobe("score", world.faces, "--bundle", bundle, "-o", tmp_path / "scores.csv")
    assert_refused(done, "bundle")
    assert os.listdir(tmp_path) == ["bundle"]


@pytest.mark.parametrize("name", ["README.md", "bundle.json", "heads.safetensors", "backbone.onnx", "SHA256SUMS"])
def test_bundle_without_a_file_is_refused(world, tmp_path, name):
    bundle = tmp_path / "bundle"
    shutil.copytree(world.bundle, bundle)
    (bundle / name).unlink()
    done = faceprobe("score", world.faces, "--bundle", bundle, "-o", tmp_path / "scores.csv")
    assert_refused(done, name)
    assert os.listdir(tmp_path) == ["bundle"]


def test_backbone_that_is_not_the_bundles_is_refused_field_by_field(world, tmp_path):
    other = f"{world.backbone},normalization=raw"
    words = ("score", world.faces, "--bundle", world.bundle, "--backbone", other, "-o", tmp_path / "scores.csv")
    assert_refused(faceprobe(*words), "normalization: raw given, the heads were trained on base")
    assert not os.listdir(tmp_path)


def test_ethnicity_of_a_bundle_without_it_is_refused(world, tmp_path):
    words = ("score", world.faces, "--bundle", world.bundle, "--ethnicity", "-o", tmp_path / "scores.csv")
    assert_refused(faceprobe(*words), "the bundle has no head for it: train one with --task ethnicity")
    assert not os.listdir(tmp_path)


# the disk

SMALL_DISK = """
mount -t tmpfs -o size=2m tmpfs "$1" || exit 99
shift
place="$1" elsewhere="$2" python="$3" pipeline="$4" first="$5" all="$6"
"$python" "$pipeline" extract "$first" --backbone pixels --store "$place/store" || exit 98
"$python" "$pipeline" extract "$all" --backbone pixels --store "$place/store"
code=$?
cp -a "$place/store" "$elsewhere"
exit $code
"""


def in_a_mount_namespace() -> list[str]:
    """Return words that run a command where it may mount; what it mounts goes when it ends."""
    for words in (["unshare", "-m"], ["unshare", "-rm"]):
        if (
            shutil.which("unshare")
            and not subprocess.run([*words, "true"], capture_output=True, check=False).returncode
        ):
            return words
    pytest.skip("needs the right to mount a small disk")


def test_full_disk_keeps_whole_shards_and_a_roomier_place_goes_on(tmp_path):
    for i in range(200):  # 16 KB of pixels each
        path = tmp_path / "faces" / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(saved(picture(i, (16, 16)), "PNG"))
    names = [f"faces/{i:03}.png" for i in range(200)]
    for table, part in (("first.csv", names[:40]), ("all.csv", names)):
        (tmp_path / table).write_text("\n".join(["path", *part]) + "\n")
    (tmp_path / "small").mkdir()
    python, pipeline, *_ = command()
    places = [tmp_path / "small", tmp_path / "small", tmp_path, python, pipeline]
    words = [*in_a_mount_namespace(), "sh", "-c", SMALL_DISK, "sh", *map(str, places)]
    done = finish(start([*words, str(tmp_path / "first.csv"), str(tmp_path / "all.csv")]))
    if done.code == 99:
        pytest.skip("needs the right to mount a small disk")
    assert done.code == 2
    assert done.err.startswith(f"faceprobe: cannot write to {tmp_path / 'small' / 'store'}: No space left on device.")
    assert "Traceback" not in done.err
    store = open_store(tmp_path / "store")
    fingerprint = store.find("pixels").fingerprint
    assert len(store.rows(fingerprint)) == 40
    assert len(store.vectors(fingerprint, store.rows(fingerprint))) == 40
    kinds = sorted(path.suffix for path in (tmp_path / "store" / "embeddings" / fingerprint).iterdir())
    assert kinds == [".json", ".npy", ".parquet"]  # no piece of the second shard
    again = faceprobe("extract", tmp_path / "all.csv", "--backbone", "pixels", "--store", tmp_path / "store")
    assert again.code == 0
    assert "200 images: 40 known, 160 new\n" in again.out
    assert len(store.rows(fingerprint)) == 200
