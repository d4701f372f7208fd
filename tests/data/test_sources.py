"""Every form in which images can be named, in the order in which they are."""

import io
import os
import sys
from types import SimpleNamespace

import pytest

from data.errors import ManifestError
from data.sources import list_sources
from tests.data.test_archives import pack


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Go to a folder with photos/b.jpg, photos/sub/a.PNG, photos/notes.txt, single.jpg and album.zip."""
    for name in ("photos/b.jpg", "photos/sub/a.PNG", "photos/notes.txt", "single.jpg", "photos/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    pack(tmp_path / "album.zip", {"z.jpg": b"", "in/a.jpg": b"", "notes.txt": b""})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(*sources: str) -> tuple[list[str], list[str], int]:
    """Return ids, paths and how many files are ignored."""
    images, ignored = list_sources(sources)
    return images["image_id"].tolist(), images["path"].tolist(), ignored


def test_folder_alone_gives_names_within_it(place):
    ids, paths, ignored = listed("photos/")
    assert ids == ["b.jpg", "sub/a.PNG"]
    assert paths == [str(place / "photos" / each) for each in ids]
    assert ignored == 1


def test_several_sources_stand_in_their_order_and_say_which_they_are(place):
    ids, paths, ignored = listed("single.jpg", "photos", "album.zip", "gone.jpg", "single.jpg")
    assert ids == [
        *("single.jpg", "photos/b.jpg", "photos/sub/a.PNG"),
        *("album.zip/z.jpg", "album.zip/in/a.jpg", "gone.jpg", "single.jpg"),
    ]
    assert paths[3] == f"{place}/album.zip!/z.jpg"
    assert paths[5] == f"{place}/gone.jpg"
    assert ignored == 2


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("photos/*.jpg", ["photos/b.jpg"]), ("**/*.[jP]*", ["photos/b.jpg", "photos/sub/a.PNG", "single.jpg"])],
)
def test_quoted_pattern_is_sorted(place, pattern, found):
    assert listed(pattern)[0] == found


def test_file_whose_name_looks_like_a_pattern_or_a_list_is_a_file(place):
    for name in ("a[1].jpg", "@a.jpg", "x*.jpg"):
        (place / name).write_bytes(b"")
        assert listed(name) == ([name], [str(place / name)], 0)


@pytest.mark.parametrize("end", [b"\n", b"\0", b"\r\n"])
def test_list_in_a_file_is_taken_as_it_is(place, end):
    (place / "list.txt").write_bytes(end.join([b"single.jpg", b"gone.jpg", b"photos/notes.txt", b"caf\xe9.jpg", b""]))
    ids, paths, _ = listed("@list.txt")
    assert ids == ["single.jpg", "gone.jpg", "photos/notes.txt", "caf\\udce9.jpg"]
    assert os.fsencode(paths[3]) == os.fsencode(place) + b"/caf\xe9.jpg"


def test_names_with_line_ends_can_be_ended_by_nul(place, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"two\nlines.jpg\0single.jpg")))
    ids, paths, _ = listed("-")
    assert ids == ["two\\nlines.jpg", "single.jpg"]
    assert paths[0] == f"{place}/two\nlines.jpg"


def test_manifest_is_read_with_its_own_ids(place):
    (place / "table.csv").write_text("image_id,path\nfirst,single.jpg\n")
    assert listed("table.csv") == (["first"], [str(place / "single.jpg")], 0)


def test_objects_can_be_named_one_by_one_without_asking_the_server():
    assert listed("s3://bucket/a b.jpg")[:2] == (["s3://bucket/a b.jpg"], ["s3://bucket/a b.jpg"])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "No such file or directory"),
        ("photos/*.gif", r"found 0 files like photos/\*.gif"),
        ("photos/*.txt", r"found 1 files like photos/\*.txt, none of them named like one"),
        ("@none.txt", "none.txt: No such file"),
        ("@photos/notes.txt", "expected names of files, one per line; found none in photos/notes.txt"),
        ("empty.zip", "expected images in empty.zip; found 1 files"),
        ("s3://bucket/album.zip", "expected an archive on this machine"),
    ],
)
def test_source_without_images_is_refused_with_what_was_found(place, source, said):
    pack(place / "empty.zip", {"notes.txt": b""})
    with pytest.raises(ManifestError, match=said):
        list_sources([source])


def test_no_source_is_refused():
    with pytest.raises(ManifestError, match="found none"):
        list_sources([])
