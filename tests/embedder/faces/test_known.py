"""What a store knows of faces: over many shards, written twice, compacted meanwhile, and embedded in part."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from embedder.faces.choice import Choice
from embedder.faces.detect import parse_detector
from embedder.faces.face import Face
from embedder.faces.known import KnownFaces
from embedder.faces.quality import Quality
from embedder.faces.table import column, table_spec, to_row
from embedder.store import ROW_COLUMNS, open_store
from embedder.upkeep.compact import compact
from tests.fakes import FAKE_SPEC

TABLE = table_spec(parse_detector("hog:400"))
PRINT = FAKE_SPEC.fingerprint


def content(name) -> bytes:
    """Stand in for the SHA-256 of a picture; that of "zero" ends in a zero byte, as one of 256 does."""
    digest = hashlib.sha256(name.encode()).digest()
    return digest[:-2] + b"\0\0" if name == "zero" else digest


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


def add_table(store, **sizes):
    """Commit a shard of the table: by picture, the sizes of its faces; none is no face."""
    rows, vectors = [], []
    for name, each in sizes.items():
        for number, size in enumerate(each, 1):
            rows.append((content(name).hex(), number, "ok", ""))
            face = Face((0.0, 0.0, size, size), np.zeros((68, 2), np.float32), size / 100)
            vectors.append(to_row(face, Quality(size, 100, 0.5, 0.2, 1.0)))
        if not each:
            rows.append((content(name).hex(), 0, "no_face", "finds no face in it"))
    store.add(TABLE, pd.DataFrame(rows, columns=ROW_COLUMNS), np.array(vectors))


def add_rows(store, *outcomes):
    """Commit a shard of embeddings: (picture, face, status) each."""
    rows = [(content(name).hex(), face, status, "" if status == "ok" else "why") for name, face, status in outcomes]
    vectors = np.ones((sum(status == "ok" for _, _, status in outcomes), 12), np.float32)
    store.add(FAKE_SPEC, pd.DataFrame(rows, columns=ROW_COLUMNS), vectors)


def known_in(store):
    return KnownFaces(store, TABLE.fingerprint)


def held(store, choice=None, **options):
    """What is embedded of the faces that a choice wants, by default of all."""
    known = known_in(store)
    return known.held(PRINT, known.wanted(choice or Choice("all")), **options)


def sizes_of(known, name):
    rows = known.rows_of(content(name))
    return None if rows is None else column(rows, "size").tolist()


# ---- the table


def test_empty_store_knows_nothing(store):
    known = known_in(store)
    assert (len(known.contents), known.rows_of(content("a"))) == (0, None)
    assert known.wanted(Choice()).tolist() == []
    assert known.refusals(Choice(min_face=10)) == {}
    assert held(store).failed == {}


def test_faces_are_told_by_content_over_several_shards(store):
    add_table(store, a=[90, 40], zero=[70, 60, 50])
    add_table(store, none=[])
    add_table(store, b=[30], c=[20, 10])
    known = known_in(store)
    assert [sizes_of(known, name) for name in ("a", "zero", "none", "b", "c", "other")] == [
        [90, 40],
        [70, 60, 50],
        None,
        [30],
        [20, 10],
        None,
    ]
    assert known.contents.tolist() == sorted(known.contents.tolist())
    assert known.first.sum() == 4
    assert sorted(known.traits["size"].tolist()) == [10, 20, 30, 40, 50, 60, 70, 90]


def test_what_two_jobs_found_at_once_counts_once(store):
    add_table(store, a=[90, 40], b=[30])
    add_table(store, a=[90, 40])
    known = known_in(store)
    assert len(known.faces) == 3
    assert sizes_of(known, "a") == [90, 40]


def test_faces_of_one_picture_may_lie_in_several_shards(store):
    """So they do once some of what two jobs wrote is dropped as repeated."""
    row = {"sha256": content("a").hex(), "status": "ok", "reason": ""}
    for number in (3, 1, 2):
        face = Face((0.0, 0.0, 90.0 - number, 90.0), np.zeros((68, 2), np.float32), 1.0)
        vector = to_row(face, Quality(100 - number, 100, 0.5, 0.2, 1.0))[None]
        store.add(TABLE, pd.DataFrame([{**row, "face": number}])[ROW_COLUMNS], vector)
    assert sizes_of(known_in(store), "a") == [99, 98, 97]


def test_shards_that_compact_replaced_are_no_longer_known(store):
    add_table(store, a=[90, 40])
    add_table(store, b=[30])
    known = known_in(store)
    compact(store)
    assert known.rows_of(content("a")) is None
    assert sizes_of(known_in(store), "a") == [90, 40]


def test_choice_is_made_per_picture(store):
    add_table(store, a=[90, 40], zero=[35, 20])
    known = known_in(store)
    assert sorted(known.traits["size"][known.wanted(Choice())].tolist()) == [35, 90]
    assert sorted(known.traits["size"][known.wanted(Choice("all", min_face=30))].tolist()) == [35, 40, 90]


def test_refusals_are_of_pictures_without_a_wanted_face(store):
    add_table(store, a=[90, 40], zero=[35, 20], none=[])
    refused = known_in(store).refusals(Choice("all", min_face=50))
    assert refused == {content("zero"): ("face_too_small", "of 2 faces the best has size 35, --min-face asks for 50")}
    assert known_in(store).refusals(Choice("all")) == {}


# ---- what is embedded of it


def test_picture_is_settled_once_each_wanted_face_is_embedded(store):
    add_table(store, a=[90, 40], b=[30], zero=[70, 60])
    add_rows(store, ("a", 1, "ok"), ("b", 1, "ok"), ("zero", 1, "ok"), ("zero", 2, "ok"))
    every, largest = held(store), held(store, Choice())
    assert [content(name) in every.settled for name in ("a", "b", "zero")] == [False, True, True]
    assert [content(name) in largest.settled for name in ("a", "b", "zero")] == [True, True, True]


def test_picture_as_a_whole_is_no_face_of_it(store):
    add_table(store, a=[90])
    add_rows(store, ("a", 0, "ok"))
    assert content("a") not in held(store).settled


def test_picture_nobody_has_looked_at_is_not_settled(store):
    add_table(store, a=[90])
    add_rows(store, ("b", 0, "ok"), ("a", 1, "ok"))
    assert content("b") not in held(store).settled


def test_picture_none_of_whose_faces_is_wanted_is_settled(store):
    add_table(store, a=[90])
    assert content("a") in held(store, Choice(min_face=100)).settled


def test_one_face_that_failed_is_no_failure_of_its_picture(store):
    add_table(store, a=[90, 40], zero=[70, 60])
    add_rows(store, ("a", 1, "not_aligned"), ("a", 2, "ok"), ("zero", 1, "not_aligned"), ("zero", 2, "no_embedding"))
    every = held(store)
    assert every.failed == {content("zero"): ("not_aligned", "why")}
    assert content("a") in every.settled
    assert content("zero") in every.settled


def test_failures_are_tried_again_when_asked(store):
    add_table(store, a=[90, 40], b=[50], zero=[70, 60])
    add_rows(store, ("a", 1, "not_aligned"), ("a", 2, "ok"), ("zero", 1, "not_aligned"), ("zero", 2, "not_aligned"))
    add_rows(store, ("b", 0, "crashed"))
    plain, again = held(store), held(store, retry_failed=True)
    assert [content(name) in plain.settled for name in ("a", "b", "zero")] == [True, True, True]
    assert [content(name) in again.settled for name in ("a", "b", "zero")] == [True, False, False]
    assert plain.failed == again.failed == {content("b"): ("crashed", "why"), content("zero"): ("not_aligned", "why")}


def test_failure_of_one_shard_is_made_good_by_another(store):
    add_table(store, a=[90])
    add_rows(store, ("a", 1, "no_embedding"))
    add_rows(store, ("a", 1, "ok"))
    found = held(store)
    assert found.failed == {}
    assert content("a") in found.settled


def test_face_that_another_choice_wants_is_missing_though_one_failed(store):
    add_table(store, a=[90, 40])
    add_rows(store, ("a", 1, "not_aligned"))
    assert held(store, Choice()).failed == {content("a"): ("not_aligned", "why")}
    every = held(store)
    assert (every.failed, content("a") in every.settled) == ({}, False)


def test_face_with_a_number_beyond_a_byte(store):
    add_table(store, zero=[float(400 - n) for n in range(300)])
    add_rows(store, *[("zero", number, "ok") for number in range(1, 300)])
    assert content("zero") not in held(store).settled
    add_rows(store, ("zero", 300, "ok"))
    assert content("zero") in held(store).settled
