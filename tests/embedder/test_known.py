import hashlib
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.known import OK, Contents, Files, digests, held_in, keys_of
from embedder.store import open_store, path_key
from tests.stores import PRINT, add, add_images, key

# few values, and zero bytes at the end: what NumPy's strings lose
hashes = st.lists(st.sampled_from([bytes([a]) * b + bytes(32 - b) for a in (0, 1, 255) for b in (0, 5, 31, 32)]))


def as_array(found: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(found), "S32")


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


@given(first=hashes, later=hashes, asked=hashes)
def test_contents_hold_what_a_set_holds(tmp_path_factory, first, later, asked):
    contents = Contents(as_array(first))
    contents.add(later)
    whole = {*first, *later}
    assert [sha256 in contents for sha256 in asked] == [sha256 in whole for sha256 in asked]
    assert contents.holds(as_array(asked)).tolist() == [sha256 in whole for sha256 in asked]
    path = tmp_path_factory.mktemp("contents") / "c.npy"
    contents.save(path)
    assert len(np.load(path)) == len(whole)
    loaded = Contents.load(path)
    assert [sha256 in loaded for sha256 in asked] == [sha256 in whole for sha256 in asked]


def test_contents_take_more_than_is_kept_apart(monkeypatch):
    monkeypatch.setattr("embedder.known._RECENT", 3)
    contents = Contents(np.empty(0, "S32"))
    many = [hashlib.sha256(bytes([n])).digest() for n in range(20)]
    for sha256 in many:
        contents.add([sha256])
    assert contents.holds(as_array(many)).all()
    assert hashlib.sha256(b"other").digest() not in contents


def test_content_that_was_ever_ok_is_not_failed(store):
    add(store, "a", failed=("b", "c"))
    add(store, "b")
    add(store, failed=("a",))
    held = held_in(store, PRINT)
    a, b, c = (bytes.fromhex(key(name)) for name in "abc")
    assert held.failed == {c: ("no_face", "why")}
    assert [sha256 in held.settled for sha256 in (a, b, c)] == [True, True, True]


def test_failed_contents_are_not_settled_where_they_are_to_be_tried_again(store):
    add(store, "a", failed=("b",))
    held = held_in(store, PRINT, retry_failed=True)
    a, b = (bytes.fromhex(key(name)) for name in "ab")
    assert (a in held.settled, b in held.settled) == (True, False)
    held.add({(b, 0): OK})
    assert (b in held.settled, held.failed) == (True, {})


def test_files_are_as_they_were_found_last(store):
    add_images(store, {"x.jpg": "old", "y.jpg": "same"})
    add_images(store, {"x.jpg": "new"})
    files = Files(store)
    x, y, unknown = files.find(keys_of(["/faces/x.jpg", "/faces/y.jpg", "/faces/z.jpg"]))
    assert unknown == -1
    assert files.content(x).hex() == key("new")
    assert files.content(y).hex() == key("same")
    assert [files.paths[place].as_py() for place in files.with_content(files.content(y))] == ["y.jpg"]
    assert len(files.with_content(bytes.fromhex(key("old")))) == 0


def test_files_that_are_gone_are_those_of_the_same_folder(store):
    add_images(store, {"x.jpg": "a", "sub/y.jpg": "b", "z.jpg": "c"})
    files = Files(store)
    listed = np.sort(keys_of(["/faces/x.jpg"]))
    assert sorted(files.gone(listed, ["/faces/"])) == ["sub/y.jpg", "z.jpg"]
    assert list(files.gone(listed, ["/elsewhere/"])) == []


def test_empty_store_knows_nothing(store):
    files = Files(store)
    assert files.find(keys_of(["/faces/x.jpg"])).tolist() == [-1]
    assert len(files.with_content(bytes(32))) == 0


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)))
def test_keys_are_those_of_the_store(names):
    paths = [os.path.join("/faces", name) for name in names]
    keys = keys_of(paths)
    assert [keys[at : at + 1].tobytes().hex() for at in range(len(paths))] == [path_key(path) for path in paths]


def test_digests_are_the_bytes_of_hexadecimal():
    assert digests([key("a"), "00" * 32])[1:].tobytes() == bytes(32)


def test_first_face_that_fails_stands_for_its_content(store):
    held = held_in(store, PRINT)
    a, b = (bytes.fromhex(key(name)) for name in "ab")
    held.add({(a, 2): ("not_aligned", ""), (a, 1): ("no_embedding", ""), (b, 2): OK, (b, 1): ("not_aligned", "")})
    assert held.failed == {a: ("no_embedding", "")}
    assert (a in held.settled, b in held.settled) == (True, True)
