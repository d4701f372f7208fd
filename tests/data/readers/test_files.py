"""Every file of a folder is a row or is rejected with a reason."""

import hashlib
import os
from pathlib import Path

import pytest

from data.errors import ManifestError
from data.images import RejectedFile
from data.readers import READERS, files
from data.readers.files import Row, read_files
from tests.conftest import DrawImage


def no_labels(name: str) -> Row:
    return {}


def test_images_become_rows_and_the_rest_is_rejected_in_order(tmp_path: Path, draw_image: DrawImage) -> None:
    image = draw_image(tmp_path / "z" / "b.jpg")
    draw_image(tmp_path / "a.png")
    (tmp_path / "y.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no image")
    manifest, rejected = read_files(tmp_path, no_labels)
    assert manifest.frame["image_id"].tolist() == ["a.png", "z/b.jpg"]
    assert manifest.frame["path"].tolist() == [str(tmp_path / "a.png"), str(image)]
    assert manifest.frame["sha256"].tolist()[1] == hashlib.sha256(image.read_bytes()).hexdigest()
    assert rejected["path"].tolist() == ["notes.txt", "y.jpg"]
    assert rejected["reason"].tolist()[1] == "empty file"


def test_copies_have_equal_hashes(tiny_utkface: Path) -> None:
    manifest, _ = read_files(tiny_utkface, no_labels)
    assert len(manifest) == 24
    assert manifest.frame["sha256"].nunique() == 20


def test_batches_keep_all_files_in_order(tiny_utkface: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = read_files(tiny_utkface, no_labels)
    monkeypatch.setattr(files, "_BATCH", 5)
    batched, _ = read_files(tiny_utkface, no_labels)
    assert batched.frame.equals(whole.frame)


def test_progress_is_told_of_every_file(tiny_utkface: Path) -> None:
    (tiny_utkface / "bad.jpg").write_bytes(b"no image")
    calls: list[tuple[int, int]] = []
    read_files(tiny_utkface, no_labels, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 25) for done in range(1, 26)]


def test_a_file_whose_labels_are_refused_is_rejected_with_that_reason(tiny_utkface: Path) -> None:
    def refuse_the_first(name: str) -> Row:
        if name.startswith("0_"):
            raise RejectedFile("too young")
        return {"age": 30.0}

    manifest, rejected = read_files(tiny_utkface, refuse_the_first)
    assert manifest.frame["age"].tolist() == [30.0] * 23
    assert rejected["reason"].tolist() == ["too young"]


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png", b"Icon\r"])
def test_a_name_that_no_table_can_hold_is_rejected_and_shown_escaped(
    tmp_path: Path, draw_image: DrawImage, name: bytes
) -> None:
    draw_image(tmp_path / "fine.png")
    draw_image(tmp_path / "image.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    manifest, rejected = read_files(tmp_path, no_labels)
    assert manifest.frame["image_id"].tolist() == ["fine.png"]
    assert "rename it" in rejected["reason"].tolist()[0]
    assert rejected["path"].tolist()[0].isprintable()


def test_long_names_of_other_scripts_are_rows(tmp_path: Path, draw_image: DrawImage) -> None:
    name = "é" * 80 + "写真" * 10 + ".png"
    draw_image(tmp_path / name)
    assert read_files(tmp_path, no_labels)[0].frame["image_id"].tolist() == [name]


def test_a_folder_without_one_usable_image_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(
        ManifestError, match=r"found 2 files, none of them usable, the first being a\.jpg \(empty file\)"
    ):
        read_files(tmp_path, no_labels)


@pytest.mark.parametrize("dataset", READERS)
def test_every_dataset_accounts_for_every_file(tiny_utkface: Path, dataset: str) -> None:
    (tiny_utkface / "stray.txt").write_text("no image")
    manifest, rejected = READERS[dataset](tiny_utkface)
    assert len(manifest) == 24
    assert rejected["path"].tolist() == ["stray.txt"]
