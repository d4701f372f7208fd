import dataclasses

import pytest

from embedder.store import open_store
from embedder.upkeep.info import info
from tests.fakes import FAKE_SPEC
from tests.stores import PRINT, add, add_images


def test_everything_held_is_counted(store):
    add(store, "a")
    add_images(store, {"copy.jpg": "c"})
    found = info(store)
    (held,) = found.holdings
    assert held.rows == {"ok": 5, "no_face": 1}
    assert (held.fingerprint, held.name, held.dim, held.licence) == (PRINT, "fake", (12,), "ours")
    assert (held.repeated, held.shards, held.seeded) == (1, 4, False)
    assert held.seconds_per_row == 0.5
    assert (found.images, found.copies) == (6, 1)
    assert held.bytes == sum(path.stat().st_size for path in store.folder(PRINT).iterdir())
    assert found.bytes == sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())


@pytest.mark.parametrize(("recorded", "seeded"), [({}, False), ({"seeded": None}, False), ({"seeded": 0}, True)])
def test_seeded_weights_are_marked(tmp_path, recorded, seeded):
    store = open_store(tmp_path / "store", create=True)
    add(store, "a", spec=dataclasses.replace(FAKE_SPEC, recorded=recorded))
    assert info(store).holdings[0].seeded is seeded


def test_empty_store_has_nothing(tmp_path):
    found = info(open_store(tmp_path / "store", create=True))
    assert (found.holdings, found.images, found.copies) == ([], 0, 0)
