"""Images in archives are read where they are, and nothing else of them is believed."""

import io
import struct
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from data.archives import KEPT_BYTES, _open_now, container_of, is_archive, list_members, read_member
from data.errors import ManifestError
from data.images import RejectedFile

FORMS = ["zip", "tar", "tar.gz", "tgz"]
FILES = {"b.jpg": b"second", "sub/a b.png": b"first" * 100, "sub/é.png": b"third", "notes.txt": b"words"}


def pack(path: Path, files: dict[str, bytes]) -> Path:
    """Write an archive of the kind that its name tells."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in files.items():
            found = tarfile.TarInfo(name)
            found.size = len(content)
            archive.addfile(found, io.BytesIO(content))
    return path


def read(path: object) -> bytes:
    return read_member(str(path), lambda size: None)[1]


@pytest.mark.parametrize("form", FORMS)
def test_members_are_listed_in_the_order_of_the_archive_and_read(tmp_path, form):
    path = pack(tmp_path / f"a.{form}", FILES)
    assert list_members(str(path)) == [*FILES]
    for name in [*FILES, *reversed(FILES)]:
        found, content = read_member(f"{path}!/{name}", lambda size: None)
        assert content == FILES[name]
        assert (found.st_size, found.st_mtime_ns) == (len(content), path.stat().st_mtime_ns)
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("form", FORMS)
def test_any_number_of_threads_may_read(tmp_path, form):
    files = {f"{number}.jpg": bytes([number]) * 10_000 * (number + 1) for number in range(40)}
    path = pack(tmp_path / f"a.{form}", files)
    wrong = []

    def check(names: list[str]) -> None:
        wrong.extend(name for name in names if read(f"{path}!/{name}") != files[name])

    threads = [threading.Thread(target=check, args=([*files][start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("form", FORMS)
def test_folders_hidden_files_and_links_are_passed_over(tmp_path, form):
    path = pack(tmp_path / f"a.{form}", {"./x.jpg": b"x", ".hidden.jpg": b"", "__MACOSX/._x.jpg": b""})
    if form == "zip":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("folder/", b"")
            link = zipfile.ZipInfo("link.jpg")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    else:
        with tarfile.open(path, "w" if form == "tar" else "w:gz") as archive:
            plain = tarfile.TarInfo("./x.jpg")
            plain.size = 1
            archive.addfile(plain, io.BytesIO(b"x"))
            for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
                other = tarfile.TarInfo(f"other{kind.decode()}.jpg")
                other.type, other.linkname = kind, "/etc/passwd"
                archive.addfile(other)
    assert list_members(str(path)) == ["./x.jpg"]
    with pytest.raises(FileNotFoundError):
        read(f"{path}!/link.jpg")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["../../up.jpg", "/etc/root.jpg", "a/../../b.jpg", "..\\up.jpg"])
def test_name_that_leads_out_of_the_archive_is_refused(tmp_path, form, name):
    path = pack(tmp_path / f"a.{form}", {"fine.jpg": b"", name: b""})
    with pytest.raises(ManifestError, match=r"(?s)expected members within the archive; .*do not trust the archive"):
        list_members(str(path))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_there_is_missing(tmp_path, form):
    path = pack(tmp_path / f"a.{form}", FILES)
    for name in (f"{path}!/none.jpg", tmp_path / f"none.{form}!/b.jpg", tmp_path / "x!/b.jpg"):
        with pytest.raises(FileNotFoundError):
            read(name)
    assert read(f"{path}!/b.jpg") == b"second"


@pytest.mark.parametrize("form", FORMS)
def test_size_is_checked_before_anything_is_unpacked(tmp_path, form):
    path = pack(tmp_path / f"a.{form}", {"zeros.jpg": bytes(30 << 20), "after.jpg": b"after"})

    def refuse(size: int) -> None:
        if size > 1 << 20:
            raise RejectedFile(f"{size} bytes")

    with pytest.raises(RejectedFile, match=str(30 << 20)):
        read_member(f"{path}!/zeros.jpg", refuse)
    assert read_member(f"{path}!/after.jpg", refuse)[1] == b"after"


def test_zip_that_lies_about_a_size_gives_no_more_than_it_says(tmp_path):
    path = pack(tmp_path / "a.zip", {"zeros.jpg": bytes(1 << 20)})
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    assert struct.unpack_from("<I", content, place) == (1 << 20,)
    struct.pack_into("<I", content, place, 100)
    path.write_bytes(content)
    with pytest.raises(RejectedFile, match="Bad CRC-32"):
        read(f"{path}!/zeros.jpg")


@pytest.mark.parametrize("form", FORMS)
def test_damaged_archive_is_refused_in_one_line(tmp_path, form):
    path = tmp_path / f"a.{form}"
    path.write_bytes(b"not an archive at all" * 100)
    with pytest.raises(ManifestError, match=r"a\.\S+ is none, or damaged"):
        list_members(str(path))


def test_damaged_member_has_a_reason_and_the_others_are_read(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.jpg": b"aaaa" * 1000, "b.jpg": b"b"})
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(RejectedFile, match="cannot be unpacked"):
        read(f"{path}!/a.jpg")
    assert read(f"{path}!/b.jpg") == b"b"


def test_cut_tar_gives_a_reason_for_what_is_lost(tmp_path):
    path = pack(tmp_path / "a.tar", {"a.jpg": b"a" * 600, "b.jpg": b"b" * 5000})
    assert read(f"{path}!/b.jpg") == b"b" * 5000
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises((RejectedFile, FileNotFoundError)):
        read(f"{path}!/b.jpg")


def test_encrypted_member_has_a_reason(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.jpg": b"a"})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    with pytest.raises(RejectedFile, match="encrypted"):
        read(f"{path}!/a.jpg")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_name_that_is_there_twice_is_listed_once_and_the_last_counts(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"old")
        archive.writestr("a.jpg", b"new")
    assert list_members(str(tmp_path / "a.zip")) == ["a.jpg"]
    assert read(tmp_path / "a.zip!/a.jpg") == b"new"


def test_archive_that_was_replaced_is_read_anew(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.jpg": b"old"})
    assert read(f"{path}!/a.jpg") == b"old"
    pack(path, {"a.jpg": b"other"})
    assert read(f"{path}!/a.jpg") == b"other"


def test_packed_tar_keeps_no_more_than_it_may(tmp_path):
    files = {f"{number}.jpg": bytes(12 << 20) for number in range(10)} | {"last.jpg": b"last"}
    path = pack(tmp_path / "a.tgz", files)
    assert read(f"{path}!/last.jpg") == b"last"
    kept = _open_now(str(path))._kept
    assert 0 < sum(map(len, kept.values())) <= KEPT_BYTES
    assert len(read(f"{path}!/0.jpg")) == 12 << 20


def test_container_is_the_archive_and_a_real_file_wins(tmp_path):
    path = pack(tmp_path / "a.zip", FILES)
    assert container_of(f"{path}!/sub/a b.png") == str(path)
    assert container_of(str(tmp_path / "plain!/x.jpg")) == str(tmp_path / "plain!/x.jpg")
    assert is_archive("A.ZIP")
    assert not is_archive("a.gz")
