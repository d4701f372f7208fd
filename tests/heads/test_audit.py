"""Near copies are found by any backbone without chaining dense places; what a split leaks is counted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.split import Grouping, make_folds, random_groups
from embedder.backbone import load_backbone
from embedder.preprocess import decode
from heads.audit import (
    BYTES,
    HASH,
    find_conflicts,
    find_near_copies,
    find_neighbours,
    nearest_training_rows,
)


def strangers(n: int, *, numbers: int = 24, seed: int = 0) -> np.ndarray:
    """Embeddings of n people, float32."""
    return np.random.default_rng(seed).normal(size=(n, numbers)).astype(np.float32)


def beside(rows: np.ndarray, *, angle: float, seed: int = 1) -> np.ndarray:
    """Views of the same pictures: rows of the same length, turned by an angle in radians in random directions."""
    noise = np.random.default_rng(seed).normal(size=rows.shape)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    noise -= (noise * unit).sum(axis=1, keepdims=True) * unit
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return (np.cos(angle) * unit + np.sin(angle) * noise).astype(np.float32)


def frame_of(n: int, **columns: object) -> pd.DataFrame:
    ids = [f"{row}.jpg" for row in range(n)]
    return pd.DataFrame({"image_id": ids, "sha256": ids, **columns})


def planted(*, numbers: int = 24, angle: float = 0.25) -> np.ndarray:
    """1,000 strangers, of whom the first 50 come again as the last rows, slightly turned."""
    rows = strangers(1000, numbers=numbers)
    return np.concatenate([rows, beside(rows[:50], angle=angle)])


@pytest.mark.parametrize(("numbers", "angle"), [(8, 0.03), (24, 0.25), (128, 0.5), (512, 0.5)])
def test_views_are_found_and_strangers_are_not_whatever_the_dimensions(numbers: int, angle: float) -> None:
    groups = find_near_copies(frame_of(1050), {"any": planted(numbers=numbers, angle=angle)}).grouping.groups
    found = groups[:50] == groups[1000:]
    others = len(groups) - len(set(groups)) - found.sum()
    assert found.mean() >= 0.98
    assert others <= 0.02 * len(groups)


def test_a_dense_place_is_no_person_but_views_in_it_are_found() -> None:
    infants = beside(np.repeat(strangers(1), 600, axis=0), angle=0.5)  # cosines above 0.75, where one link joins all
    assert np.median(infants @ infants.T) > 0.75
    rows = np.concatenate([strangers(600, seed=3), infants, beside(infants[:40], angle=0.05, seed=4)])
    grouping = find_near_copies(frame_of(len(rows)), {"any": rows}).grouping
    assert (grouping.groups[600:640] == grouping.groups[1200:]).all()
    assert grouping.sizes[0] <= 4


def test_more_views_of_one_picture_than_neighbours_are_looked_at_are_one_group() -> None:
    rows = np.concatenate([strangers(1000), beside(np.repeat(strangers(1, seed=5), 60, axis=0), angle=0.1)])
    groups = find_near_copies(frame_of(1060), {"any": rows}).grouping.groups
    assert len(set(groups[1000:])) == 1


def test_what_any_backbone_finds_counts_whatever_its_scale_and_shape() -> None:
    rows = planted()
    turned = np.random.default_rng(9).permutation(1000)[:50]
    other = np.concatenate([strangers(1000, seed=7), np.zeros((50, 24), np.float32)])
    other[1000:] = beside(other[turned], angle=0.2)
    copies = find_near_copies(frame_of(1050), {"one": 100 * rows, "two": other.reshape(1050, 4, 6)})
    groups = copies.grouping.groups
    assert (groups[:50] == groups[1000:]).mean() >= 0.98
    assert (groups[turned] == groups[1000:]).mean() >= 0.98
    assert "one or two" in copies.rule


def test_copies_by_bytes_do_not_pass_for_a_dense_place() -> None:
    rows = np.concatenate([planted(), np.repeat(strangers(1), 40, axis=0)])
    frame = frame_of(1090)
    frame.loc[1050:, "sha256"] = "0.jpg"
    copies = find_near_copies(frame, {"any": rows})
    assert set(copies.grouping.groups[[0, *range(1050, 1090)]]) == {copies.grouping.groups[1000]}
    np.testing.assert_array_equal(copies.limits["any"][1050:], copies.limits["any"][0])


def test_links_say_what_found_them() -> None:
    frame = frame_of(1050, phash=["00000000000000ff", "00000000000000fe"] + [None] * 1048)
    frame.loc[3, "sha256"] = frame.loc[2, "sha256"]
    copies = find_near_copies(frame, {"any": planted()})
    by = {
        name: list(zip(links["left"], links["right"], strict=True)) for name, links in copies.links.groupby("found_by")
    }
    assert by[BYTES] == [(2, 3)]
    assert by[HASH] == [(0, 1)]
    assert (0, 1000) in by["any"]


def test_a_manifest_without_hashes_and_few_pictures_are_said_to_be_so() -> None:
    copies = find_near_copies(frame_of(99), {"any": strangers(99)})
    assert copies.links.empty
    assert "perceptual" not in copies.rule
    assert "not by embeddings, for which 99 pictures are too few" in copies.rule
    assert str(copies.grouping).endswith("other photographs of a person may be apart (no rows grouped)")


def test_embeddings_that_are_all_the_same_link_nothing() -> None:
    assert find_near_copies(frame_of(200), {"dead": np.ones((200, 8))}).links.empty
    assert find_near_copies(frame_of(200), {"dead": np.zeros((200, 8))}).links.empty


def test_pairs_stand_once_with_their_cosine() -> None:
    rows = planted()
    pairs = find_neighbours(rows).pairs()
    assert not pairs.duplicated(["left", "right"]).any()
    assert (pairs["left"] < pairs["right"]).all()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(pairs["similarity"], (unit[pairs["left"]] * unit[pairs["right"]]).sum(axis=1), atol=1e-5)


def conflicting() -> pd.DataFrame:
    frame = frame_of(6, age=[30, 50, 20, 24, np.nan, 9], gender=["male", "female", "male", "male", "female", None])
    return frame.assign(
        sha256=["a", "a", "b", "b", "c", "c"], ethnicity=["asian", "asian", "white", "black", None, None]
    )


def test_copies_with_labels_that_cannot_both_be_right_are_listed_the_worst_first() -> None:
    table = find_conflicts(conflicting(), find_near_copies(conflicting(), {}))
    assert table[["image_id", "other_id", "differs", "years"]].to_numpy().tolist() == [
        ["0.jpg", "1.jpg", "age, gender", 20],
        ["2.jpg", "3.jpg", "ethnicity", 4],
    ]
    assert table["found_by"].tolist() == [BYTES, BYTES]
    assert table["similarity"].tolist() == [1, 1]


def test_how_many_years_make_a_conflict_is_asked() -> None:
    copies = find_near_copies(conflicting(), {})
    assert find_conflicts(conflicting(), copies, years=3)["differs"].tolist() == ["age, gender", "age, ethnicity"]
    assert find_conflicts(frame_of(6), copies).empty


def test_a_random_split_leaks_planted_identities_and_a_split_by_groups_does_not() -> None:
    people = strangers(400)
    rows = np.concatenate([beside(people, angle=0.2, seed=seed) for seed in range(3)])  # three pictures of everyone
    frame = frame_of(len(rows))
    copies = find_near_copies(frame, {"any": rows})
    shares = {}
    for name, groups in (("random", random_groups(len(rows))), ("grouped", copies.grouping)):
        split = make_folds(frame["image_id"], groups, np.zeros(len(rows)), seed=1)
        nearest = nearest_training_rows(rows, split, copies.limits["any"])
        assert nearest["image_id"].tolist() == [split.ids[row] for fold in range(5) for row in split.indices(fold)[2]]
        shares[name] = nearest["near"].mean()
    assert shares["random"] > 0.85
    assert shares["grouped"] == 0


def test_the_nearest_training_row_is_the_nearest_and_trains() -> None:
    rows, frame = strangers(200), frame_of(200)
    split = make_folds(frame["image_id"], Grouping(np.arange(200), "alone"), np.zeros(200), folds=3)
    nearest = nearest_training_rows(rows, split, np.zeros(200))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for fold, part in nearest.groupby("fold"):
        train, _, test = split.indices(fold)
        cosines = unit[test] @ unit[train].T
        assert part["nearest"].tolist() == split.ids[train[cosines.argmax(axis=1)]].tolist()
        np.testing.assert_allclose(part["similarity"], cosines.max(axis=1), atol=1e-6)
    assert not nearest["near"].any()


def test_views_of_real_faces_are_found_by_a_real_backbone_and_few_strangers_are_linked(
    shared: Path, utkface_dir: Path
) -> None:
    weights = shared / "weights" / "mobilefacenet_arcface.onnx"
    if not weights.exists():
        pytest.skip("needs weights/mobilefacenet_arcface.onnx in `shared`, beside the checkout")
    contents = {path.read_bytes() for path in sorted(utkface_dir.iterdir())[::20]}
    faces = [decode(content) for content in sorted(contents)[:300]]
    views = [np.ascontiguousarray(face[:, ::-1]) for face in faces[:30]]  # which bytes and many hashes cannot see
    with load_backbone(str(weights)) as backbone:
        rows = backbone.embed([*faces, *views])
    groups = find_near_copies(frame_of(330), {"MobileFaceNet": rows}).grouping.groups
    found = groups[:30] == groups[300:]
    assert found.mean() >= 0.9
    assert len(groups) - len(set(groups)) - found.sum() <= 15  # some are of one person: it is no test of strangers
