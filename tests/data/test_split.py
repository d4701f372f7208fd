"""Splits keep groups whole, test every row once, and do not depend on the order of the rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import SplitError
from data.split import (
    TEST,
    TRAIN,
    VALID,
    Grouping,
    Split,
    group_copies,
    group_pairs,
    make_folds,
    make_holdout,
    random_groups,
    strata_of,
    subject_groups,
    union_groups,
)

# Tables of rows: (group, stratum) each, with at least as many groups as parts.
ROWS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=80).map(
    lambda rows: [(100 + part, part % 3) for part in range(10)] + rows
)
SEEDS = st.integers(0, 2**32 - 1)


def ids_of(n: int) -> np.ndarray:
    return np.array([f"{i * 7919 % n}/{i}.jpg" for i in range(n)], dtype=object)


def columns_of(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    groups, strata = np.array(rows).T
    return ids_of(len(rows)), groups, strata


def small_split() -> Split:
    return make_folds(ids_of(40), np.arange(40) // 2, np.arange(40) % 4, seed=3)


@given(ROWS, SEEDS)
def test_no_group_is_on_two_sides_of_a_fold(rows: list[tuple[int, int]], seed: int) -> None:
    ids, groups, strata = columns_of(rows)
    for split in (make_folds(ids, groups, strata, seed=seed), make_holdout(ids, groups, strata, seed=seed)):
        for group in np.unique(groups):
            assert len(np.unique(split.roles[groups == group], axis=0)) == 1


@given(ROWS, st.integers(2, 5), SEEDS)
def test_every_row_is_tested_once_and_has_a_role_in_every_fold(
    rows: list[tuple[int, int]], folds: int, seed: int
) -> None:
    split = make_folds(*columns_of(rows), folds=folds, seed=seed)
    assert ((split.roles == TEST).sum(axis=1) == 1).all()
    for fold in range(folds):
        train, valid, test = split.indices(fold)
        assert sorted([*train, *valid, *test]) == list(range(len(rows)))
        assert min(len(train), len(valid), len(test)) > 0


@given(ROWS, SEEDS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_names_of_groups_matter(rows: list, seed: int, random) -> None:
    ids, groups, strata = columns_of(rows)
    split = make_folds(ids, groups, strata, seed=seed)
    order = random.sample(range(len(rows)), len(rows))
    renamed = [f"group {1000 - group}" for group in groups[order]]
    shuffled = make_folds(ids[order], renamed, strata[order], seed=seed)
    np.testing.assert_array_equal(shuffled.roles, split.roles[order])
    np.testing.assert_array_equal(shuffled.groups, split.groups[order])
    assert shuffled.hash == split.hash


@given(st.lists(st.integers(0, 5), min_size=10, max_size=200), SEEDS)
def test_ungrouped_rows_are_dealt_evenly_in_all_and_by_strata(strata: list[int], seed: int) -> None:
    n = len(strata)
    split = make_folds(ids_of(n), np.arange(n), strata, seed=seed)
    for fold in range(5):
        for role, parts in ((TEST, 2), (VALID, 1), (TRAIN, 7)):
            chosen = split.roles[:, fold] == role
            assert abs(chosen.sum() - n * parts / 10) <= parts
            for stratum in set(strata):
                of_stratum = np.array(strata) == stratum
                assert abs((chosen & of_stratum).sum() - of_stratum.sum() * parts / 10) <= parts


def test_grouped_rows_come_near_the_nominal_sizes() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), rng.geometric(0.2, 400))  # subjects with 1 to about 30 pictures
    strata = rng.integers(0, 20, 400)[groups]
    split = make_folds(ids_of(len(groups)), groups, strata)
    for fold in range(5):
        shares = np.bincount(split.roles[:, fold]) / len(groups)
        np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.02)


def test_small_groups_make_up_for_large_ones() -> None:
    groups = np.concatenate([np.repeat(np.arange(5), 50), np.arange(5, 255)])
    split = make_folds(ids_of(500), groups, np.zeros(500))
    assert [len(split.indices(fold)[2]) for fold in range(5)] == [100] * 5


def test_a_large_group_of_one_stratum_does_not_displace_another_stratum() -> None:
    groups = np.concatenate([np.zeros(30, dtype=int), np.arange(1, 101)])
    strata = np.repeat(["few", "many"], [30, 100])
    split = make_folds(ids_of(130), groups, strata)
    assert [(strata[split.indices(fold)[2]] == "many").sum() for fold in range(5)] == [20] * 5


def test_holdout_is_60_20_20() -> None:
    split = make_holdout(ids_of(100), np.arange(100), np.zeros(100))
    assert split.n_folds == 1
    assert [len(rows) for rows in split.indices(0)] == [60, 20, 20]


def test_another_seed_gives_another_split() -> None:
    first, second = (make_folds(ids_of(100), np.arange(100), np.zeros(100), seed=seed) for seed in (0, 1))
    assert first.hash != second.hash


def test_the_split_of_a_seed_stays_the_same_forever() -> None:
    assert small_split().hash == "78d63a0a4c4b22ef770a7df64ff265bb5213624eef021026f2b2b142bafd64c2"


def test_the_hash_changes_with_a_role() -> None:
    split = small_split()
    roles = split.roles.copy()
    roles[split.groups == split.groups[0], 0] = VALID if roles[0, 0] != VALID else TRAIN
    assert Split(split.ids, split.groups, roles, split.rule).hash != split.hash


@pytest.mark.parametrize("folds", [1, 0, -3])
def test_fewer_than_two_folds_are_refused(folds: int) -> None:
    with pytest.raises(SplitError, match=f"at least 2 folds; found {folds}"):
        make_folds(ids_of(40), np.arange(40), np.zeros(40), folds=folds)


def test_too_few_groups_are_refused_with_their_number() -> None:
    with pytest.raises(SplitError, match="at least 10 groups, one per part; found 9 in 36 rows"):
        make_folds(ids_of(36), np.arange(36) // 4, np.zeros(36))
    with pytest.raises(SplitError, match="at least 5 groups, one per part; found 0 in 0 rows"):
        make_holdout([], [], [])


def test_rows_without_a_group_are_refused() -> None:
    with pytest.raises(SplitError, match="a group for every row"):
        make_folds(ids_of(40), [None, *range(39)], np.zeros(40))


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(SplitError, match=r"each id once; found a\.jpg again"):
        make_folds(["a.jpg", *ids_of(40), "a.jpg"], np.arange(42), np.zeros(42))


def test_equal_hashes_share_a_group_and_missing_ones_do_not() -> None:
    groups = group_copies(["x", "y", None, "x", np.nan])
    assert groups[0] == groups[3]
    assert len(set(groups)) == 4


def test_rows_that_share_any_key_end_in_one_group() -> None:
    hashes = ["x", "x", "y", "z", "w"]
    subjects = ["anna", None, "bert", "anna", None]
    groups = union_groups(hashes, subjects)
    assert groups[0] == groups[1] == groups[3]
    assert len(set(groups)) == 3


@given(st.lists(st.tuples(*[st.none() | st.integers(0, 12)] * 3), min_size=1, max_size=40))
def test_groups_are_exactly_what_chains_of_shared_keys_connect(rows: list[tuple]) -> None:
    expected = list(range(len(rows)))  # the obvious way: merge until nothing changes
    for _ in rows:
        for i, left in enumerate(rows):
            for j, right in enumerate(rows):
                if any(a is not None and a == b for a, b in zip(left, right, strict=True)):
                    expected[i] = expected[j] = min(expected[i], expected[j])
    groups = union_groups(*zip(*rows, strict=True))
    same = groups[:, None] == groups
    np.testing.assert_array_equal(same, np.array(expected)[:, None] == np.array(expected))


def test_strata_are_genders_age_groups_and_ethnicities_as_far_as_known() -> None:
    frame = pd.DataFrame({"age": [1, 30, np.nan, 116], "gender": ["male", "female", "male", None]})
    frame["ethnicity"] = ["asian", None, "white", "black"]
    assert strata_of(frame).tolist() == [
        "male, Baby, asian",
        "female, Adult, unknown",
        "male, unknown, white",
        "unknown, Senior, black",
    ]


def test_a_frame_without_labels_is_one_stratum() -> None:
    assert strata_of(pd.DataFrame({"image_id": ["a", "b"]})).tolist() == ["unknown, unknown, unknown"] * 2


@pytest.mark.parametrize("n", [60, 7000])
def test_parts_are_alike_in_gender_age_and_ethnicity_with_few_rows_and_with_many(n: int) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(0, 90, n), "gender": rng.choice(["male", "female"], n, p=[0.4, 0.6])})
    frame["ethnicity"] = rng.choice(["white", "black", "asian", "indian", "others"], n, p=[0.5, 0.05, 0.2, 0.15, 0.1])
    split = make_folds(ids_of(n), np.arange(n), strata_of(frame))
    for chosen, slack in (
        (frame["gender"] == "female", 2),
        (frame["age"] >= 25, 5),
        (frame["ethnicity"] == "white", 12),
    ):
        tested = [chosen.to_numpy()[split.indices(fold)[2]].sum() for fold in range(5)]
        assert max(tested) - min(tested) <= slack


def test_repeats_deal_anew_from_the_next_seeds() -> None:
    ids, groups, strata = ids_of(60), np.arange(60) // 2, np.arange(60) % 4
    split = make_folds(ids, groups, strata, folds=3, repeats=2, seed=5)
    assert (split.n_folds, split.repeats, split.seed) == (6, 2, 5)
    for repeat in (0, 1):
        once = make_folds(ids, groups, strata, folds=3, seed=5 + repeat)
        np.testing.assert_array_equal(split.roles[:, 3 * repeat : 3 * repeat + 3], once.roles)
    assert "dealt 2 times" in split.rule
    assert make_holdout(ids, groups, strata, repeats=4).n_folds == 4
    with pytest.raises(SplitError, match="at least 1 repeat"):
        make_holdout(ids, groups, strata, repeats=0)


def test_subjects_and_copies_stay_together_whatever_else_is_unknown() -> None:
    frame = pd.DataFrame({"subject_id": ["anna", "bert", "anna", None, None], "sha256": ["x", "y", "z", "y", "w"]})
    grouping = subject_groups(frame)
    groups = grouping.groups
    assert groups[0] == groups[2]
    assert groups[1] == groups[3]
    assert len(set(groups)) == 3
    assert str(grouping) == (
        "subjects and copies by bytes together; 2 rows without a subject count as strangers "
        "(4 rows in 2 groups, the largest of 2)"
    )


@pytest.mark.parametrize("frame", [{"sha256": ["x"]}, {"subject_id": [None], "sha256": ["x"]}])
def test_subjects_that_nobody_knows_are_not_made_up(frame: dict) -> None:
    with pytest.raises(SplitError, match="a column subject_id"):
        subject_groups(pd.DataFrame(frame))


def test_a_random_split_says_that_copies_fall_apart() -> None:
    split = make_folds(ids_of(40), random_groups(40), np.zeros(40))
    assert len(set(split.groups)) == 40
    assert "copies and subjects fall apart" in split.rule
    assert "no rows grouped" in split.rule


def test_pairs_connect_rows_through_others() -> None:
    assert group_pairs(np.array([0, 3]), np.array([3, 1]), 5).tolist() == [0, 0, 1, 0, 2]
    assert Grouping(np.array([0, 0, 1, 0, 2, 2]), "by hand").sizes.tolist() == [3, 2]


def test_ids_that_the_split_holds_are_told_from_others() -> None:
    assert small_split().holds([small_split().ids[3], "w.jpg"]).tolist() == [True, False]


def test_selecting_ids_aligns_rows_by_id() -> None:
    split = small_split()
    chosen = split.select(split.ids[[5, 0, 30]])
    assert chosen.ids.tolist() == split.ids[[5, 0, 30]].tolist()
    np.testing.assert_array_equal(chosen.roles, split.roles[[5, 0, 30]])
    assert (chosen.rule, chosen.seed, chosen.repeats) == (split.rule, split.seed, split.repeats)


def test_selecting_ids_that_are_not_there_names_them() -> None:
    split = small_split()
    with pytest.raises(SplitError, match=r"found 4 that are not in it: w\.jpg, x\.jpg, y\.jpg, \.\.\."):
        split.select([split.ids[0], "w.jpg", "x.jpg", "y.jpg", "z.jpg"])
