"""Rows joined by content, accounted for, and split so that nothing leaks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import BackboneError, FingerprintMismatch, StoreError
from data.manifest import Manifest
from data.split_file import write_split
from embedder.faces.detect import parse_detector
from embedder.faces.face import Face
from embedder.faces.quality import Quality
from embedder.faces.table import BOX, table_spec, to_row
from embedder.store import IMAGE_COLUMNS, ROW_COLUMNS, open_store, path_key
from heads.dataset import QUALITY, Concatenation, SplitPlan, find_specs, join, make_dataset, split_rows
from heads.tasks import Task
from tests.fakes import FAKE_SPEC, fake_backbone, write_mean_colour_onnx
from tests.heads.conftest import OTHER

AGE = Task("age", "age", "age", tuple(range(101)))
OTHER_SPEC = fake_backbone(**OTHER).spec


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


def content(number: int) -> str:
    """Stand in for the SHA-256 of image `number`."""
    return f"{number:064x}"


def vectors_of(numbers) -> np.ndarray:
    """Make the vectors of images, each recognisable."""
    return np.array([[number + i / 100 for i in range(12)] for number in numbers], dtype=np.float32).reshape(-1, 12)


def add(store, numbers, *, spec=FAKE_SPEC, failed=()):
    """Commit one shard; the images in `failed` without a vector."""
    rows = pd.DataFrame({"sha256": [content(n) for n in [*numbers, *failed]], "face": 0})
    rows["status"] = ["ok"] * len(numbers) + ["no_face"] * len(failed)
    vectors = np.resize(vectors_of(numbers), (len(numbers), *spec.dim)).astype(spec.dtype)
    store.add(spec, rows.assign(reason=""), vectors)


def manifest_of(numbers, **columns) -> Manifest:
    names = [f"{number}.jpg" for number in numbers]
    frame = pd.DataFrame({"image_id": names, "path": [f"/faces/{name}" for name in names]})
    columns = {"sha256": [content(n) for n in numbers], "age": [float(n) for n in numbers], **columns}
    return Manifest(frame.assign(**columns))


# ---- which backbones


def test_backbone_is_found_by_name_or_fingerprint_in_the_order_asked(world):
    fake, other = world.specs
    assert find_specs(world.store, ["other", "fake"]) == [other, fake]
    assert find_specs(world.store, [other.fingerprint]) == [other]


def test_backbone_named_twice_is_compared_once(world):
    assert find_specs(world.store, ["fake", world.specs[0].fingerprint, "fake"]) == world.specs[:1]


def test_two_settings_of_one_backbone_are_told_apart_by_name(store):
    specs = [FAKE_SPEC, fake_backbone(normalization="base").spec]
    for spec in specs:
        add(store, [1, 2], spec=spec)
    found = find_specs(store, [spec.fingerprint for spec in specs])
    assert [spec.fingerprint for spec in found] == [spec.fingerprint for spec in specs]
    assert found[0].name != found[1].name
    assert all(spec.name.startswith("fake") for spec in found)


def test_backbones_joined_by_plus_are_read_side_by_side(world):
    (both,) = find_specs(world.store, ["other+fake"])
    assert (both.name, both.dim) == ("other+fake", (24,))
    rows = join(world.manifest, world.store, [both, *world.specs], [])
    fake, other = (rows.vectors[spec.fingerprint] for spec in world.specs)
    np.testing.assert_array_equal(rows.vectors[both.fingerprint], np.concatenate([other, fake], axis=1))
    assert find_specs(world.store, ["fake+other"])[0].fingerprint != both.fingerprint


def test_pictures_join_vectors_as_numbers_in_a_row(store):
    pixels = fake_backbone(name="pixels", dim=(4, 4), dtype="uint8").spec
    add(store, [1, 2], spec=pixels)
    add(store, [1, 2])
    both = Concatenation((pixels, FAKE_SPEC))
    vectors = join(manifest_of([1, 2]), store, [both], []).vectors[both.fingerprint]
    assert (vectors.shape, vectors.dtype) == ((2, 28), np.float32)


def test_concatenation_of_a_backbone_with_itself_is_refused(world):
    with pytest.raises(BackboneError, match=r"fake\+fake: expected different backbones"):
        find_specs(world.store, ["fake+fake"])


def test_file_whose_name_has_a_plus_is_no_concatenation(world, tmp_path):
    path = write_mean_colour_onnx(tmp_path / "a+b.onnx")
    with pytest.raises(FingerprintMismatch, match=r"holds fake, other: run `extract --backbone .*a\+b"):
        find_specs(world.store, [f"{path},channel_order=RGB,normalization=raw"])


def test_name_that_nobody_knows_is_refused_with_the_names_the_store_holds(world):
    with pytest.raises(BackboneError, match=r"(?s)nobody.*Dlib.*holds fake, other"):
        find_specs(world.store, ["nobody"])


def test_backbone_that_the_store_lacks_is_refused_with_what_to_run(world):
    with pytest.raises(FingerprintMismatch, match="holds fake, other: run `extract --backbone pixels` first"):
        find_specs(world.store, ["pixels"])


# ---- the join


@settings(max_examples=15)  # each example writes to disk
@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(1, 4))
def test_join_is_by_content_whatever_the_order_of_manifest_and_shards(tmp_path_factory, rows, stored, shard):
    store = open_store(tmp_path_factory.mktemp("join") / "store", create=True)
    for start in range(0, 8, shard):
        add(store, stored[start : start + shard])
    joined = join(manifest_of(rows), store, [FAKE_SPEC], [AGE])
    assert joined.frame["image_id"].tolist() == [f"{number}.jpg" for number in rows]
    np.testing.assert_array_equal(joined.vectors[FAKE_SPEC.fingerprint], vectors_of(rows))
    np.testing.assert_array_equal(joined.labels["age"], rows)


def test_row_that_one_backbone_lacks_is_dropped_for_all_and_counted(store):
    add(store, [1, 2, 3, 5], failed=[4])
    add(store, [4, 5, 3, 1], spec=OTHER_SPEC, failed=[6])
    joined = join(manifest_of([6, 5, 4, 3, 2, 1]), store, [FAKE_SPEC, OTHER_SPEC], [AGE])
    assert joined.frame["image_id"].tolist() == ["5.jpg", "3.jpg", "1.jpg"]
    assert joined.frame.index.tolist() == [0, 1, 2]
    for spec in (FAKE_SPEC, OTHER_SPEC):
        np.testing.assert_array_equal(joined.vectors[spec.fingerprint], vectors_of([5, 3, 1]))
    assert joined.dropped == {"not ok in the store for fake": 2, "not ok in the store for other": 2}


def test_copies_share_their_vector(store):
    add(store, [1, 2])
    manifest = manifest_of([1, 2, 3], sha256=[content(1), content(2), content(1)])
    joined = join(manifest, store, [FAKE_SPEC], [AGE])
    np.testing.assert_array_equal(joined.vectors[FAKE_SPEC.fingerprint], vectors_of([1, 2, 1]))


def test_manifest_without_hashes_joins_by_what_the_store_saw_of_the_files(store):
    add(store, [1, 2])
    seen = [(path_key(f"/faces/{n}.jpg"), f"{n}.jpg", 1, 1, content(3 - n)) for n in (1, 2)]
    store.add_images(pd.DataFrame(seen, columns=IMAGE_COLUMNS))
    manifest = manifest_of([1, 2])
    joined = join(Manifest(manifest.frame.drop(columns="sha256")), store, [FAKE_SPEC], [AGE])
    np.testing.assert_array_equal(joined.vectors[FAKE_SPEC.fingerprint], vectors_of([2, 1]))
    assert joined.frame["sha256"].tolist() == [content(2), content(1)]


def test_hash_that_the_manifest_lacks_is_filled_in_and_one_that_it_has_is_kept(store):
    add(store, [1, 2, 9])
    seen = [(path_key(f"/faces/{n}.jpg"), f"{n}.jpg", 1, 1, content(9)) for n in (1, 2)]
    store.add_images(pd.DataFrame(seen, columns=IMAGE_COLUMNS))
    joined = join(manifest_of([1, 2], sha256=[content(1), None]), store, [FAKE_SPEC], [AGE])
    np.testing.assert_array_equal(joined.vectors[FAKE_SPEC.fingerprint], vectors_of([1, 9]))


def test_file_that_was_overwritten_is_what_the_store_saw_last(store):
    add(store, [1, 2])
    seen = [(path_key("/faces/1.jpg"), "1.jpg", 1, mtime, content(n)) for mtime, n in ((5, 1), (6, 2))]
    store.add_images(pd.DataFrame(seen, columns=IMAGE_COLUMNS))
    joined = join(Manifest(manifest_of([1]).frame.drop(columns="sha256")), store, [FAKE_SPEC], [AGE])
    np.testing.assert_array_equal(joined.vectors[FAKE_SPEC.fingerprint], vectors_of([2]))


def test_file_of_equal_name_in_another_folder_is_another_image(store):
    add(store, [1])
    store.add_images(pd.DataFrame([(path_key("/elsewhere/1.jpg"), "1.jpg", 1, 1, content(1))], columns=IMAGE_COLUMNS))
    with pytest.raises(StoreError):
        join(Manifest(manifest_of([1]).frame.drop(columns="sha256")), store, [FAKE_SPEC], [AGE])


def test_manifest_that_the_store_does_not_know_is_refused_with_what_to_do(store):
    add(store, [1, 2])
    with pytest.raises(
        StoreError,
        match=r"no row of the manifest can be used.*of 2 images 2 not ok in the store for fake\. Run `extract`",
    ):
        join(manifest_of([3, 4]), store, [FAKE_SPEC], [AGE])


def test_rows_without_a_usable_label_stay_and_are_counted(store):
    add(store, [1, 2, 3, 4])
    joined = join(manifest_of([1, 2, 3, 4], age=[1, np.nan, 115, 4]), store, [FAKE_SPEC], [AGE])
    np.testing.assert_array_equal(joined.labels["age"], [1, np.nan, np.nan, 4])
    assert joined.left_out == {"age": {"no age label": 1, "age outside 0..100": 1}}


# ---- the split


@given(
    st.lists(st.integers(0, 30), min_size=30, max_size=60),
    st.lists(st.one_of(st.none(), st.integers(0, 25)), min_size=60, max_size=60),
    st.integers(0, 3),
)
def test_copies_and_subjects_stay_on_one_side_and_every_row_is_tested_once(contents, subjects, seed):
    n = len(contents)
    contents = [*contents, *range(100, 140)]  # enough groups of one row for any number of parts
    subjects = [*subjects[:n], *[None] * 40]
    frame = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(len(contents))], "sha256": contents})
    frame["subject_id"] = pd.Series(subjects, dtype=object)
    split = split_rows(frame, {}, SplitPlan(folds=3, seed=seed))
    for key in ("sha256", "subject_id"):
        for fold in range(3):
            roles = pd.Series(split.roles[:, fold]).groupby(frame[key]).nunique()
            assert (roles == 1).all()
    tested = np.concatenate([split.indices(fold)[2] for fold in range(3)])
    assert sorted(tested) == list(range(len(frame)))


def test_split_does_not_depend_on_the_order_of_the_manifest(world):
    manifest = Manifest(world.manifest.frame.sample(frac=1, random_state=0))
    shuffled = make_dataset(manifest, world.store, world.specs, world.tasks, plan=SplitPlan(folds=3))
    assert shuffled.split.hash == world.data.split.hash
    assert shuffled.split.ids.tolist() == manifest.frame["image_id"].tolist()


def test_what_a_plan_keeps_together(world):
    frame = world.data.rows.frame
    known = frame.assign(subject_id=[f"{row // 3}" for row in range(60)])
    for rows, plan, words in [
        (frame, SplitPlan(folds=3), "near copies together"),
        (known, SplitPlan(folds=3), "subjects and copies by bytes together"),
        (known, SplitPlan("near-copy", folds=3), "near copies together"),
        (known, SplitPlan("random", folds=3), "copies and subjects fall apart"),
    ]:
        assert words in split_rows(rows, {}, plan).rule
    holdout = split_rows(frame, {}, SplitPlan(folds=1, repeats=2))
    assert [len(part) for part in holdout.indices(1)] == pytest.approx([36, 12, 12], abs=2)


def test_near_copies_of_any_backbone_stay_on_one_side():
    rows = np.random.default_rng(0).normal(size=(220, 16))
    rows[200:] = rows[:20] + 0.01
    frame = pd.DataFrame({"image_id": [f"{row}.jpg" for row in range(220)], "sha256": range(220)})
    blind = np.random.default_rng(1).normal(size=(220, 16))
    split = split_rows(frame, {"blind": blind, "seeing": rows}, SplitPlan(folds=3))
    np.testing.assert_array_equal(split.roles[:20], split.roles[200:])


def test_a_split_from_a_file_is_used_as_it_is_and_other_rows_are_dropped_with_a_count(world, tmp_path):
    first = world.data.split.select(world.data.split.ids[:50])
    write_split(first, tmp_path / "split.csv")
    plan = SplitPlan(file=tmp_path / "split.csv")
    data = make_dataset(world.manifest, world.store, world.specs, world.tasks, plan=plan)
    assert (data.split.hash, data.split.rule, len(data.rows)) == (first.hash, first.rule, 50)
    assert data.rows.dropped == {"not in the split's file": 10}
    assert data.rows.frame["image_id"].tolist() == data.split.ids.tolist()


# ---- rows of another manifest


def test_test_rows_with_bytes_trained_on_are_left_out(store):
    add(store, range(1, 9))
    rows = join(manifest_of([1, 2, 3]), store, [FAKE_SPEC], [AGE])
    fresh = join(manifest_of([5, 2, 8, 3, 4]), store, [FAKE_SPEC], [AGE], trained_on=rows)
    assert fresh.dropped == {"with the bytes of an image trained on": 2}
    assert fresh.frame["image_id"].tolist() == ["5.jpg", "8.jpg", "4.jpg"]
    assert fresh.frame.index.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(fresh.vectors[FAKE_SPEC.fingerprint], vectors_of([5, 8, 4]))
    np.testing.assert_array_equal(fresh.labels["age"], [5, 8, 4])


def test_test_manifest_of_known_images_alone_is_refused(store):
    add(store, [1, 2, 3])
    rows = join(manifest_of([1, 2, 3]), store, [FAKE_SPEC], [AGE])
    with pytest.raises(StoreError, match="of 2 images 2 with the bytes of an image trained on"):
        join(manifest_of([2, 1]), store, [FAKE_SPEC], [AGE], trained_on=rows)


def test_dataset_tests_on_the_strangers_that_are_no_copies(world):
    assert len(world.data.test) == 15
    assert [len(part) for part in world.data.parts] == [60, 15]


# ---- faces

TABLE = table_spec(parse_detector("hog:400"))
FACES_SPEC = fake_backbone(detector="hog:400", alignment="chip").spec
BOXES = ((0, 0, 100, 100), (200, 0, 280, 80), (300, 0, 360, 60))


def add_faces(store, embedded_faces, *, found=3):
    """Commit what was found in images, and vectors of some of their faces; 0 is the image as a whole."""
    numbers = range(1, found + 1)
    table = [(content(image), face, "ok", "") for image in embedded_faces for face in numbers]
    faces = [Face(box, np.zeros((68, 2), np.float32), 1.0) for _ in embedded_faces for box in BOXES[:found]]
    rows = [to_row(face, Quality(face.size, 200, 0.5, 0.2, 1)) for face in faces]
    store.add(TABLE, pd.DataFrame(table, columns=ROW_COLUMNS), np.array(rows))
    keys = [(image, face) for image, faces in embedded_faces.items() for face in faces]
    vectors = np.array([[image + face / 10] * 12 for image, face in keys], np.float32)
    frame = pd.DataFrame([(content(image), face, "ok", "") for image, face in keys], columns=ROW_COLUMNS)
    store.add(FACES_SPEC, frame, vectors)


def boxes_of(*faces):
    """Columns that point at faces, from 1; None is no annotation."""
    boxes = [[np.nan] * 4 if face is None else BOXES[face - 1] for face in faces]
    return {f"face_{side}": values for side, values in zip(BOX, zip(*boxes, strict=True), strict=True)}


def joined(store, numbers, **columns):
    rows = join(manifest_of(numbers, **columns), store, [FACES_SPEC], [])
    ids = rows.frame["image_id"].str.removesuffix(".jpg").astype(int)
    return dict(
        zip(ids, rows.vectors[FACES_SPEC.fingerprint][:, 0].astype(float).round(1).tolist(), strict=True)
    ), rows.dropped


def test_image_is_its_lowest_face_the_whole_picture_before_those_found(store):
    add_faces(store, {1: [2, 1, 3], 2: [3, 2], 3: [1, 0]})
    assert joined(store, [3, 2, 1]) == ({3: 3.0, 2: 2.2, 1: 1.1}, {})


def test_image_is_the_face_that_the_manifest_points_at(store):
    add_faces(store, {1: [1, 2, 3], 2: [1, 2, 3], 3: [1, 2, 3]})
    assert joined(store, [1, 2, 3], **boxes_of(3, None, 2)) == ({1: 1.3, 2: 2.1, 3: 3.2}, {})


def test_image_whose_annotated_face_was_not_embedded_or_not_found_is_dropped(store):
    add_faces(store, {1: [1], 2: [1], 3: [1]}, found=2)
    assert joined(store, [1, 2, 3], **boxes_of(2, 3, 1)) == ({3: 3.1}, {"not ok in the store for fake": 2})


def test_copies_of_an_image_may_be_annotated_with_different_faces(store):
    """A photograph of several people, once for each."""
    add_faces(store, {1: [1, 2, 3]})
    manifest = manifest_of([1, 2, 3], sha256=[content(1)] * 3, **boxes_of(1, 2, 3))
    rows = join(manifest, store, [FACES_SPEC], [])
    assert rows.vectors[FACES_SPEC.fingerprint][:, 0].astype(float).round(1).tolist() == [1.1, 1.2, 1.3]


def test_rows_say_how_well_the_face_that_they_are_can_be_seen(store):
    add_faces(store, {1: [1, 2, 3], 2: [3], 3: [0]})
    rows = join(manifest_of([1, 2, 3]), store, [FACES_SPEC], [])
    assert rows.frame[QUALITY].tolist() == ["good, from 0.7", "fair, 0.3 to 0.7", "good, from 0.7"]


def test_nothing_is_said_of_how_faces_can_be_seen_where_no_detector_has_looked(store):
    frame = pd.DataFrame([(content(1), 0, "ok", "")], columns=ROW_COLUMNS)
    store.add(FACES_SPEC, frame, np.ones((1, 12), np.float32))
    assert QUALITY not in join(manifest_of([1]), store, [FACES_SPEC], []).frame


def test_faces_table_is_no_backbone(store):
    add_faces(store, {1: [1]})
    for name in (TABLE.name, TABLE.fingerprint):
        with pytest.raises(BackboneError, match=rf"unknown backbone '{name}'.* holds fake$"):
            find_specs(store, [name])
    assert find_specs(store, ["fake"]) == [FACES_SPEC]
