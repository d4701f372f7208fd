import errno
import os
import stat

import pytest

from data import files
from data.files import PRIVATE, atomic_write, remove_leftovers, write_text


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_file_holds_what_was_written(tmp_path):
    with atomic_write(tmp_path / "new.bin") as file:
        file.write(b"\x00\xff")
    assert (tmp_path / "new.bin").read_bytes() == b"\x00\xff"
    assert os.listdir(tmp_path) == ["new.bin"]


def test_text_is_utf8_with_its_line_ends_as_they_are(tmp_path):
    write_text(tmp_path / "note.txt", "grüße 面\r\nend\n")
    assert (tmp_path / "note.txt").read_bytes() == "grüße 面\r\nend\n".encode()


def test_reader_sees_the_old_file_until_the_block_ends(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def fail_midway(file, error):
    file.write(b"half of the n")
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(error), atomic_write(path) as file:
        fail_midway(file, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_bytes_reach_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", noting_fsync)
    monkeypatch.setattr(files.os, "replace", lambda *paths: steps.append("replace") or replace(*paths))
    write_text(tmp_path / "table.csv", "new")
    assert steps == ["file", "replace", "folder"]


def test_full_disk_names_the_file_asked_for_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_text(tmp_path / "table.csv", "new")
    assert caught.value.filename == str(tmp_path / "table.csv")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "kind"), [("absent/table.csv", FileNotFoundError), ("folder", IsADirectoryError)])
def test_place_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path, name, kind):
    (tmp_path / "folder").mkdir()
    with pytest.raises(kind) as caught:
        write_text(tmp_path / name, "new")
    assert caught.value.filename == str(tmp_path / name)
    assert os.listdir(tmp_path) == ["folder"]


def test_another_error_inside_the_block_keeps_its_own_words(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "table.csv"):
        (tmp_path / "source").read_bytes()
    assert caught.value.filename == str(tmp_path / "source")


def test_permissions_are_the_umasks_unless_private(tmp_path, umask):
    write_text(tmp_path / "public", "")
    write_text(tmp_path / "private", "", mode=PRIVATE)
    assert (mode_of(tmp_path / "public"), mode_of(tmp_path / "private")) == (0o644, 0o600)


def test_private_file_is_never_readable_by_others_not_even_half_written(tmp_path, umask):
    with atomic_write(tmp_path / "private", mode=PRIVATE):
        (temporary,) = tmp_path.iterdir()
        assert mode_of(temporary) == 0o600


def test_longest_name_that_a_file_system_takes_is_written(tmp_path):
    path = tmp_path / ("x" * 255)
    write_text(path, "new")
    assert path.read_text() == "new"


def test_long_name_of_wide_characters_is_written(tmp_path):
    path = tmp_path / ("面" * 85)  # 255 bytes
    write_text(path, "new")
    assert path.read_text() == "new"


def test_temporary_file_is_hidden_from_a_scan_for_images(tmp_path):
    with atomic_write(tmp_path / "face.png"):
        (temporary,) = os.listdir(tmp_path)
    assert temporary.startswith(".")


def test_only_what_a_killed_write_left_is_removed(tmp_path):
    kept = [".a.csv.0123456789ab.txt", ".a.csv.tmp", ".b.csv.0123456789ab.tmp", "a.csv", ".a.csv.0123456789xx.tmp"]
    for name in [*kept, ".a.csv.0123456789ab.tmp", ".a.csv.ba9876543210.tmp"]:
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
