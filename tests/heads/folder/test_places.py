"""Nothing is written over, and no name leads out of a folder."""

import os

import pytest

from heads.folder.places import THERE, WRITTEN, FolderError, place_within, put, require_apart


def test_folder_is_made_for_its_owner_alone(tmp_path):
    made = require_apart(tmp_path / "a" / "b", [str(tmp_path / "photos" / "x.jpg")])
    assert made == (tmp_path / "a" / "b").resolve()
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("folder", ["photos", ".", "photos/trip"])
def test_folder_that_holds_the_photographs_is_refused(tmp_path, folder):
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    with pytest.raises(FolderError, match="holds them"):
        require_apart(tmp_path / folder, [str(tmp_path / "photos" / "trip" / "x.jpg")])


def test_folder_that_holds_the_photographs_by_a_link_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for folder, held in (("link", "photos"), ("photos", "link")):
        with pytest.raises(FolderError, match="holds them"):
            require_apart(tmp_path / folder, [str(tmp_path / held / "x.jpg")])


@pytest.mark.parametrize("folder", ["photos/copies", "photos"])
def test_folder_within_what_was_searched_is_refused(tmp_path, folder):
    (tmp_path / "photos" / "trip").mkdir(parents=True)
    with pytest.raises(FolderError, match="would be scored the next time"):
        require_apart(tmp_path / folder, [], scanned=[tmp_path / "photos"])
    assert not (tmp_path / "photos" / "copies").exists()


def test_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="found the file"):
        require_apart(tmp_path / "file", [])
    with pytest.raises(FolderError, match="Name another place"):
        require_apart(tmp_path / "file" / "below", [])


@pytest.mark.parametrize("name", ["a.jpg", "x/y/a.jpg", "/elsewhere/a.jpg", "s3://bucket/a.jpg", "photos.zip/a.jpg"])
def test_names_keep_their_folders_within_the_folder(tmp_path, name):
    target = place_within(tmp_path.resolve(), name)
    assert target.is_relative_to(tmp_path.resolve())
    assert target.name == "a.jpg"
    assert target.parent.is_dir()


@pytest.mark.parametrize("name", ["../a.jpg", "x/../../a.jpg", "/../a.jpg", "", "/", "."])
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(FolderError, match="leads out"):
        place_within(tmp_path.resolve(), name)


def test_link_in_the_folder_that_leads_out_is_refused(tmp_path):
    top = tmp_path.resolve() / "out"
    top.mkdir()
    (tmp_path / "photos").mkdir()
    (top / "trip").symlink_to(tmp_path / "photos")
    with pytest.raises(FolderError, match="a link in the folder leads out of it"):
        place_within(top, "trip/a.jpg")


def test_what_is_there_stays_as_it_is(tmp_path):
    target = tmp_path / "a.jpg"
    assert put(target, b"one", mtime_ns=10**18) == WRITTEN
    assert target.stat().st_mtime_ns == 10**18
    assert put(target, b"one") == THERE
    with pytest.raises(FolderError, match="another file of that name"):
        put(target, b"two")
    assert target.read_bytes() == b"one"


def test_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    with pytest.raises(FolderError, match="another file of that name"):
        put(tmp_path / "a.jpg", b"one")
    assert not os.path.lexists(tmp_path / "elsewhere.jpg")
