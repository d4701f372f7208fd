"""A store and images in object storage: a real S3 API on this machine, and what its failures do."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data import remote
from data.errors import ManifestError, StoreError
from data.manifest import list_images
from data.remote import RemotePath, StorageError, place
from embedder import engine
from embedder.extract import extract
from embedder.shards import live_shards
from embedder.store import EmbeddingStore, open_store, path_key
from embedder.upkeep.compact import compact
from embedder.upkeep.export import export
from embedder.upkeep.files import inventory
from embedder.upkeep.forget import forget
from embedder.upkeep.gc import gc
from embedder.upkeep.info import info
from embedder.upkeep.merge import merge
from embedder.upkeep.verify import verify
from tests.cli import faceprobe
from tests.fakes import FAKE_SPEC, embedded, fake_backbone, write_mean_colour_onnx
from tests.s3_server import cuts, drops, forgets_to_answer, says
from tests.stores import PRINT, add, content, key, rows_of, vector_of


@pytest.fixture
def store(bucket) -> EmbeddingStore:
    """A store of three shards: a, b; c and the failure x; d."""
    made = open_store(f"{bucket}/some/store", create=True)
    add(made, "a", "b")
    add(made, "c", failed=("x",))
    add(made, "d")
    return made


@pytest.fixture
def local(tmp_path) -> EmbeddingStore:
    """The same on a disk."""
    made = open_store(tmp_path / "local", create=True)
    add(made, "a", "b")
    add(made, "c", failed=("x",))
    add(made, "d")
    return made


def names(store: EmbeddingStore) -> list[str]:
    return [str(entry.path) for entry in inventory(store.path) if entry.kind != "folder"]


def test_store_holds_what_one_on_a_disk_holds(store, local):
    again = open_store(str(store.path))
    assert content(again) == content(local)
    assert again.specs() == {PRINT: FAKE_SPEC}
    assert again.images()["path"].tolist() == local.images()["path"].tolist()
    rows, vectors = again.read(PRINT, [key("d"), key("missing"), key("a")])
    assert rows.index.tolist() == [0, 2]
    np.testing.assert_array_equal(vectors, [vector_of("d"), vector_of("a")])


def test_where_there_is_no_store_it_is_said(bucket):
    with pytest.raises(StoreError, match=f"no embedding store at {bucket}/nothing"):
        open_store(f"{bucket}/nothing")
    (place(bucket) / "photos" / "1.jpg").write_bytes(b"")
    with pytest.raises(StoreError, match="not an empty folder"):
        open_store(f"{bucket}/photos", create=True)


def test_whole_bucket_can_be_a_store(bucket):
    store = open_store(bucket, create=True)
    add(store, "a")
    assert content(open_store(bucket)) == content(store)
    assert not verify(store.path).findings


def test_of_a_large_shard_only_the_rows_asked_for_are_fetched(bucket, faulty):
    store = open_store(f"{bucket}/store", create=True)
    many = [f"{number}" for number in range(100_000)]
    vectors = np.arange(1_200_000, dtype=np.float32).reshape(-1, 12)
    store.add(FAKE_SPEC, rows_of(*many), vectors)
    faulty.asked.clear()
    (shard,) = live_shards(store.folder(PRINT))
    wanted = np.array([70_000, 70_001, 3, 70_010])
    np.testing.assert_array_equal(shard.vectors(wanted), vectors[wanted])
    fetched = [line.partition("bytes=")[2].split("-") for line in faulty.asked if ".npy bytes" in line]
    assert len(fetched) == 4  # the header, and a piece per jump
    assert all(int(end) - int(begin) < 1 << 20 for begin, end in fetched)


def test_sound_store_has_no_findings(store):
    checked = verify(store.path)
    assert not checked.findings
    assert checked.files == 9


@pytest.mark.parametrize("suffix", [".npy", ".parquet", "spec.json", "store.json"])
def test_flipped_byte_is_found(store, suffix):
    name = next(name for name in names(store) if name.endswith(suffix))
    path = place(name)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(bytes(damaged))
    checked = verify(store.path)
    assert checked.damaged
    assert [finding.file for finding in checked.findings if finding.damaged] == [name.removeprefix(f"{store.path}/")]


def test_forgotten_image_is_in_no_object(store):
    before = content(store)
    done = forget(store, ["c.jpg"])
    assert done.sha256 == [key("c")]
    assert content(store) == {at: held for at, held in before.items() if key("c") not in at and held != key("c")}
    assert not any(key("c").encode() in place(name).read_bytes() for name in names(store))
    assert not verify(store.path).findings


def test_object_is_forgotten_by_its_address_even_if_it_is_gone(bucket, store):
    url = f"{bucket}/photos/e.jpg"
    add(store, "e")
    store.add_images(pd.DataFrame([(path_key(url), "e.jpg", 1, 2, key("e"))], columns=store.images().columns))
    assert forget(store, [url]).sha256 == [key("e")]
    with pytest.raises(StoreError, match=f"{url} is no object"):
        forget(store, [url])


def test_compact_keeps_content_in_fewer_objects(store):
    before = content(store)
    assert [(done.before, done.after) for done in compact(store)] == [(3, 1), (3, 1)]
    assert content(store) == before
    assert len(names(store)) == 5
    assert not verify(store.path).findings


def test_gc_removes_vectors_without_a_table(store):
    table = next(name for name in names(store) if name.endswith(".parquet") and PRINT in name)
    place(table).unlink()
    assert gc(store).too_new == [table.removeprefix(f"{store.path}/").replace(".parquet", ".npy")]
    assert len(gc(store, older_than=0).removed) == 1
    assert not [entry for entry in inventory(store.path) if entry.kind == "orphan"]


def test_info_counts_as_on_a_disk(store, local):
    assert info(store).holdings[0].rows == {"ok": 4, "no_face": 1}
    assert (info(store).images, info(store).bytes) == (info(local).images, info(local).bytes)


def test_stores_are_merged_both_ways(bucket, store, tmp_path):
    there, back = open_store(tmp_path / "there", create=True), open_store(f"{bucket}/back", create=True)
    assert merge([store], there).copied == 6
    assert merge([there], back).copied == 6
    assert merge([store], back).known == 6
    assert content(there) == content(back) == content(store)
    assert not verify(there.path).findings
    assert not verify(back.path).findings
    with pytest.raises(StoreError, match="into itself"):
        merge([store], open_store(store.path))


def test_damaged_shard_is_not_merged(store, tmp_path):
    name = next(name for name in names(store) if name.endswith(".npy"))
    place(name).write_bytes(place(name).read_bytes()[:-1] + b"\xff")
    with pytest.raises(StoreError, match="damaged and was not copied"):
        merge([store], open_store(tmp_path / "there", create=True))


def test_store_is_exported_to_a_local_folder(store, tmp_path):
    assert export(store, FAKE_SPEC, tmp_path / "out", form="npy") == 4
    vectors = np.load(tmp_path / "out" / "img_emb" / "img_emb_0000.npy")
    table = pd.read_parquet(tmp_path / "out" / "metadata" / "metadata_0000.parquet")
    assert dict(zip(table["sha256"], vectors[:, 0], strict=True))[key("c")] == vector_of("c")[0]


@pytest.mark.parametrize("fault", [says(500, "InternalError"), says(503, "SlowDown"), drops, forgets_to_answer])
def test_store_is_written_and_read_through_failures(bucket, faulty, fault):
    for method in ("PUT", "HEAD", "GET"):
        faulty.fail(method, fault, times=3)
    store = open_store(f"{bucket}/store", create=True)
    add(store, "a", "b")
    faulty.fail("GET", cuts, times=2)
    assert len(store.rows(PRINT)) == 2
    assert not faulty.faults
    assert not verify(store.path).findings


@pytest.mark.parametrize("spared", [0, 1])  # the vectors, or the rows after them, cannot be put
def test_nothing_is_committed_if_a_put_fails(store, faulty, monkeypatch, spared):
    monkeypatch.setattr(remote, "RETRIES", 1)
    before, write = content(store), RemotePath.write_bytes
    puts = iter(range(9))

    def refuse(path, data):
        if next(puts) == spared:
            faulty.fail("PUT", says(500, "InternalError"), times=99)
        write(path, data)

    monkeypatch.setattr(RemotePath, "write_bytes", refuse)
    with pytest.raises(StorageError, match=r"^s3://\S* cannot be written; [^\n]*run the same command again$"):
        store.add(FAKE_SPEC, rows_of("e"), [vector_of("e")])
    faulty.faults.clear()
    assert content(store) == before
    assert {finding.problem for finding in verify(store.path).findings} <= {
        "vectors without a table: of a stopped job, or of one at work"
    }


@pytest.mark.parametrize(
    "read", [content, lambda store: open_store(store.path), lambda store: verify(store.path), info]
)
def test_dead_server_is_no_damage(store, monkeypatch, read):
    monkeypatch.setattr(remote, "RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match=r"^s3://[^\n]*127\.0\.0\.1:1[^\n]*connect[^\n]*$"):
        read(store)


def test_failing_object_while_verifying_is_no_damage(store, faulty, monkeypatch):
    monkeypatch.setattr(remote, "RETRIES", 1)
    found = inventory(store.path)
    monkeypatch.setattr("embedder.upkeep.verify.inventory", lambda root: found)
    faulty.fail("GET", says(403, "AccessDenied"), times=99)
    with pytest.raises(StorageError):
        verify(store.path)


def test_images_are_extracted_from_storage_to_storage(bucket):
    for number in range(6):
        picture = np.random.default_rng(number % 5).integers(0, 256, (40, 40, 3), np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "PNG")
        (place(bucket) / "photos" / f"{number % 2}" / f"{number}.png").write_bytes(encoded.getvalue())
    (place(bucket) / "photos" / "text.png").write_bytes(b"not a picture")
    store, backbone = open_store(f"{bucket}/store", create=True), fake_backbone()
    images, _ = list_images(f"{bucket}/photos")
    report = extract(images, [backbone], store)
    assert report.statuses == {"ok": 6, "unreadable": 1}
    assert embedded(backbone) == 5
    assert store.images()["path"].tolist() == images["image_id"].tolist()
    again = fake_backbone()
    assert extract(images, [again], open_store(store.path)).statuses == report.statuses
    assert embedded(again) == 0
    assert not verify(store.path).damaged


def put_picture(path: RemotePath, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    path.write_bytes(encoded.getvalue())


def test_workers_extract_from_storage_and_changes_are_told_apart(bucket, tmp_path):
    photos = place(bucket) / "photos"
    for number in range(8):
        put_picture(photos / f"{number}.png", number)
    net = write_mean_colour_onnx(tmp_path / "net.onnx")
    words = ("extract", f"{bucket}/photos", "--backbone", f"{net},channel_order=RGB,normalization=raw")
    done = faceprobe(*words, "--store", f"{bucket}/store", "--workers", "2")
    assert (done.code, done.out.splitlines()[0]) == (0, "8 images: 8 new")
    assert "nothing to do" in faceprobe(*words, "--store", f"{bucket}/store").out
    (photos / "0.png").unlink()
    put_picture(photos / "moved.png", 0)
    put_picture(photos / "copy.png", 1)
    put_picture(photos / "new.png", 9)
    done = faceprobe(*words, "--store", f"{bucket}/store")
    said = "10 images: 7 known, 1 new, 1 moved, 1 copy; 1 file that the store knows no longer there"
    assert done.out.splitlines()[0] == said


def test_server_that_dies_ends_the_job_and_not_the_store(bucket, faulty, monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "RETRIES", 0)
    monkeypatch.setattr(engine, "BLOCK_PER_CORE", 1)
    monkeypatch.setattr(engine, "usable_cores", lambda: 1)
    for number in range(3):
        put_picture(place(bucket) / "photos" / f"{number}.png", number)
    images, _ = list_images(f"{bucket}/photos")
    store, backbone = open_store(tmp_path / "store", create=True), fake_backbone()

    def die_after_the_first(done: int) -> None:
        if done:
            for method in ("GET", "HEAD"):
                faulty.fail(method, says(500, "InternalError"), times=999)

    with pytest.raises(ManifestError, match=r"expected images in s3://.*/photos; it is gone, or empty now"):
        extract(images, [backbone], store, on_progress=die_after_the_first)
    assert len(store.rows(backbone.spec.fingerprint)) > 0
    faulty.faults.clear()
    assert extract(images, [backbone], store).statuses == {"ok": 3}


def test_commands_take_addresses(bucket, local, tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(picture, "PNG")
    (place(bucket) / "photos" / "red.png").write_bytes(picture.getvalue())
    net = write_mean_colour_onnx(tmp_path / "net.onnx")
    backbone = f"{net},channel_order=RGB,normalization=raw"
    target = f"{bucket}/store"
    merged = faceprobe("store", "merge", local.path, "--into", target)
    assert merged.code == 0, merged.err
    run = faceprobe("extract", f"{bucket}/photos", "--backbone", backbone, "--store", target)
    assert run.code == 0, run.err
    verified = faceprobe("store", "verify", target)
    assert (verified.code, verified.err) == (0, "")
    forgotten = faceprobe("store", "forget", target, f"{bucket}/photos/red.png")
    assert forgotten.code == 0, forgotten.err
    assert content(open_store(target)) == content(local)
    assert faceprobe("store", "info", f"{bucket}/nothing").err.startswith(f"faceprobe: no embedding store at {bucket}")
