"""Faces through the whole of an extraction in this process: found once, chosen, cut, embedded, accounted for."""

import shutil
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.errors import BackboneError, DetectorError
from data.manifest import list_images
from embedder import engine as engine_module
from embedder import preprocess
from embedder.extract import extract, is_in_shard
from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.detectors import dlib as dlib_module
from embedder.faces.finder import FinderSettings, load_finder
from embedder.faces.table import as_frame, table_spec
from embedder.report import NOT_REACHED
from embedder.store import open_store
from embedder.upkeep.compact import compact
from embedder.upkeep.forget import forget
from embedder.upkeep.verify import verify
from tests.fakes import Squares, embedded, fake_backbone, looked, picture_of
from tests.stores import content

ONE, TWO, NONE = ((100, 50, 200, 150),), ((20, 20, 140, 140), (200, 100, 260, 160)), ()
PRINT = table_spec(parse_detector("hog:400")).fingerprint


@pytest.fixture(autouse=True)
def _squares(monkeypatch):
    monkeypatch.setattr(dlib_module, "Hog", Squares)


def finder(faces="largest", setting="hog:400", **least):
    return load_finder(FinderSettings(parse_detector(setting), Choice(faces, **least)))


def backbone(template="chip", **changes):
    return fake_backbone(detector=changes.pop("detector", "hog:400"), alignment=template, **changes)


def write(path: Path, picture, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Nobody, one face, two faces, a copy of these, a picture cut short, a small one, and a file that is none."""
    folder = tmp_path / "photos"
    for name, boxes in {"none": NONE, "one": ONE, "two": TWO}.items():
        write(folder / f"{name}.png", picture_of(*boxes))
    shutil.copyfile(folder / "two.png", folder / "two copied.png")
    content = (folder / "one.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    write(folder / "small.png", picture_of(size=(40, 9)))
    (folder / "text.png").write_text("not a picture")
    return folder


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


def run(folder, store, backbones, looking, **options):
    return extract(list_images(folder)[0], backbones, store, finder=looking, **options)


def statuses(report):
    return report.images.set_index("image_id")["status"].to_dict()


EXPECTED = {
    "cut.png": "unreadable",
    "none.png": "no_face",
    "one.png": "ok",
    "small.png": "too_small",
    "text.png": "unreadable",
    "two copied.png": "ok",
    "two.png": "ok",
}


def faces_of(store, spec, report):
    """How many faces of every image are embedded."""
    rows, _ = store.read_all(spec.fingerprint, report.images["sha256"])
    counts = rows.groupby("sha256")["face"].agg(list)
    return {name: counts.get(sha, []) for name, sha in report.images.set_index("image_id")["sha256"].items()}


# ---- what becomes of every picture


@pytest.mark.parametrize(("faces", "numbers"), [("largest", [1]), ("all", [1, 2])])
def test_every_image_has_a_status_and_the_wanted_faces_have_vectors(folder, store, faces, numbers):
    looking, network = finder(faces), backbone()
    report = run(folder, store, [network], looking)
    assert statuses(report) == EXPECTED
    assert sum(report.statuses.values()) == sum(report.changes.values()) == len(report) == 7
    held = faces_of(store, network.spec, report)
    assert (held["one.png"], held["two.png"], held["none.png"]) == ([1], numbers, [])
    assert report.embedded == {PRINT: 3, network.spec.fingerprint: 1 + len(numbers)}
    assert report.failures.set_index("image_id")["reason"]["none.png"] == "hog:400 finds no face in it"


def test_vector_is_that_of_the_square_it_was_cut_from(folder, store):
    network = backbone()
    report = run(folder, store, [network], finder("all"))
    sha = report.images.set_index("image_id")["sha256"]["two.png"]
    _, vectors = store.read_all(network.spec.fingerprint, [sha])
    picture = picture_of(*TWO)
    for (left, top, right, bottom), vector in zip(TWO, vectors, strict=True):
        square = cv2.resize(picture[top:bottom, left:right], (200, 200), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(vector, network.embed([square])[0], atol=0.02)


def test_faces_table_says_where_every_face_is_largest_first(folder, store):
    report = run(folder, store, [backbone()], finder())
    sha = report.images.set_index("image_id")["sha256"]["two.png"]
    rows, found = store.read_all(PRINT, [sha])
    assert rows["face"].tolist() == [1, 2]
    np.testing.assert_allclose(as_frame(found)[["left", "top", "right", "bottom"]], TWO, atol=0.01)
    outcomes = store.rows(PRINT).groupby("status").size().to_dict()
    assert outcomes == {"ok": 3, "no_face": 1, "unreadable": 2, "too_small": 1}


def test_second_run_reads_and_finds_nothing(folder, store, monkeypatch):
    first = run(folder, store, [backbone()], finder("all"))
    monkeypatch.setattr(engine_module, "read_file", lambda path: pytest.fail(f"{path} was read again"))
    again = run(folder, store, [backbone()], finder("all"))
    assert (again.read, again.embedded, again.skipped) == (0, {}, 4)
    columns = ["image_id", "sha256", "status", "reason"]
    pd.testing.assert_frame_equal(again.images[columns], first.images[columns])


def test_copies_in_one_job_are_embedded_once(folder, store):
    network = backbone()
    report = run(folder, store, [network], finder("all"))
    assert report.changes["copy"] == 1
    assert embedded(network) == 3


def test_copy_of_a_picture_without_a_face_has_its_status_too(tmp_path, store, monkeypatch):
    monkeypatch.setattr(engine_module, "PHOTOS_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    for number in range(6):  # in blocks of their own, some of which are read before the first is done
        write(tmp_path / "photos" / f"{number}.png", picture_of())
    report = run(tmp_path / "photos", store, [backbone()], finder())
    assert report.statuses == {"no_face": 6}
    refused = run(tmp_path / "photos", store, [backbone()], finder(min_face=900))
    assert refused.statuses == {"no_face": 6}


def test_copy_of_a_picture_whose_faces_are_refused_has_its_status_too(tmp_path, store, monkeypatch):
    monkeypatch.setattr(engine_module, "PHOTOS_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    for number in range(6):
        write(tmp_path / "photos" / f"{number}.png", picture_of(*ONE))
    report = run(tmp_path / "photos", store, [backbone()], finder(min_face=900))
    assert report.statuses == {"face_too_small": 6}
    again = run(tmp_path / "photos", store, [backbone()], finder(min_face=900))
    assert again.statuses == {"face_too_small": 6}
    assert again.read == 0


# ---- found once


def test_further_backbone_or_alignment_looks_for_nothing_again(folder, store):
    first = finder("all")
    run(folder, store, [backbone()], first)
    assert looked(first) == 4  # a copy may be looked at twice
    for network in (backbone(normalization="base", name="other"), backbone("box"), backbone("arcface, margin 20%")):
        looking = finder("all")
        report = run(folder, store, [network], looking)
        assert looked(looking) == 0
        assert report.embedded == {network.spec.fingerprint: 3}
        assert statuses(report) == EXPECTED


def test_two_backbones_in_one_job_share_what_is_found(folder, store):
    looking, networks = finder("all"), [backbone(), backbone("box")]
    report = run(folder, store, networks, looking)
    assert looked(looking) == 4
    assert [report.embedded[each.spec.fingerprint] for each in networks] == [3, 3]


def test_further_backbone_sees_the_very_same_faces(folder, store, tmp_path):
    """Boxes pass through the store as float32, whether they were found just now or before."""
    later = backbone("eyes, margin -10%")
    run(folder, store, [backbone()], finder("all"))
    run(folder, store, [later], finder("all"))
    fresh = open_store(tmp_path / "fresh", create=True)
    run(folder, fresh, [later], finder("all"))
    kept = {key: value for key, value in content(store).items() if key[0] == later.spec.fingerprint}
    assert kept == {key: value for key, value in content(fresh).items() if key[0] == later.spec.fingerprint}


def test_other_settings_of_the_detector_look_again_into_a_table_of_their_own(folder, store):
    run(folder, store, [backbone()], finder())
    looking = finder(setting="hog:500")
    network = backbone(detector="hog:500")
    run(folder, store, [network], looking)
    assert looked(looking) == 4
    assert sum(spec.holds_faces for spec in store.specs().values()) == 2


# ---- another choice on the same store


def test_all_after_the_largest_embeds_the_others_and_finds_nothing_again(folder, store, tmp_path):
    network = backbone()
    run(folder, store, [network], finder())
    looking = finder("all")
    report = run(folder, store, [network], looking)
    assert looked(looking) == 0
    assert faces_of(store, network.spec, report)["two.png"] == [1, 2]
    whole = open_store(tmp_path / "whole", create=True)
    run(folder, whole, [network], finder("all"))
    assert content(store) == content(whole)
    assert not verify(store.path).damaged


def test_largest_after_all_has_nothing_to_do(folder, store):
    run(folder, store, [backbone()], finder("all"))
    report = run(folder, store, [backbone()], finder())
    assert (report.read, report.embedded) == (0, {})


def test_least_size_refuses_says_why_and_can_be_taken_back(folder, store):
    network = backbone()
    strict = run(folder, store, [network], finder("all", min_face=110))
    assert statuses(strict) == {**EXPECTED, "one.png": "face_too_small"}
    assert faces_of(store, network.spec, strict)["two.png"] == [1]
    reason = strict.failures.set_index("image_id")["reason"]["one.png"]
    assert reason == "the face has size 100, --min-face asks for 110"
    again = run(folder, store, [network], finder("all", min_face=110))
    assert statuses(again) == statuses(strict)
    assert again.read == 0
    looking = finder("all")
    lax = run(folder, store, [network], looking)
    assert statuses(lax) == EXPECTED
    assert faces_of(store, network.spec, lax)["two.png"] == [1, 2]
    assert looked(looking) == 0


def test_stricter_choice_refuses_what_is_embedded_already(folder, store):
    run(folder, store, [backbone()], finder("all"))
    report = run(folder, store, [backbone()], finder("all", min_face=110))
    assert statuses(report) == {**EXPECTED, "one.png": "face_too_small"}
    assert report.read == 0


def test_face_that_is_refused_was_not_skipped_and_cannot_be_retried(folder, store):
    """It is no failure of before: another attempt would end alike."""
    run(folder, store, [backbone()], finder(min_face=110))
    again = run(folder, store, [backbone()], finder(min_face=110))
    assert again.statuses["face_too_small"] == 1
    assert again.skipped == 4
    retried = run(folder, store, [backbone()], finder(min_face=110), retry_failed=True)
    assert retried.skipped == 0
    assert retried.statuses == again.statuses


def test_retried_failures_are_looked_at_again_and_not_written_twice(folder, store):
    run(folder, store, [backbone()], finder())
    before = content(store)
    looking = finder()
    report = run(folder, store, [backbone()], looking, retry_failed=True)
    assert (looked(looking), report.read) == (1, 4)
    assert content(store) == before
    assert len(list(store.path.rglob("*.parquet"))) == 3


# ---- a picture as it is, and photographs


def test_one_image_is_kept_as_a_crop_and_as_a_photograph(folder, store):
    network = backbone()
    declared = extract(list_images(folder)[0], [network], store)
    assert declared.statuses == {"ok": 4, "unreadable": 2, "too_small": 1}  # a crop is taken on trust
    report = run(folder, store, [network], finder("all"))
    assert statuses(report) == EXPECTED
    assert faces_of(store, network.spec, report) == {
        "cut.png": [],
        "none.png": [0],
        "one.png": [0, 1],
        "small.png": [],
        "text.png": [],
        "two copied.png": [0, 1, 2],
        "two.png": [0, 1, 2],
    }
    again = extract(list_images(folder)[0], [network], store)
    assert (again.read, again.statuses) == (0, declared.statuses)


def test_photographs_first_and_crops_afterwards_make_the_same_store(folder, store, tmp_path):
    network, other = backbone(), open_store(tmp_path / "other", create=True)
    run(folder, store, [network], finder("all"))
    extract(list_images(folder)[0], [network], store)
    extract(list_images(folder)[0], [network], other)
    run(folder, other, [network], finder("all"))
    assert content(store) == content(other)


def test_backbone_for_faces_of_another_detector_is_refused_before_any_work(folder, store):
    """Its fingerprint would say that another one found them."""
    for wrong in (backbone(detector="cnn"), fake_backbone()):
        with pytest.raises(
            BackboneError, match=r"fake expects faces of the detector .*: load it with detector=hog:400"
        ):
            run(folder, store, [wrong], finder())
    assert not store.specs()


# ---- what goes wrong


def test_detector_that_fails_ends_the_job_and_what_was_done_is_kept(folder, store, monkeypatch):
    monkeypatch.setattr(engine_module, "PHOTOS_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    write(folder / "z.png", picture_of(*ONE, order="fail"))
    with pytest.raises(DetectorError, match="hog:400 failed on a picture of 400 x 300: RuntimeError: out of order"):
        run(folder, store, [backbone()], finder())
    assert len(store.rows(PRINT)) == 7  # one picture has two faces
    assert not verify(store.path).damaged
    (folder / "z.png").unlink()
    assert statuses(run(folder, store, [backbone()], finder())) == EXPECTED


@pytest.mark.parametrize("part", ["confidence", "landmarks"])
def test_detector_without_finite_numbers_is_a_failure_of_the_detector(folder, store, monkeypatch, part):
    find = Squares.find

    def broken(self, picture):
        faces = find(self, picture)
        nan = {"confidence": np.nan, "landmarks": np.full((68, 2), np.nan, np.float32)}
        return [replace(face, **{part: nan[part]}) for face in faces]

    monkeypatch.setattr(Squares, "find", broken)
    with pytest.raises(DetectorError, match=r"hog:400 .* not finite"):
        run(folder, store, [backbone()], finder())


def test_face_that_cannot_be_aligned_is_a_status_and_the_others_are_embedded(tmp_path, store, monkeypatch):
    find = Squares.find

    def second_has_no_landmarks(self, picture):
        faces = find(self, picture)
        return [*faces[:1], *(replace(face, landmarks=face.landmarks * 0) for face in faces[1:])]

    monkeypatch.setattr(Squares, "find", second_has_no_landmarks)
    write(tmp_path / "photos" / "two.png", picture_of(*TWO))
    network = backbone()
    report = run(tmp_path / "photos", store, [network], finder("all"))
    assert report.statuses == {"ok": 1}
    assert report.embedded == {PRINT: 2, network.spec.fingerprint: 1}
    outcomes = store.rows(network.spec.fingerprint)[["face", "status"]].sort_values("face").to_numpy().tolist()
    assert outcomes == [[1, "ok"], [2, "not_aligned"]]
    again = run(tmp_path / "photos", store, [network], finder("all"))
    assert (again.read, again.statuses) == (0, {"ok": 1})


def test_picture_none_of_whose_faces_can_be_aligned_has_that_status_until_it_is_retried(tmp_path, store, monkeypatch):
    find = Squares.find
    broken = lambda self, picture: [replace(face, landmarks=face.landmarks * 0) for face in find(self, picture)]  # noqa: E731
    monkeypatch.setattr(Squares, "find", broken)
    write(tmp_path / "photos" / "two.png", picture_of(*TWO))
    network = backbone()
    for faces in ("largest", "all"):
        report = run(tmp_path / "photos", store, [network], finder(faces))
        assert report.statuses == {"not_aligned": 1}
        again = run(tmp_path / "photos", store, [network], finder(faces))
        assert (again.read, again.skipped, again.statuses) == (0, 1, {"not_aligned": 1})
    before = content(store)
    retried = run(tmp_path / "photos", store, [network], finder("all"), retry_failed=True)
    assert (retried.read, retried.statuses) == (1, {"not_aligned": 1})
    assert content(store) == before
    box = run(tmp_path / "photos", store, [backbone("box")], finder("all"))
    assert box.statuses == {"ok": 1}


def test_one_backbone_that_cannot_align_makes_the_image_fail_but_not_the_other(tmp_path, store, monkeypatch):
    find = Squares.find
    broken = lambda self, picture: [replace(face, landmarks=face.landmarks * 0) for face in find(self, picture)]  # noqa: E731
    monkeypatch.setattr(Squares, "find", broken)
    write(tmp_path / "photos" / "one.png", picture_of(*ONE))
    networks = [backbone(), backbone("box")]
    report = run(tmp_path / "photos", store, networks, finder("all"))
    assert report.statuses == {"not_aligned": 1}
    assert report.embedded == {PRINT: 1, networks[0].spec.fingerprint: 0, networks[1].spec.fingerprint: 1}


@pytest.mark.parametrize(("bare", "status"), [(0, "not_aligned"), (1, "no_embedding")])
def test_first_face_that_fails_tells_why_now_and_later(tmp_path, store, monkeypatch, bare, status):
    """Of two faces one cannot be aligned and the other gives no numbers."""
    find = Squares.find

    def one_has_no_landmarks(self, picture):
        faces = sorted(find(self, picture), key=lambda face: -face.confidence)
        faces[bare] = replace(faces[bare], landmarks=faces[bare].landmarks * 0)
        return faces

    monkeypatch.setattr(Squares, "find", one_has_no_landmarks)
    network = backbone()
    embed = network._runtime.embed
    monkeypatch.setattr(network._runtime, "embed", lambda faces: embed(faces) * np.nan)
    write(tmp_path / "photos" / "two.png", picture_of(*TWO))
    first = run(tmp_path / "photos", store, [network], finder("all"))
    again = run(tmp_path / "photos", store, [network], finder("all"))
    assert first.statuses == again.statuses == {status: 1}


# ---- much of it


def test_three_hundred_faces_in_one_picture(tmp_path, store):
    boxes = [(x, y, x + 12, y + 12) for x in range(0, 400, 20) for y in range(0, 300, 20)]
    write(tmp_path / "photos" / "crowd.png", picture_of(*boxes))
    looking, network = finder("all"), backbone()
    report = run(tmp_path / "photos", store, [network], looking)
    assert report.embedded == {PRINT: 300, network.spec.fingerprint: 300}
    rows, _ = store.read_all(network.spec.fingerprint, report.images["sha256"])
    assert rows["face"].tolist() == list(range(1, 301))
    again = run(tmp_path / "photos", store, [network], finder("all"))
    assert (again.read, again.embedded) == (0, {})
    one = run(tmp_path / "photos", store, [network], finder(min_face=13))
    assert one.failures["reason"].tolist() == ["of 300 faces the best has size 12, --min-face asks for 13"]


def test_of_large_pictures_one_is_held_at_a_time(tmp_path, store, monkeypatch):
    monkeypatch.setattr(preprocess, "LARGE_PIXELS", 100_000)
    alive: list[weakref.ref] = []
    most = []
    decode = preprocess.decode

    def count(content):
        picture = decode(content).view(Tracked)
        alive.append(weakref.ref(picture))
        most.append(sum(ref() is not None for ref in alive))
        return picture

    monkeypatch.setattr(preprocess, "decode", count)
    for number in range(6):
        write(tmp_path / "photos" / f"{number}.png", picture_of(*ONE, order="wait", seed=number))
    report = run(tmp_path / "photos", store, [backbone()], finder())
    assert report.statuses == {"ok": 6}
    assert most == [1] * 6


class Tracked(np.ndarray):
    """An array that a weak reference can point at."""


def test_seconds_of_finding_leave_out_the_wait_for_other_threads(tmp_path, store):
    """One detector serves all threads, so it cannot take longer than the job."""
    for number in range(8):
        write(tmp_path / "photos" / f"{number}.png", picture_of(*ONE, order="wait", seed=number))
    report = run(tmp_path / "photos", store, [backbone()], finder())
    assert 8 * 0.1 <= report.infer_seconds[PRINT] <= report.seconds
    assert report.decode_seconds <= report.seconds
    assert store.seconds_per_row(PRINT) == pytest.approx(report.infer_seconds[PRINT] / 8)


# ---- how a job is run


def test_parts_of_a_job_make_the_store_of_one(folder, store, tmp_path):
    for part in (1, 2, 3):
        run(folder, store, [backbone()], finder("all"), shard=(part, 3))
    whole = open_store(tmp_path / "whole", create=True)
    run(folder, whole, [backbone()], finder("all"))
    assert content(store) == content(whole)
    assert sum(is_in_shard("one.png", (part, 3)) for part in (1, 2, 3)) == 1


def test_anonymised_store_keeps_faces_and_no_names(folder, store):
    network = backbone()
    run(folder, store, [network], finder("all"), anonymise=True)
    assert set(store.images()["path"]) == {""}
    tables = [pd.read_parquet(path).to_csv() for path in store.path.rglob("*.parquet")]
    assert not any(name in table for table in tables for name in ("two", "none.png", "photos"))
    looking = finder("all")
    report = run(folder, store, [network], looking, anonymise=True)
    assert (report.read, looked(looking)) == (0, 0)
    assert statuses(report) == EXPECTED


def test_interrupt_keeps_what_is_done_and_the_next_run_ends_it(folder, store, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "PHOTOS_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    done = []

    def interrupt(n: int) -> None:
        done.append(n)
        if sum(done) == 3:
            raise KeyboardInterrupt

    report = run(folder, store, [backbone()], finder("all"), on_progress=interrupt)
    assert (report.interrupted, report.statuses[NOT_REACHED]) == (True, 4)
    assert statuses(run(folder, store, [backbone()], finder("all"))) == EXPECTED
    whole = open_store(tmp_path / "whole", create=True)
    run(folder, whole, [backbone()], finder("all"))
    assert content(store) == content(whole)


def test_store_that_is_compacted_meanwhile_costs_another_look_at_most(folder, store, tmp_path, monkeypatch):
    from embedder import extract as extract_module

    monkeypatch.setattr(engine_module, "PHOTOS_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    monkeypatch.setattr(extract_module, "SHARD_ROWS", 1)
    run(folder, store, [backbone()], finder("all"))
    later, whole = backbone("box"), open_store(tmp_path / "whole", create=True)
    looking, done = finder("all"), []
    report = run(folder, store, [later], looking, on_progress=lambda n: done.append(n) or compact(store))
    assert statuses(report) == EXPECTED
    assert looked(looking) > 0  # the shards it knew were gone
    run(folder, whole, [backbone(), later], finder("all"))
    assert content(store) == content(whole)
    assert not verify(store.path).damaged


def test_forgotten_picture_that_another_file_shows_as_well_is_a_twin(tmp_path, store):
    """The rows of their faces are equal, in the table too."""
    for name in ("a.png", "b.bmp"):
        write(tmp_path / "photos" / name, picture_of(*TWO))
    report = run(tmp_path / "photos", store, [backbone()], finder("all"))
    gone, kept = report.images["sha256"]
    assert forget(store, [str(tmp_path / "photos" / "a.png")]).twins == [kept]
    assert all(set(store.rows(print_)["sha256"]) == {kept} for print_ in store.specs())
    assert gone not in store.images()["sha256"].tolist()


def test_no_thread_is_left_behind(folder, store):
    before = threading.active_count()
    run(folder, store, [backbone()], finder("all"))
    assert threading.active_count() <= before + engine_module.READERS


# ---- kinds of pictures


def test_box_is_in_coordinates_of_the_picture_as_it_is_seen(tmp_path, store):
    upright = picture_of((40, 60, 140, 160))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    stored = np.ascontiguousarray(np.rot90(upright, 1))
    write(tmp_path / "photos" / "turned.jpg", stored, exif=exif, quality=95)
    report = run(tmp_path / "photos", store, [backbone()], finder())
    _, rows = store.read_all(PRINT, report.images["sha256"])
    np.testing.assert_allclose(as_frame(rows)[["left", "top", "right", "bottom"]], [(40, 60, 140, 160)], atol=2)


@pytest.mark.parametrize("kind", ["gif", "cmyk", "gray16", "rgba", "palette"])
def test_faces_are_found_in_pictures_of_all_kinds(tmp_path, store, kind):
    picture = Image.fromarray(picture_of(*ONE))
    path = tmp_path / "photos" / {"gif": "a.gif", "cmyk": "a.jpg"}.get(kind, "a.png")
    path.parent.mkdir()
    if kind == "gif":
        picture.save(path, save_all=True, append_images=[Image.fromarray(picture_of(*TWO))], duration=100)
    elif kind == "gray16":
        array = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        Image.fromarray(array).save(path)
    else:
        picture.convert({"cmyk": "CMYK", "rgba": "RGBA", "palette": "P"}[kind]).save(path)
    report = run(tmp_path / "photos", store, [backbone()], finder("all"))
    if kind == "gray16":
        assert report.statuses == {"no_face": 1}  # nothing in it is red
        return
    _, rows = store.read_all(PRINT, report.images["sha256"])
    np.testing.assert_allclose(as_frame(rows)[["left", "top", "right", "bottom"]], ONE, atol=2)


def test_face_cut_by_the_border_is_a_row_that_says_so(tmp_path, store):
    find = Squares.find
    write(tmp_path / "photos" / "a.png", picture_of((0, 0, 60, 120)))

    class Beyond(Squares):
        def find(self, picture):
            (face,) = find(self, picture)
            return [replace(face, box=(-60, 0, 60, 120))]

    dlib_module.Hog = Beyond
    report = run(tmp_path / "photos", store, [backbone("box")], finder())
    assert report.statuses == {"ok": 1}
    _, rows = store.read_all(PRINT, report.images["sha256"])
    (face,) = as_frame(rows).to_dict("records")
    assert (face["left"], face["inside"]) == (-60, pytest.approx(0.5))
    assert face["quality"] < 0.1
    refused = run(tmp_path / "photos", store, [backbone("box")], finder(min_quality=0.2))
    assert refused.statuses == {"low_quality": 1}
