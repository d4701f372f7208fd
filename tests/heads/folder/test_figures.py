"""Figures of a folder against brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.labels import AGE_GROUPS, AgeGroups
from heads.folder import figures
from heads.folder.figures import COLUMNS, age_chances, age_spans, class_chances, estimate, folder_figures
from heads.statistics import FEWEST
from tests.heads.folder.scored import no_face, row, table

TEN = AGE_GROUPS["ten"]


def of(found: pd.DataFrame, figure: str) -> pd.DataFrame:
    return found[found["figure"] == figure].set_index("group")


def folder(n: int, *, seed: int = 0) -> pd.DataFrame:
    """Scores of n photographs with one to three faces each."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        for face in range(1, rng.integers(1, 4) + 1):
            age = rng.uniform(0, 80)
            ages = {"age": age, "age_low": max(age - 8, 0), "age_high": age + 8}
            gender = {"gender": rng.choice(["male", "female"]), "gender_proba": rng.uniform(0.5, 1)}
            rows.append(row(f"{number}.jpg", face, **ages, **gender, quality=rng.uniform()))
    return table(*rows)


# ---- counts


def test_every_row_is_counted_once_by_status_and_every_face_by_quality():
    rows = table(row("a", 1, quality=0.1), row("a", 2, quality=1.0), no_face("b"), no_face("c", "unreadable", "broken"))
    found = folder_figures(rows)
    assert of(found, "status")["n"].to_dict() == {"ok": 2, "no_face": 1, "unreadable": 1}
    assert of(found, "photographs")["n"].to_dict() == {"all": 3, "with a face": 1}
    assert of(found, "rows")["n"].to_dict() == {"faces": 2}
    assert of(found, "quality")["n"].tolist() == [1, 0, 0, 1]


def test_folder_without_any_face_has_counts_alone():
    found = folder_figures(table(no_face("a"), no_face("b")))
    assert set(found["figure"]) == {"photographs", "rows", "status"}
    assert tuple(found) == COLUMNS


# ---- chances


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.2, 40)), min_size=1, max_size=20))
@settings(max_examples=25)
def test_chances_of_an_age_are_those_of_the_normal_distribution_that_its_interval_describes(ages):
    rows = pd.DataFrame(ages, columns=["age", "half"])
    rows = rows.assign(age_low=rows["age"] - rows["half"], age_high=rows["age"] + rows["half"])
    found = age_chances(rows, TEN)
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found >= 0).all()
    drawn = np.random.default_rng(0).standard_normal(20_000)
    for chances, (age, half) in zip(found, ages, strict=True):
        groups = np.maximum(TEN.assign(age + 0.5 + drawn * half / 1.6448536), 0)
        assert chances == pytest.approx(np.bincount(groups, minlength=10) / len(drawn), abs=0.015)


def test_nine_of_ten_chances_lie_in_the_interval():
    groups = AgeGroups(("below", "in", "above"), (0, 24, 36))
    rows = pd.DataFrame({"age": [29.5], "age_low": [23.5], "age_high": [35.5]})
    assert age_chances(rows, groups)[0] == pytest.approx([0.05, 0.9, 0.05])


def test_interval_that_the_range_of_ages_cuts_counts_by_its_whole_side():
    groups = AgeGroups(("up to 9", "above"), (0, 10))
    cut = pd.DataFrame({"age": [2.0], "age_low": [0.0], "age_high": [9.5]})
    assert age_chances(cut, groups)[0] == pytest.approx([0.95, 0.05])


@pytest.mark.parametrize("columns", [{}, {"age_low": [np.nan] * 2, "age_high": [np.nan] * 2}])
def test_age_without_an_interval_is_in_its_group_alone(columns):
    rows = pd.DataFrame({"age": [35.0, 34.9], **columns})
    assert (age_chances(rows, TEN).argmax(axis=1) == TEN.assign(rows["age"])).all()
    assert set(age_chances(rows, TEN).ravel()) == {0.0, 1.0}


def test_named_age_group_has_its_probability_and_the_others_the_rest_by_the_interval():
    rows = pd.DataFrame({"age": [30.0, 30.0], "age_low": [24.0, 24.0], "age_high": [36.0, 36.0]})
    by_interval = age_chances(rows, TEN)
    found = age_chances(rows.assign(age_group=["Young Adult", "Adult"], age_group_proba=[0.4, np.nan]), TEN)
    young = TEN.names.index("Young Adult")
    assert found[0, young] == pytest.approx(0.4)
    rest = np.delete(by_interval[0], young)
    assert np.delete(found[0], young) == pytest.approx(0.6 * rest / rest.sum(), abs=1e-6)
    assert found[1] == pytest.approx(by_interval[1], abs=1e-6)


def test_age_groups_of_other_names_are_dealt_by_the_interval():
    rows = pd.DataFrame({"age": [30.0], "age_low": [24.0], "age_high": [36.0]})
    named = rows.assign(age_group="Adult", age_group_proba=0.9)
    five = AGE_GROUPS["five"]
    assert age_chances(named, five) == pytest.approx(age_chances(rows, five), abs=1e-6)


def test_of_two_classes_the_other_has_the_rest():
    rows = pd.DataFrame({"gender": ["male", "female", "female"], "gender_proba": [0.9, 0.6, 1.0]})
    classes, chances = class_chances(rows, "gender")
    assert classes == ["male", "female"]
    assert chances == pytest.approx(np.array([[0.9, 0.1], [0.4, 0.6], [0.0, 1.0]]))


def test_of_more_classes_the_rest_is_dealt_as_often_as_they_are_named():
    rows = pd.DataFrame({"hat": ["a", "b", "b", "b", "c"], "hat_proba": [0.4, 1.0, 1.0, 1.0, 1.0]})
    classes, chances = class_chances(rows, "hat")
    assert classes == ["a", "b", "c"]
    assert chances[0] == pytest.approx([0.4, 0.6 * 4 / 6, 0.6 * 2 / 6])
    assert chances.sum(axis=1) == pytest.approx(1)


def test_class_without_a_probability_is_sure():
    _, chances = class_chances(pd.DataFrame({"gender": ["male"], "gender_proba": [np.nan]}), "gender")
    assert chances[0].tolist() == [1.0, 0.0]


def test_only_class_that_was_named_leaves_room_for_another():
    classes, chances = class_chances(pd.DataFrame({"hat": ["no"], "hat_proba": [0.7]}), "hat")
    assert (classes, chances[0].tolist()) == (["no", "another"], pytest.approx([0.7, 0.3]))


# ---- estimates


def test_expected_counts_are_sums_of_chances_and_shares_their_part():
    rows = folder(60)
    found = folder_figures(rows)
    gender = of(found, "gender")
    female = sum(p if g == "female" else 1 - p for g, p in zip(rows["gender"], rows["gender_proba"], strict=True))
    assert gender["expected"]["female"] == pytest.approx(female)
    assert gender["value"]["female"] == pytest.approx(female / len(rows))
    assert gender["n"].to_dict() == rows["gender"].value_counts().to_dict()
    assert of(found, "mean age")["value"].iloc[0] == pytest.approx(rows["age"].mean())
    ages = of(found, "age group")
    assert ages["expected"].sum() == pytest.approx(len(rows))
    assert ages["n"].tolist() == np.bincount(TEN.assign(rows["age"]), minlength=10).tolist()
    bounded = found.dropna(subset=["low"])
    assert (bounded["low"] <= bounded["value"]).all()
    assert (bounded["value"] <= bounded["high"]).all()


def test_interval_is_that_of_drawing_photographs_and_every_face_in_them():
    rows = folder(40)
    photographs = pd.factorize(rows["path"])[0]
    sure = np.where(rows["gender"] == "female", rows["gender_proba"], 1 - rows["gender_proba"])
    rng = np.random.default_rng(1)
    members = [np.flatnonzero(photographs == number) for number in range(40)]
    shares = []
    for _ in range(4000):
        faces = np.concatenate([members[number] for number in rng.integers(40, size=40)])
        shares.append((rng.random(len(faces)) < sure[faces]).mean())
    _, low, high = estimate(sure[:, None], (sure * (1 - sure))[:, None], photographs)
    assert [low[0], high[0]] == pytest.approx(np.quantile(shares, [0.025, 0.975]), abs=0.02)


def test_faces_of_one_photograph_are_drawn_together():
    values = np.repeat([0.0, 1.0], 100)[:, None]
    together, apart = np.repeat(np.arange(40), 5), np.arange(200)
    widths = [np.diff(estimate(values, 0 * values, groups)[1:, 0])[0] for groups in (together, apart)]
    assert widths[0] > 1.8 * widths[1]


def test_unsure_heads_widen_the_interval():
    values, photographs = np.full((100, 1), 0.5), np.arange(100)
    sure, unsure = (estimate(values, np.full((100, 1), v), photographs)[1:, 0] for v in (0.0, 0.25))
    assert np.diff(sure)[0] == pytest.approx(0)
    assert np.diff(unsure)[0] == pytest.approx(2 * 1.96 * 0.05, rel=0.1)


def test_batches_of_many_photographs_vary_as_they_do(monkeypatch):
    values = np.random.default_rng(0).uniform(size=(3000, 1))
    found = estimate(values, 0 * values, np.arange(3000))
    monkeypatch.setattr(figures, "_BATCHES", 10**9)
    assert np.diff(found[1:, 0]) == pytest.approx(
        np.diff(estimate(values, 0 * values, np.arange(3000))[1:, 0]), rel=0.1
    )


def test_few_photographs_have_no_interval():
    found = folder_figures(folder(FEWEST - 1))
    assert found["low"].isna().all()
    assert found["value"].notna().any()
    assert of(folder_figures(folder(FEWEST)), "gender")["low"].notna().all()


def test_copies_by_bytes_are_one_photograph():
    rows = folder(FEWEST)
    twice = pd.concat([rows, rows.assign(path="copy of " + rows["path"])], ignore_index=True)
    widths = []
    for sha256 in (twice["path"], twice["path"].str.removeprefix("copy of ")):
        gender = of(folder_figures(twice.assign(sha256=sha256)), "gender")
        widths.append((gender["high"] - gender["low"])["male"])
    assert widths[1] > 1.1 * widths[0]


def test_faces_without_an_age_count_where_they_have_a_value():
    rows = folder(30)
    rows.loc[:9, ["age", "age_low", "age_high"]] = np.nan
    found = folder_figures(rows)
    assert of(found, "mean age")["n"].iloc[0] == len(rows) - 10
    assert of(found, "gender")["n"].sum() == len(rows)


def test_ethnicity_is_there_only_if_rows_have_it():
    rows = folder(30)
    assert "ethnicity" not in set(folder_figures(rows)["figure"])
    asked = folder_figures(
        rows.assign(ethnicity=["white", "asian"] * (len(rows) // 2) + ["indian"] * (len(rows) % 2), ethnicity_proba=0.6)
    )
    assert of(asked, "ethnicity")["value"].sum() == pytest.approx(1)


def test_spans_name_the_ages_of_groups():
    assert age_spans(AgeGroups(("a", "b", "c"), (0, 1, 5))) == ["0", "1–4", "5+"]


@settings(max_examples=8)
@given(st.integers(1, 60), st.integers(0, 100))
def test_shares_add_up_to_one_within_bounds(n, seed):
    found = folder_figures(folder(n, seed=seed))
    for figure in ("age group", "gender"):
        own = of(found, figure)
        assert own["value"].sum() == pytest.approx(1)
        assert own["expected"].sum() == pytest.approx(own["n"].sum())
        assert own[["low", "high"]].stack().dropna().between(0, 1).all()
