"""Every file below a folder is found, and every header is read or its reason given."""

import hashlib
import os
import re
import struct
import tempfile
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.errors import ManifestError
from data.images import IMAGE_SUFFIXES, RejectedFile, identify, printable, scan_images, scan_objects
from data.remote import RemotePath
from tests.conftest import DrawImage


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def refuse(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_files_of_all_folders_are_listed_in_order_without_hidden_ones(tmp_path: Path) -> None:
    touch(tmp_path / "b.png", tmp_path / "a" / "z.jpg", tmp_path / "a" / "deep" / "notes.txt", tmp_path / "a.jpg")
    touch(tmp_path / ".hidden.jpg", tmp_path / ".cache" / "c.jpg")
    assert scan_images(tmp_path) == ["a.jpg", "a/deep/notes.txt", "a/z.jpg", "b.png"]


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert scan_images(tmp_path) == ["a.jpg"]


def test_links_are_followed_once_and_never_round_in_circles(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root / "sub" / "a.jpg", outside / "b.jpg")
    (root / "sub" / "up").symlink_to(root)
    (root / "to_outside").symlink_to(outside)
    (root / "to_outside_again").symlink_to(outside)
    assert scan_images(root) == ["sub/a.jpg", "to_outside/b.jpg"]


@pytest.mark.parametrize("target", ["nowhere.jpg", "link.jpg"])
def test_a_link_that_leads_nowhere_is_listed_and_rejected_with_a_reason(tmp_path: Path, target: str) -> None:
    (tmp_path / "link.jpg").symlink_to(tmp_path / target)
    assert scan_images(tmp_path) == ["link.jpg"]
    with pytest.raises(RejectedFile, match=r"leads nowhere|Too many levels of symbolic links"):
        identify(tmp_path / "link.jpg")


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=re.escape(f"found no file in {tmp_path}")):
        scan_images(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file.jpg"])
def test_what_is_no_folder_is_named(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "file.jpg")
    with pytest.raises(ManifestError, match=name):
        scan_images(tmp_path / name)


def test_a_folder_without_permission_is_an_error_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "open" / "a.jpg", tmp_path / "closed" / "b.jpg")
    scandir = os.scandir  # permission bits do not stop the superuser, who may run this test
    monkeypatch.setattr(os, "scandir", lambda path: refuse() if path.endswith("closed") else scandir(path))
    with pytest.raises(ManifestError, match=r"closed: Permission denied"):
        scan_images(tmp_path)


def test_names_that_are_not_utf8_are_listed_and_can_be_opened(tmp_path: Path, draw_image: DrawImage) -> None:
    draw_image(tmp_path / "plain.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    [name] = scan_images(tmp_path)
    assert identify(tmp_path / name).format == "PNG"
    assert printable(name) == r"caf\udce9.png"


@given(st.text(st.characters(exclude_categories=[])))
def test_printable_names_can_be_encoded_and_keep_their_line(name: str) -> None:
    shown = printable(name)
    shown.encode("utf-8")
    assert not set(shown) & {"\n", "\r", "\0"}


def test_printable_leaves_names_of_other_scripts_alone() -> None:
    assert printable("写真　1 é.jpg") == "写真　1 é.jpg"


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_header_gives_format_size_and_hash(tmp_path: Path, draw_image: DrawImage, suffix: str) -> None:
    path = draw_image(tmp_path / f"image{suffix}", (31, 17))
    header = identify(path)
    assert (header.width, header.height) == (31, 17)
    assert header.format == {"JPG": "JPEG", "TIF": "TIFF"}.get(suffix[1:].upper(), suffix[1:].upper())
    assert header.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_headers_of_all_pixel_types_are_read(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (5, 4)).save(tmp_path / "image.png")
    assert identify(tmp_path / "image.png").width == 5


def test_cmyk_jpeg_and_animations_are_read(tmp_path: Path) -> None:
    Image.new("CMYK", (5, 4)).save(tmp_path / "a.jpg")
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "green", "blue")]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert [identify(tmp_path / name).format for name in scan_images(tmp_path)] == ["GIF", "JPEG", "WEBP"]


def test_the_content_counts_and_not_the_name(tmp_path: Path, draw_image: DrawImage) -> None:
    draw_image(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert identify(tmp_path / "a.jpg").format == "PNG"


@pytest.mark.parametrize("side", [1, 10_000, 20_000])
def test_one_pixel_and_400_megapixels_are_read_without_a_warning(tmp_path: Path, side: int) -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    end = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data + end)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = identify(tmp_path / "image.png")
    assert (header.width, header.height) == (side, side)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"some words", "not an image"),
        (b"\xff\xd8\xff\xe0\x00\x10JF", "not an image: its header is broken"),
        (b"%PDF-1.4 and more", "not an image"),
    ],
)
def test_what_is_no_image_is_rejected_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "file.jpg").write_bytes(content)
    with pytest.raises(RejectedFile, match=reason):
        identify(tmp_path / "file.jpg")


def test_a_vanished_file_is_rejected_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(RejectedFile, match="vanished"):
        identify(tmp_path / "gone.jpg")


def test_a_file_without_permission_is_rejected_with_a_reason(
    tmp_path: Path, draw_image: DrawImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw_image(tmp_path / "image.png")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(RejectedFile, match="no permission"):
        identify(path)


def test_a_folder_is_rejected_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(RejectedFile, match="cannot be read"):
        identify(tmp_path)


def test_a_failing_disk_is_not_taken_for_a_broken_header(
    tmp_path: Path, draw_image: DrawImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw_image(tmp_path / "image.jpg")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile._open", fail)
    with pytest.raises(RejectedFile, match="cannot be read: Input/output error"):
        identify(path)


@pytest.mark.filterwarnings("ignore:::PIL")
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]), st.data())
def test_damaged_headers_are_read_or_rejected_but_never_crash(image_format: str, data: st.DataObject) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Image.new("RGB", (9, 7)).save(file, image_format)
        size = file.seek(0, os.SEEK_END)
        for _ in range(data.draw(st.integers(1, 6))):
            file.seek(data.draw(st.integers(0, min(size, 120) - 1)))
            file.write(bytes([data.draw(st.integers(0, 255))]))
        file.truncate(data.draw(st.integers(1, size)))
        file.flush()
        try:
            found = identify(file.name).format
        except RejectedFile as rejection:
            found = str(rejection)
    assert found == image_format or "not an image" in found


def put(bucket: str, *names: str) -> RemotePath:
    folder = RemotePath(f"{bucket.removeprefix('s3://')}/photos")
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def test_objects_are_listed_as_files_are(bucket: str) -> None:
    names = ["b.jpg", "a.jpg", "sub/deep/c.jpg", "sub.jpg", "a b#%41+é.jpg"]
    folder = put(bucket, *names, ".hidden.jpg", ".git/x.jpg", "sub/.also/x.jpg")
    (folder / "removed" / "x").write_bytes(b"")
    (folder / "removed" / "x").unlink()  # leaves an object that marks the folder
    found = scan_objects(folder)
    assert [each.name for each in found] == sorted(names)
    assert [each.status.st_size for each in found] == [len(name.encode()) for name in sorted(names)]
    assert not any(each.status.st_mtime_ns % 10**9 for each in found)


def test_folder_without_objects_is_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ManifestError, match=f"found no object in {bucket}/photos"):
        scan_objects(put(bucket))
    monkeypatch.setattr("data.remote.RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ManifestError, match=r"photos cannot be listed; [^\n]*connect"):
        scan_objects(put(bucket))
