import numpy as np
import pandas as pd
import pytest

from embedder.report import CHANGES, ExtractReport, Record

MISSING = ("missing", "vanished")
UNREADABLE = ("unreadable", "not an image")


@pytest.fixture
def record():
    """Seven images, of which the last two were not reached; their labels are of a larger table."""
    names = [f"{number}.jpg" for number in range(7)]
    record = Record(pd.DataFrame({"path": [f"/f/{name}" for name in names], "image_id": names}, index=range(20, 27)))
    record.set_known(np.array([0, 3]), np.array([b"a" * 32, b"b" * 31 + b"\0"], "S32"))
    record.set_read(1, b"c" * 32, "moved")
    record.set_read(4, b"d" * 32, "new")
    record.set_failed(4, UNREADABLE)
    record.set_failed(2, MISSING)
    return record


def test_images_have_what_was_noted_of_them_in_input_order(record):
    images = ExtractReport(record).images
    assert images.columns.tolist() == ["image_id", "path", "sha256", "status", "reason", "change"]
    assert images.index.tolist() == [*range(7)]
    assert images["path"].tolist() == [f"/f/{number}.jpg" for number in range(7)]
    contents = [b"a" * 32, b"c" * 32, None, b"b" * 31 + b"\0", b"d" * 32, None, None]
    assert images["sha256"].tolist() == [content.hex() if content else None for content in contents]
    assert images["status"].tolist() == ["ok", "ok", "missing", "ok", "unreadable", "not_reached", "not_reached"]
    assert images["reason"].tolist() == ["", "", "vanished", "", "not an image", "", ""]
    assert images["change"].tolist() == ["known", "moved", "failed", "known", "failed", "", ""]


def test_counts_are_those_of_the_images(record):
    report = ExtractReport(record)
    assert len(report) == len(report.images)
    assert report.statuses == report.images["status"].value_counts().to_dict()
    assert [*report.statuses.values()] == [3, 2, 1, 1]
    counts = report.images["change"].value_counts()
    assert report.changes == {change: counts.get(change, 0) for change in CHANGES}


def test_failures_are_the_rows_of_images_that_are_not_ok(record):
    report = ExtractReport(record)
    pd.testing.assert_frame_equal(report.failures, report.images.iloc[[2, 4]])


def test_report_of_no_images_has_no_rows():
    report = ExtractReport(Record(pd.DataFrame({"image_id": [], "path": []})))
    assert (len(report), report.statuses, sum(report.changes.values())) == (0, {}, 0)
    assert len(report.images) == len(report.failures) == 0
