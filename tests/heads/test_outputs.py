"""A comparison's files: every table, JSON that any program reads, and images named only in private."""

import json

import numpy as np
import pandas as pd
import pytest

from heads.cell import cells_of
from heads.compare import compare
from heads.outputs import split_before, summary_of, write_comparison


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    """Return a folder with the files of a comparison."""
    path = tmp_path_factory.mktemp("run")
    comparison = compare(cells_of(world.specs, ["ridge"], world.tasks), world.data, path, leakage=True)
    write_comparison(path, comparison, world.data, {})
    return path


def test_tables_are_written_and_images_are_named_in_private_or_in_the_split_alone(world, folder):
    found = {file.name for file in folder.iterdir() if file.is_file()}
    tables = {f"{name}.csv" for name in ("results", "figures", "verdicts", "leakage", "conflicts", "split")}
    assert found == tables | {"summary.json", "split.json"}
    assert (folder / "conflicts.csv").stat().st_mode & 0o777 == 0o600
    names = world.manifest.frame["image_id"]
    for name in found - {"conflicts.csv", "split.csv"}:
        assert not any(each in (folder / name).read_text() for each in names), name


def test_summary_is_json_for_any_program_and_says_what_the_tables_say(world, folder):
    text = (folder / "summary.json").read_text()
    summary = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert summary["seeds"] == [0]
    assert summary["balance"] == "training rows as they are"
    figures = pd.read_csv(folder / "figures.csv")
    np.testing.assert_allclose([each["value"] for each in summary["figures"]], figures["value"], atol=1e-9)
    assert [each["words"] for each in summary["verdicts"]] == pd.read_csv(folder / "verdicts.csv")["words"].tolist()
    assert {each["backbone"] for each in summary["leakage"]["near"]} == {"fake", "other"}
    assert summary["cka"] == [{"first": "fake", "second": "other", "value": pytest.approx(1)}]
    assert summary["test"]["rows"] == len(world.data.test)


def test_summary_without_leakage_says_nothing_of_it(world, folder):
    comparison = compare(cells_of(world.specs[:1], ["ridge"], world.tasks), world.data, folder)
    assert "leakage" not in summary_of(comparison, world.data, {})


def test_split_before_is_known_where_there_was_one(world, folder, tmp_path):
    assert split_before(folder) == world.data.split.hash
    assert split_before(tmp_path) is None
    (tmp_path / "summary.json").write_text("[]")
    assert split_before(tmp_path) is None
