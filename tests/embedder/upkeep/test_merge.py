import dataclasses

import pytest

from data.errors import StoreError
from embedder.store import open_store
from embedder.upkeep.compact import compact
from embedder.upkeep.forget import forget
from embedder.upkeep.merge import merge
from embedder.upkeep.verify import verify
from tests.fakes import FAKE_SPEC
from tests.stores import PRINT, add, content, key, vector_of

OTHER = dataclasses.replace(FAKE_SPEC, dim=(2, 3), dtype="uint8", name="other", precision="uint8")


@pytest.fixture
def other(tmp_path):
    made = open_store(tmp_path / "other", create=True)
    add(made, "d", "e")
    add(made, "a", spec=OTHER)
    return made


@pytest.fixture
def target(tmp_path):
    return open_store(tmp_path / "target", create=True)


def files(store) -> dict[str, bytes]:
    return {str(path.relative_to(store.path)): path.read_bytes() for path in store.path.rglob("*") if path.is_file()}


def test_target_holds_what_both_held(store, other, target):
    done = merge([store, other], target)
    assert content(target) == content(store) | content(other)
    assert files(target) == files(store) | files(other)
    assert (done.copied, done.known) == (10, 0)
    assert done.bytes == sum(len(whole) for name, whole in files(target).items() if not name.endswith(".json"))
    assert not verify(target.path).findings  # among them modes wider than 0600


def test_merging_again_copies_nothing(store, other, target):
    merge([store, other], target)
    before = files(target)
    assert (merge([store, other], target).copied, files(target)) == (0, before)
    add(store, "new")
    assert merge([store], target).copied == 2


def test_damaged_shard_is_not_copied_and_said(store, target):
    (file, *_) = sorted(store.path.glob("embeddings/*/*.npy"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\xff")
    with pytest.raises(StoreError, match=f"{file.name} is damaged and was not copied"):
        merge([store], target)
    assert not verify(target.path).damaged
    file.write_bytes(whole)
    merge([store], target)
    assert content(target) == content(store)


def test_damaged_table_is_not_copied_either(store, target):
    file = min(store.path.glob("images/*.parquet"))
    whole = bytearray(file.read_bytes())
    whole[4] ^= 1
    file.write_bytes(whole)
    with pytest.raises(StoreError, match="is damaged and was not copied"):
        merge([store], target)
    assert not verify(target.path).damaged


def test_what_was_forgotten_in_the_target_does_not_come_back_with_its_shard(store, target):
    merge([store], target)
    forget(target, ["a.jpg"])
    merge([store], target)
    assert target.read(PRINT, [key("a"), key("b")])[0]["sha256"].tolist() == [key("b")]


def test_compacted_shards_take_the_place_of_those_merged_before(store, target):
    merge([store], target)
    compact(store)
    merge([store], target)
    assert content(target) == content(store)
    assert {finding.problem.partition(",")[0] for finding in verify(target.path).findings} == {
        "was replaced by another shard"
    }


def test_interrupted_merge_of_a_compacted_store_hides_nothing(tmp_path, target, monkeypatch):
    """A shard that left out repeated rows must not arrive before the shard that holds them."""
    earlier, later = (open_store(tmp_path / name, create=True) for name in ("earlier", "later"))
    add(earlier, "a", "b")
    add(later, "a", "b", "c")
    merge([later], target)
    merge([earlier], later)
    monkeypatch.setattr("embedder.upkeep.compact.FULL_BYTES", 2 * vector_of("a").nbytes)
    assert compact(later)[0].dropped == 2
    before, seen = content(target), []

    def look(done, total):
        assert before.items() <= content(target).items(), f"after {done}"
        seen.append(done)

    merge([later], target, on_progress=look)
    assert seen == [1, 2, 3]


def test_store_is_not_merged_into_itself(store):
    with pytest.raises(StoreError, match="would be merged into itself"):
        merge([store], open_store(store.path))


def test_other_numbers_under_one_fingerprint_are_refused(store, target):
    add(target, "z", spec=dataclasses.replace(FAKE_SPEC, dtype="float64"))
    with pytest.raises(StoreError, match=r"is float32 in .* and float64 in .*: they cannot be one"):
        merge([store], target)
