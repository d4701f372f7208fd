import os

import numpy as np
import pandas as pd
import pytest

from data.errors import ManifestError
from embedder.changes import MOST_ROOTS, Changes
from embedder.engine import Image
from embedder.known import Files, keys_of
from embedder.store import IMAGE_COLUMNS, open_store, path_key
from tests.stores import key


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


def found(store, contents: dict[str, str], *, size: int = 5, mtime: int = 6) -> None:
    """Tell a store what files hold: image name by absolute path, of which the last two parts are the id."""
    rows = [(path_key(path), "/".join(path.split("/")[-2:]), size, mtime, key(name)) for path, name in contents.items()]
    store.add_images(pd.DataFrame(rows, columns=IMAGE_COLUMNS))


def changes_of(store, paths: list[str], **columns) -> Changes:
    ids = ["/".join(path.split("/")[-2:]) for path in paths]
    images = pd.DataFrame({"image_id": ids, "path": paths, **columns})
    return Changes(images, Files(store), listed=np.sort(keys_of(paths)))


def content(name: str) -> bytes:
    return bytes.fromhex(key(name))


def test_file_of_the_same_path_size_and_mtime_is_unchanged(store):
    found(store, {"/a/f/x.jpg": "x", "/a/f/y.jpg": "y", "/a/f/z.jpg": "z"})
    paths = ["/a/f/new.jpg", "/a/f/z.jpg", "/a/f/y.jpg", "/a/f/x.jpg"]
    changes = changes_of(store, paths, size=[5, 5, 4, 5], mtime_ns=[6, 7, 6, 6])
    positions, contents = changes.unchanged()
    assert positions.tolist() == [3]
    assert contents.tobytes() == content("x")


def test_size_and_mtime_come_from_the_disk_where_no_listing_tells_them(store, tmp_path):
    path = tmp_path / "f" / "x.jpg"
    path.parent.mkdir()
    path.write_bytes(b"12345")
    os.utime(path, ns=(6, 6))
    found(store, {str(path): "x"})
    positions, _ = changes_of(store, [str(path), str(tmp_path / "f" / "gone.jpg")]).unchanged()
    assert positions.tolist() == [0]


def test_images_are_told_apart_by_content(store):
    found(store, {"/a/f/x.jpg": "x", "/a/f/y.jpg": "y", "/b/g/z.jpg": "z"})
    paths = [f"/a/f/{name}.jpg" for name in ("x", "changed", "moved", "copy", "elsewhere", "new", "twice")]
    found(store, {"/a/f/changed.jpg": "old"})
    changes = changes_of(store, paths)
    names = ["x", "now", "y", "x", "z", "new", "new"]
    said = [changes.of(position, content(name)) for position, name in enumerate(names)]
    assert said == ["known", "changed", "moved", "copy", "copy", "new", "copy"]
    assert changes.count_gone() == 1  # y.jpg; of /b it is not known whether it is there


def test_of_too_many_folders_nothing_is_said_that_is_not_known(store):
    paths = [f"/{number}/f/x.jpg" for number in range(MOST_ROOTS + 1)]
    found(store, {"/0/f/gone.jpg": "g"})
    changes = changes_of(store, paths)
    assert changes.count_gone() == 0
    assert changes.of(0, content("g")) == "copy"
    assert changes_of(store, paths[:-1]).count_gone() == 1


@pytest.mark.parametrize(("size", "mtime", "recorded"), [(5, 6, True), (4, 6, False), (5, 7, False)])
def test_file_is_recorded_once_as_it_is(store, size, mtime, recorded):
    found(store, {"/a/f/x.jpg": "x"})
    changes = changes_of(store, ["/a/f/x.jpg", "/a/f/new.jpg"])
    assert changes.is_recorded(Image(0, size, mtime, content("x"))) == recorded
    assert not changes.is_recorded(Image(0, size, mtime, content("y")))
    assert not changes.is_recorded(Image(1, size, mtime, content("x")))


def test_folder_of_all_images_must_be_there(store, tmp_path):
    paths = [str(tmp_path / "drive" / "f" / name) for name in ("1.jpg", "2.jpg")]
    with pytest.raises(ManifestError, match=r"expected images in .*drive/f; it is gone, or empty now"):
        changes_of(store, paths).require_source()
    (tmp_path / "drive" / "f").mkdir(parents=True)
    with pytest.raises(ManifestError, match="gone, or empty"):
        changes_of(store, paths).require_source()
    (tmp_path / "drive" / "f" / "other.jpg").touch()
    changes_of(store, paths).require_source()
