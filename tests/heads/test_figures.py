"""Figures are those of all test rows together; verdicts find what was planted, and nothing where there is nothing."""

import numpy as np
import pandas as pd
import pytest

from heads import metrics
from heads.calibrate import risk_coverage
from heads.figures import FIGURES, VERDICTS, judge
from tests.heads.faces import AGE, GENDER

IDS = [f"{row:04}" for row in range(400)]
GROUPS = pd.Series([f"g{row // 2}" for row in range(400)], index=IDS)
AGES = pd.Series(np.random.default_rng(0).uniform(0, 90, 400).round(), index=IDS)
HALF = np.random.default_rng(5).uniform(8, 12, len(IDS))


def ages(head: str, *, seed: int = 0, noise: float = 5, shift: float = 0, rng: int = 1) -> pd.DataFrame:
    """Make up predictions of ages in two folds, with intervals of 8 to 12 years to each side."""
    predicted = AGES + shift + np.random.default_rng([rng, seed]).normal(0, noise, len(AGES))
    said = predicted.to_numpy()
    return frame("age", head, seed, AGES, predicted).assign(low=said - HALF, high=said + HALF)


def genders(head: str, *, seed: int = 0, right: float = 0.9) -> pd.DataFrame:
    """Make up predictions of genders, with confidences."""
    rng = np.random.default_rng(seed)
    y = pd.Series(rng.integers(0, 2, len(IDS)).astype(float), index=IDS)
    predicted = y.where(rng.random(len(IDS)) < right, 1 - y)
    return frame("gender", head, seed, y, predicted).assign(confidence=rng.uniform(0.5, 1, len(IDS)))


def frame(task: str, head: str, seed: int, y: pd.Series, predicted: pd.Series) -> pd.DataFrame:
    names = {"backbone": "-" if head == "dummy" else "net", "head": head, "task": task, "seed": seed}
    rows = {"fold": np.arange(len(IDS)) % 2, "image_id": IDS, "y": y.to_numpy(), "predicted": predicted.to_numpy()}
    nothing = dict.fromkeys(("low", "high", "confidence"), np.nan)
    return pd.DataFrame({**rows, **nothing}).assign(**names).astype({"fold": str})


def judged(*parts: pd.DataFrame, tasks=(AGE,), known: pd.Series | None = None):
    return judge(tasks, pd.concat(parts, ignore_index=True), GROUPS, known)


def row_of(figures: pd.DataFrame, head: str, metric: str) -> pd.Series:
    (_, row), *others = figures[(figures["head"] == head) & (figures["metric"] == metric)].iterrows()
    assert not others
    return row


def test_figure_is_the_mean_over_seeds_of_the_metric_on_all_test_rows():
    parts = [ages("dense", seed=seed) for seed in (0, 1)]
    found = judged(*parts).figures
    assert [*found] == FIGURES
    for name, function in {"mae": metrics.mae, "bias": metrics.bias, "cs5": metrics.cs_at}.items():
        each = [function(part["y"].to_numpy(), part["predicted"].to_numpy()) for part in parts]
        row = row_of(found, "dense", name)
        assert row["value"] == pytest.approx(np.mean(each))
        assert row["low"] < row["value"] < row["high"]
        assert row["n"] == 400


def test_rows_are_joined_by_fold_and_id_whatever_their_order():
    first, second = ages("dense"), ages("linear", noise=6)
    mixed = judged(first, second.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(mixed.figures, judged(first, second).figures)
    pd.testing.assert_frame_equal(mixed.verdicts, judged(first, second).verdicts)


def test_intervals_of_ages_are_measured():
    part = ages("dense")
    found = judged(part).figures
    y, predicted = part["y"].to_numpy(), part["predicted"].to_numpy()
    assert row_of(found, "dense", "coverage")["value"] == pytest.approx(np.mean(np.abs(y - predicted) <= HALF))
    assert row_of(found, "dense", "width")["value"] == pytest.approx(2 * HALF.mean())
    aurc = row_of(found, "dense", "aurc")
    assert aurc["value"] == pytest.approx(risk_coverage(y, predicted, part[["low", "high"]].to_numpy()).aurc)
    assert aurc["low"] < aurc["value"] < aurc["high"]


def test_calibration_error_is_that_of_metrics_for_several_seeds():
    parts = [genders("dense", seed=seed) for seed in (3, 3)]
    found = judged(parts[0], parts[1].assign(seed=4), tasks=[GENDER]).figures
    wrong = (parts[0]["y"] != parts[0]["predicted"]).to_numpy().astype(float)
    wanted = metrics.ece(wrong, parts[0][["confidence"]].to_numpy())  # one class: it is right, or the label is another
    assert row_of(found, "dense", "ece")["value"] == pytest.approx(wanted)


def test_what_was_not_calibrated_has_no_figure():
    found = judged(ages("dense").assign(low=np.nan, high=np.nan)).figures
    assert set(found["metric"]) == {"mae", "cs5", "bias", "balanced_mae"}


def test_gender_is_measured_again_from_14_up_where_ages_are_known():
    part = genders("dense")
    found = judged(part, tasks=[GENDER], known=AGES).figures
    adults = part[part["image_id"].map(AGES) >= 14]
    row = row_of(found, "dense", "accuracy_from_14")
    assert (row["value"], row["n"]) == (pytest.approx((adults["y"] == adults["predicted"]).mean()), len(adults))
    without = judged(part, tasks=[GENDER]).figures
    assert not without["metric"].str.endswith("_from_14").any()


def test_repeats_of_a_split_count_images_once_and_pretend_no_further_certainty():
    once = ages("dense")
    twice = pd.concat([once, once.assign(fold=(once["fold"].astype(int) + 2).astype(str))])
    single, double = (row_of(judged(part).figures, "dense", "mae") for part in (once, twice))
    assert double["n"] == 400
    assert double["low"] == pytest.approx(single["low"])
    assert double["high"] == pytest.approx(single["high"])


def test_every_pair_but_the_dummy_gets_a_verdict_and_a_planted_difference_is_found():
    found = judged(ages("dummy", noise=20), ages("a"), ages("b", rng=2), ages("worse", noise=8, rng=3)).verdicts
    assert [*found] == VERDICTS
    assert set(zip(found["first_head"], found["second_head"], strict=True)) == {
        ("a", "b"),
        ("a", "worse"),
        ("b", "worse"),
    }
    planted = found[(found["first_head"] == "a") & (found["second_head"] == "worse")].iloc[0]
    assert planted["words"].startswith("net a is better than net worse by ")
    assert "years, 95% interval" in planted["words"]
    assert planted["high"] < 0
    assert (found["p_adjusted"] >= found["p"]).all()
    assert set(found["seeds"]) == {1}


def test_heads_that_differ_in_their_luck_alone_are_rarely_called_different():
    called = 0
    for trial in range(20):
        parts = [
            ages(head, seed=seed, rng=10 * trial + number) for number, head in enumerate("ab") for seed in range(3)
        ]
        called += bool((judged(*parts).verdicts["p_adjusted"] < 0.05).any())
    assert called <= 3  # of 20 one is to be expected; four or more by chance once in 60 times
