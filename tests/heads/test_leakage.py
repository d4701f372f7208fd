"""The leakage meter sees planted copies: what a random split makes of them, and labels of theirs that disagree."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data.split import Split, make_folds
from heads.cell import Cell
from heads.compare import compare
from heads.dataset import Dataset, Rows
from heads.leakage import random_split
from tests.fakes import FAKE_SPEC
from tests.heads.faces import AGE

PEOPLE = 300


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Compare heads on people whose ages no face tells, each there twice: only who has seen the other can know."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(PEOPLE, 12))
    X = np.repeat(people, 2, axis=0) + 0.01 * rng.normal(size=(2 * PEOPLE, 12))
    ages, names = np.repeat(rng.uniform(5, 80, PEOPLE).round(), 2), [f"{row:03}.png" for row in range(2 * PEOPLE)]
    ages[1] = (ages[0] + 40) % 85  # the one pair whose labels disagree
    frame = pd.DataFrame({"image_id": names, "path": names, "sha256": names, "age": ages})
    rows = Rows(frame, {FAKE_SPEC.fingerprint: X.astype(np.float32)}, {"age": ages}, {}, {})
    split = make_folds(names, np.repeat(np.arange(PEOPLE), 2), np.zeros(2 * PEOPLE), folds=3)
    data = Dataset(rows, split)
    cells = [Cell(FAKE_SPEC, head, (AGE,)) for head in ("dummy", "knn", "ridge")]
    folder = tmp_path_factory.mktemp("leakage")
    return SimpleNamespace(data=data, folder=folder, cells=cells, comparison=compare(cells, data, folder, leakage=True))


def test_random_split_flatters_a_head_that_remembers(found):
    comparison = found.comparison
    best = comparison.best_heads.iloc[0]
    mae = comparison.leakage.figures.set_index(["head", "metric"]).loc[(best["head"], "mae")]
    figures = comparison.figures.set_index(["head", "metric"])
    assert mae["grouped"] == pytest.approx(figures.loc[(best["head"], "mae"), "value"])
    knn = compare(found.cells[:2], found.data, found.folder, leakage=True).leakage.figures
    mae = knn.set_index(["head", "metric"]).loc[("knn", "mae")]
    assert mae["random"] < 0.7 * mae["grouped"]


def test_near_copies_are_across_the_random_split_alone(found):
    shares = found.comparison.leakage.near.set_index("split")["share"]
    assert shares["grouped"] < 0.02
    assert 0.4 < shares["random"] < 0.8  # the other one trains in 2 of 3 folds, less what validates
    nearest = found.comparison.leakage.nearest.groupby("split")["similarity"]
    assert nearest.size().tolist() == [2 * PEOPLE] * 2
    alike = nearest.apply(lambda similarity: (similarity > 0.99).mean())
    assert alike["random"] == pytest.approx(shares["random"], abs=0.05)
    assert alike["grouped"] == 0


def test_labels_that_disagree_are_listed(found):
    conflicts = found.comparison.leakage.conflicts
    assert conflicts[["image_id", "other_id", "differs"]].to_numpy().tolist() == [["000.png", "001.png", "age"]]


def test_cells_of_the_random_split_are_kept_as_well(found, monkeypatch):
    monkeypatch.setattr("heads.cell.fit_folds", lambda *args, **options: pytest.fail("a cell was trained again"))
    again = compare(found.cells, found.data, found.folder, leakage=True)
    pd.testing.assert_frame_equal(again.leakage.figures, found.comparison.leakage.figures)


@pytest.mark.parametrize(("folds", "repeats", "wanted"), [(3, 1, 3), (1, 1, 1), (2, 2, 2)])
def test_random_split_has_as_many_folds_of_one_repeat_and_groups_nothing(found, folds, repeats, wanted):
    given = found.data.split
    roles = np.tile(given.roles[:, :1], (1, folds * repeats))
    split = random_split(Dataset(found.data.rows, Split(given.ids, given.groups, roles, "made up", 3, repeats)))
    assert (split.n_folds, split.seed, split.repeats) == (wanted, 3, 1)
    assert len(set(split.groups)) == 2 * PEOPLE
    for fold in range(wanted):
        assert np.bincount(split.roles[:, fold]).tolist() == np.bincount(roles[:, fold]).tolist()
