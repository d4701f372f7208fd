"""The files that are written: who may read them, what they show, and that they are the same every time."""

import stat
from dataclasses import replace

import pytest

from heads.report.run import Run
from heads.report.write import MARKDOWN, PAGE, bundle_page, write_report
from tests.heads.report.small import whole


@pytest.fixture
def with_faces(tmp_path, draw_image):
    """Return a comparison whose images are files."""
    comparison, data, run = whole()
    paths = [str(draw_image(tmp_path / f"{i}.png", seed=i)) for i in range(len(data.rows))]
    frame = data.rows.frame.assign(path=paths)
    return comparison, replace(data, rows=replace(data.rows, frame=frame)), run


def test_images_are_named_only_with_pictures_on_a_page_for_its_owner_alone(tmp_path):
    comparison, data, run = whole()
    frame = data.rows.frame.assign(image_id=[f"face-{i}" for i in range(24)])
    renamed = comparison.predictions["image_id"].map(lambda name: f"face-{name}")
    leakage = comparison.leakage.conflicts.assign(image_id="face-0", other_id="face-1")
    leakage = replace(comparison.leakage, conflicts=leakage)
    comparison = replace(comparison, predictions=comparison.predictions.assign(image_id=renamed), leakage=leakage)
    split = replace(data.split, ids=frame["image_id"].to_numpy(object))
    data = replace(data, rows=replace(data.rows, frame=frame), split=split)
    write_report(tmp_path, comparison, data, run)
    assert "face-" not in (tmp_path / PAGE).read_text("utf-8")
    write_report(tmp_path, comparison, data, run, pictures=True)
    assert "face-" in (tmp_path / PAGE).read_text("utf-8")
    assert stat.S_IMODE((tmp_path / PAGE).stat().st_mode) == 0o600
    assert "face-" not in (tmp_path / MARKDOWN).read_text("utf-8")
    assert "face-" not in bundle_page(comparison, data, run)


def test_pictures_are_shown_only_when_asked_for(tmp_path, with_faces):
    write_report(tmp_path, *with_faces)
    assert "<img" not in (tmp_path / PAGE).read_text("utf-8")
    write_report(tmp_path, *with_faces, pictures=True)
    page = (tmp_path / PAGE).read_text("utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') > 4
    assert "base64" not in (tmp_path / MARKDOWN).read_text("utf-8")


def test_same_run_gives_the_same_bytes(tmp_path, with_faces):
    written = []
    for _ in range(2):
        write_report(tmp_path, *with_faces, pictures=True)
        written.append([(tmp_path / name).read_bytes() for name in (PAGE, MARKDOWN)])
    assert written[0] == written[1]


def test_only_the_date_changes_with_the_date(tmp_path):
    comparison, data, run = whole()
    pages = [bundle_page(comparison, data, replace(run, date=date)) for date in ("2001-02-03", "2002-03-04")]
    assert pages[0] != pages[1]
    assert pages[0].replace("2001-02-03", "2002-03-04") == pages[1]


def test_run_without_places_names_none():
    comparison, data, run = whole()
    named = replace(run, paths={"command": "faceprobe compare secret.csv", "store": "/stores/somebody"})
    assert "somebody" in bundle_page(comparison, data, named)
    bare = Run(run.tasks, run.age_groups, run.backbones, run.seed, run.date)
    assert "/nowhere" not in bundle_page(comparison, data, bare)


def test_page_of_a_bundle_is_not_titled_like_that_of_a_comparison():
    comparison, data, run = whole()
    assert "<h1>faceprobe: age, gender, height, age_group: a bundle of" in bundle_page(comparison, data, run)
