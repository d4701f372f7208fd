"""Splits are read as they were written, with their rule; lists that others publish are read by what they name."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.errors import SplitError
from data.split import TEST, TRAIN, VALID, Split, make_folds
from data.split_file import read_split, write_split

IDS = np.array([f"part1/{i}.jpg" for i in range(40)], dtype=object)
SPLIT = make_folds(IDS, np.arange(40) // 2, np.arange(40) % 4, folds=3, repeats=2, seed=3)


def write_lists(folder: Path, **lists: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_a_written_split_is_read_again_with_its_rule(tmp_path: Path) -> None:
    write_split(SPLIT, tmp_path / "split.csv")
    read = read_split(tmp_path / "split.csv")
    for field in ("ids", "groups", "roles"):
        np.testing.assert_array_equal(getattr(read, field), getattr(SPLIT, field))
    assert (read.hash, read.rule, read.seed, read.repeats) == (SPLIT.hash, SPLIT.rule, 3, 2)


def test_the_file_is_readable_by_people(tmp_path: Path) -> None:
    roles = np.array([[TRAIN, TEST], [TEST, VALID], [VALID, TRAIN]], dtype=np.int8)
    ids, groups = np.array(["NA", "b", "c"], dtype=object), np.array(["NA", "b", "c"], dtype=object)
    write_split(Split(ids, groups, roles, "by hand"), tmp_path / "split.csv")
    expected = "image_id,group,fold_0,fold_1\nNA,NA,train,test\nb,b,test,valid\nc,c,valid,train\n"
    assert (tmp_path / "split.csv").read_text() == expected
    assert json.loads((tmp_path / "split.json").read_text())["rule"] == "by hand"
    assert read_split(tmp_path / "split.csv").ids.tolist() == ["NA", "b", "c"]


def test_a_split_without_its_rule_says_where_it_is_from(tmp_path: Path) -> None:
    write_split(SPLIT, tmp_path / "split.csv")
    (tmp_path / "split.json").unlink()
    read = read_split(tmp_path / "split.csv")
    assert (read.hash, read.rule, read.seed, read.repeats) == (SPLIT.hash, "read from split.csv", None, 1)


def test_a_split_that_was_changed_is_not_given_the_old_rule(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    write_split(SPLIT, path)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(SplitError, match=r"it was changed since\.\nRemove split\.json"):
        read_split(path)
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(SplitError, match=r"the rule of .* in split\.json; it cannot be read"):
        read_split(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,group,fold_0\na,g,train\nb,g,test\n", "each group on one side of a fold; found g on two"),
        ("image_id,group,fold_0\na,g,train\na,h,test\n", "each id once; found a again"),
        ("image_id,group,fold_0\na,g,learn\n", "train, valid or test .* found learn"),
        ("image_id,group,fold_0\na,g,\n", "train, valid or test"),
        ("image_id,group,fold_0\na,g,train\nb,h,test\n", "found none to valid in fold 0"),
        ("image_id,fold\na,0\nb,1\n", "three or more folds, numbered"),
        ("image_id,fold\na,0\nb,1\nc,x\n", "three or more folds, numbered"),
        ("image_id,group\na,g\n", "the columns image_id and fold_0"),
        ("image_id,fold_0\n", "and rows"),
        ("name,split\na,train\n", "the columns image_id and fold_0"),
        ("", "cannot be read"),
    ],
)
def test_a_file_that_is_no_split_is_refused_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(SplitError, match=message):
        read_split(tmp_path / "split.csv")


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"gone\.csv cannot be read"):
        read_split(tmp_path / "gone.csv")


def test_a_table_of_roles_is_a_holdout(tmp_path: Path) -> None:
    (tmp_path / "official.csv").write_text("path,split\na.jpg,train\nb.jpg,val\nc.jpg,test\nd.jpg,train\n")
    split = read_split(tmp_path / "official.csv")
    assert split.ids.tolist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert split.roles[:, 0].tolist() == [TRAIN, VALID, TEST, TRAIN]


def test_numbered_folds_are_each_tested_once_while_the_next_validates(tmp_path: Path) -> None:
    rows = [f"{number}.jpg,{fold}" for number, fold in enumerate((2, 9, 10, 9))]
    (tmp_path / "folds.csv").write_text("image_id,fold\n" + "\n".join(rows) + "\n")
    split = read_split(tmp_path / "folds.csv")
    assert [[rows.tolist() for rows in split.indices(fold)] for fold in range(3)] == [
        [[2], [1, 3], [0]],
        [[0], [2], [1, 3]],
        [[1, 3], [0], [2]],
    ]


def test_lists_name_images_by_id_by_path_or_by_file_name(tmp_path: Path) -> None:
    folder = write_lists(
        tmp_path / "official", train="part1/0.jpg\n\nUTKFace/part1/1.jpg\n", val="2.jpg\n", test="gone.jpg\n3.jpg\n"
    )
    split = read_split(folder, IDS)
    assert dict(zip(split.ids, split.roles[:, 0], strict=True)) == {
        "part1/0.jpg": TRAIN,
        "part1/1.jpg": TRAIN,
        "part1/2.jpg": VALID,
        "part1/3.jpg": TEST,
    }
    assert split.rule == "read from the lists in official"
    assert split.holds(IDS).sum() == 4


def test_lists_that_lack_a_role_are_refused(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "official", train="0.jpg", test="1.jpg")
    with pytest.raises(SplitError, match=r"expected valid\.txt or val\.txt in .*official; found none"):
        read_split(folder)
    write_lists(folder, valid="9.jpg")
    with pytest.raises(SplitError, match="found none to valid in fold 0"):
        read_split(folder, ["a/0.jpg", "a/1.jpg"])


def test_a_name_that_fits_several_images_is_refused(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "official", train="0.jpg", valid="1.jpg", test="2.jpg")
    with pytest.raises(SplitError, match=r"fit one image each; found 0\.jpg to fit several"):
        read_split(folder, ["a/0.jpg", "b/0.jpg", "1.jpg", "2.jpg"])


def test_a_split_of_other_images_is_refused(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "official", train="x.jpg", valid="y.jpg", test="z.jpg")
    with pytest.raises(SplitError, match=r"images of the manifest; found 3 others such as x\.jpg"):
        read_split(folder, IDS)
