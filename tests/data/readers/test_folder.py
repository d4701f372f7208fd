"""A folder of images needs no labels."""

from pathlib import Path

from data.readers import folder


def test_rows_have_no_labels(tiny_utkface: Path) -> None:
    manifest, rejected = folder.read(tiny_utkface)
    assert list(manifest.frame.columns) == ["image_id", "path", "sha256", "phash"]
    assert list(rejected.columns) == ["path", "reason"]
    assert rejected.empty
