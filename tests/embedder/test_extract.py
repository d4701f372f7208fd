import os
import signal
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.errors import BackboneError, StoreError
from embedder import engine as engine_module
from embedder import extract as extract_module
from embedder import preprocess
from embedder.extract import extract, is_in_shard
from embedder.preprocess import decode, read_file
from embedder.report import NOT_REACHED
from embedder.store import open_store
from tests.fakes import embedded, fake_backbone


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store", create=True)


@pytest.fixture
def images(tmp_path, draw_image):
    """Twelve pictures: ten different ones, a copy of the first, and a file that is none."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(10):
        draw_image(folder / f"{number}.png", seed=number)
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "text.png").write_text("not a picture")
    return list_images(folder)


def list_images(folder) -> pd.DataFrame:
    names = sorted(os.listdir(folder))
    return pd.DataFrame({"image_id": names, "path": [str(folder / name) for name in names]})


def test_backbone_is_warmed_up_only_where_there_is_something_to_embed(images, store):
    first, again = fake_backbone(), fake_backbone()
    extract(images, [first], store)
    extract(images, [again], store)
    assert (first._runtime.warm, again._runtime.warm) == (True, False)


def test_every_image_gets_one_status_in_input_order(images, store):
    report = extract(images, [fake_backbone()], store)
    assert report.images["image_id"].tolist() == images["image_id"].tolist()
    assert report.statuses == {"ok": 11, "unreadable": 1}
    (failure,) = report.failures.to_dict("records")
    assert failure["image_id"] == "text.png"
    assert "not an image" in failure["reason"]


def test_equal_bytes_are_embedded_once(images, store):
    backbone = fake_backbone()
    report = extract(images, [backbone], store)
    assert embedded(backbone) == report.embedded[report_fingerprint()] == 10
    assert report.changes["copy"] == 1


def test_vectors_belong_to_their_images(images, store):
    backbone = fake_backbone()
    report = extract(images, [backbone], store)
    rows, vectors = store.read(backbone.spec.fingerprint, report.images["sha256"])
    for position, vector in zip(rows.index, vectors, strict=True):
        picture = decode(read_file(images["path"][position])[1])
        np.testing.assert_array_equal(vector, backbone.embed([picture])[0])


def test_images_are_decoded_once_for_all_backbones(images, store, monkeypatch):
    decoded = []
    original = preprocess.decode
    monkeypatch.setattr(preprocess, "decode", lambda content: decoded.append(1) or original(content))
    backbones = [fake_backbone(), fake_backbone(normalization="base")]
    report = extract(images.head(10), backbones, store)
    assert len(decoded) == 10
    assert report.embedded == {backbone.spec.fingerprint: 10 for backbone in backbones}


def test_second_run_reads_nothing(images, store, monkeypatch):
    extract(images, [fake_backbone()], store)
    monkeypatch.setattr(engine_module, "read_file", lambda path: pytest.fail(f"{path} was read again"))
    report = extract(images, [fake_backbone()], store)
    assert report.read == 0
    assert report.changes["known"] == 11
    assert report.skipped == 1
    assert report.statuses == {"ok": 11, "unreadable": 1}
    assert not report.embedded


def test_second_run_does_only_what_is_missing(images, store, draw_image, tmp_path):
    extract(images.head(5), [fake_backbone()], store)
    draw_image(tmp_path / "faces" / "new.png", seed=99)
    backbone = fake_backbone()
    report = extract(list_images(tmp_path / "faces"), [backbone], store)
    assert report.changes["known"] == 5
    assert embedded(backbone) == 6  # of 13 files 5 are known, 1 is a copy, 1 no picture


def test_further_backbone_is_added_without_embedding_the_first_again(images, store):
    extract(images, [fake_backbone()], store)
    first, second = fake_backbone(), fake_backbone(name="other", normalization="base")
    report = extract(images, [first, second], store)
    assert (embedded(first), embedded(second)) == (0, 10)
    assert store.images()["path"].is_unique
    assert (report.read, report.changes["known"]) == (12, 11)


def test_changed_file_is_embedded_again(images, store, draw_image):
    extract(images, [fake_backbone()], store)
    draw_image(Path(images["path"][0]), seed=77)
    report = extract(images, [fake_backbone()], store)
    assert report.changes == {"known": 10, "new": 0, "changed": 1, "moved": 0, "copy": 0, "failed": 1}
    assert report.embedded[report_fingerprint()] == 1


def test_folder_that_was_renamed_is_recognised_by_content(images, store, tmp_path):
    extract(images, [fake_backbone()], store)
    (tmp_path / "faces").rename(tmp_path / "elsewhere")
    report = extract(list_images(tmp_path / "elsewhere"), [fake_backbone()], store)
    assert report.changes["copy"] == 11
    assert not report.embedded
    assert report.statuses == {"ok": 11, "unreadable": 1}


def test_file_that_vanished_is_missing_and_tried_again(images, store, draw_image):
    os.unlink(images["path"][0])
    report = extract(images, [fake_backbone()], store)
    assert report.failures["status"].tolist() == ["missing", "unreadable"]
    draw_image(Path(images["path"][0]), seed=3)
    assert extract(images, [fake_backbone()], store).statuses["ok"] == 11


def test_blocks_and_shards_lose_nothing(images, store, monkeypatch):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 1)
    monkeypatch.setattr(extract_module, "SHARD_ROWS", 3)
    progress = []
    report = extract(images, [fake_backbone()], store, on_progress=progress.append)
    assert sum(progress) == len(images)
    assert len(list(store.path.glob("images/*.parquet"))) >= 3
    rows, _ = store.read(report_fingerprint(), report.images["sha256"])
    assert len(rows) == 11


def test_first_commits_come_early_and_the_later_ones_each_at_twice_the_age(images, store, monkeypatch):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    clock = iter(range(0, 10**6, 3))  # three seconds from one look to the next
    monkeypatch.setattr(extract_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(extract_module, "SHARD_SECONDS", 10.0)
    rows = []
    monkeypatch.setattr(store, "add_images", lambda images: rows.append(len(images)))
    extract(images, [fake_backbone()], store)
    assert rows == [2, 3, 4, 3]  # at ages of 6, 9 and 12 seconds, and what is left


@pytest.mark.parametrize(("limit", "value"), [("SHARD_ROWS", 4), ("SHARD_BYTES", 4 * 48), ("FIRST_SECONDS", 0.0)])
def test_shard_is_committed_at_its_rows_its_bytes_or_its_age(images, store, monkeypatch, limit, value):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 2)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    monkeypatch.setattr(extract_module, limit, value)
    extract(images, [fake_backbone()], store)
    assert len(list(store.folder(report_fingerprint()).glob("*.parquet"))) in (3, 6)


def test_file_that_changes_while_it_is_read_is_read_again_by_the_next_run(images, store, monkeypatch, draw_image):
    path = Path(images["path"][0])
    original = engine_module.read_file

    def change_after_reading(asked):
        found = original(asked)
        if asked == str(path):
            draw_image(path, seed=55)
            os.utime(path, ns=(1, 1))
        return found

    monkeypatch.setattr(engine_module, "read_file", change_after_reading)
    extract(images, [fake_backbone()], store)
    monkeypatch.setattr(engine_module, "read_file", original)
    report = extract(images, [fake_backbone()], store)
    assert (report.read, report.changes["changed"]) == (1, 1)


def test_copy_of_a_file_in_another_shard_is_no_move(images, store):
    extract(images, [fake_backbone()], store)
    known = images["image_id"][0]
    part = next(i for i in (1, 2) if not is_in_shard(known, (i, 2)))
    name = next(f"{n}.png" for n in range(100, 200) if is_in_shard(f"{n}.png", (part, 2)))
    folder = Path(images["path"][0]).parent
    (folder / name).write_bytes(Path(images["path"][0]).read_bytes())
    report = extract(list_images(folder), [fake_backbone()], store, shard=(part, 2))
    assert (report.changes["moved"], report.changes["copy"], report.gone) == (0, 1, 0)


def test_names_and_none_are_not_mixed_in_a_store(images, store, tmp_path):
    extract(images, [fake_backbone()], store)
    with pytest.raises(StoreError, match="holds names of files, which --anonymise would not take out"):
        extract(images, [fake_backbone()], store, anonymise=True)
    nameless = open_store(tmp_path / "nameless", create=True)
    extract(images, [fake_backbone()], nameless, anonymise=True)
    with pytest.raises(StoreError, match="holds no names of files: add --anonymise"):
        extract(images, [fake_backbone()], nameless)


def report_fingerprint() -> str:
    return fake_backbone().spec.fingerprint


def test_store_is_the_same_whatever_the_blocks(images, tmp_path, monkeypatch):
    def content(name: str) -> dict[str, bytes]:
        store = open_store(tmp_path / name, create=True)
        report = extract(images, [fake_backbone()], store)
        rows, vectors = store.read(report_fingerprint(), report.images["sha256"])
        return {sha: vector.tobytes() for sha, vector in zip(rows["sha256"], vectors, strict=True)}

    whole = content("whole")
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 1)
    monkeypatch.setattr(extract_module, "SHARD_ROWS", 2)
    assert content("pieces") == whole


def test_interrupt_keeps_what_is_done(images, store, monkeypatch):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)

    def interrupt_later(n: int, done=[0]) -> None:  # noqa: B006
        done[0] += n
        if done[0] == 4:
            signal.raise_signal(signal.SIGINT)

    report = extract(images, [fake_backbone()], store, on_progress=interrupt_later)
    assert report.interrupted
    assert report.statuses == {"ok": 4, NOT_REACHED: len(images) - 4}
    continued = extract(images, [fake_backbone()], store)
    assert continued.changes["known"] == 4
    assert continued.statuses == {"ok": 11, "unreadable": 1}


def test_interrupt_during_a_commit_loses_nothing(images, store, monkeypatch):
    write = store.add

    def interrupted_once(*args, **kwargs):
        monkeypatch.setattr(store, "add", write)
        raise KeyboardInterrupt

    monkeypatch.setattr(extract_module, "SHARD_ROWS", 1)
    monkeypatch.setattr(store, "add", interrupted_once)
    report = extract(images, [fake_backbone()], store)
    assert report.interrupted
    assert len(store.rows(report_fingerprint())) == report.embedded[report_fingerprint()] + 1  # and the unreadable one


@pytest.mark.parametrize(("step", "kept"), [("new_rows", 0), ("note", 11)])
def test_interrupt_between_two_steps_claims_nothing_that_is_not_kept(images, store, monkeypatch, step, kept):
    original = getattr(extract_module._Job, step)

    def interrupted(*args):
        original(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(extract_module._Job, step, interrupted)
    report = extract(images, [fake_backbone()], store)
    rows = store.rows(report_fingerprint()) if kept else []
    assert len(rows) == kept
    assert report.interrupted
    assert report.statuses.get("ok", 0) == (11 if kept else 0)  # ten contents, one of them twice
    monkeypatch.undo()
    assert extract(images, [fake_backbone()], store).statuses == {"ok": 11, "unreadable": 1}


@pytest.mark.parametrize("error", [BackboneError("its process was killed"), MemoryError()])
def test_backbone_that_fails_midway_keeps_what_is_done(images, store, monkeypatch, error):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 1)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    backbone = fake_backbone()
    embed = backbone._runtime.embed

    def fail_at_the_fourth(faces):
        if embedded(backbone) == 3:
            raise error
        return embed(faces)

    backbone._runtime.embed = fail_at_the_fourth
    with pytest.raises(type(error)):
        extract(images, [backbone], store)
    assert len(store.rows(report_fingerprint())) == 3


def test_full_disk_is_one_clear_error_and_keeps_what_is_done(images, store, monkeypatch):
    extract(images.head(4), [fake_backbone()], store)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match="No space left on device"):
        extract(images, [fake_backbone()], store)
    monkeypatch.undo()
    assert len(store.rows(report_fingerprint())) == 4


def test_no_more_than_two_blocks_are_read_ahead(images, store, monkeypatch):
    monkeypatch.setattr(engine_module, "BLOCK_PER_CORE", 2)
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    read = []
    original = engine_module.read_file
    monkeypatch.setattr(engine_module, "read_file", lambda path: read.append(path) or original(path))
    backbone = fake_backbone()
    lead = []
    embed = backbone._runtime.embed
    backbone._runtime.embed = lambda faces: lead.append(len(read) - embedded(backbone)) or embed(faces)
    extract(images, [backbone], store)
    assert threading.active_count() < 20
    assert max(lead) <= 4 + 2  # two blocks of two, and two files that gave no face


def test_file_that_the_system_refuses_is_a_status_in_its_words(images, store, tmp_path):
    loop = tmp_path / "faces" / "loop.png"
    loop.symlink_to(loop)
    report = extract(list_images(tmp_path / "faces"), [fake_backbone()], store)
    reasons = report.failures.set_index("image_id")["reason"]
    assert reasons["loop.png"] == "cannot be read: Too many levels of symbolic links"


def test_picture_without_a_finite_vector_is_a_status_and_blocks_nothing(images, store):
    backbone = fake_backbone()
    embed = backbone._runtime.embed

    def first_is_not_finite(faces):
        vectors = embed(faces)
        vectors[0, 5] = np.nan
        return vectors

    backbone._runtime.embed = first_is_not_finite
    report = extract(images, [backbone], store)
    assert report.statuses == {"ok": 9, "no_embedding": 2, "unreadable": 1}  # 0.png and its copy
    rows, vectors = store.read(report_fingerprint(), report.images["sha256"])
    assert len(rows) == 9
    others = fake_backbone().embed([decode(read_file(images["path"][position])[1]) for position in rows.index])
    np.testing.assert_array_equal(vectors, others)


def test_path_that_no_file_can_have_is_missing(images, store):
    bad = pd.DataFrame({"image_id": ["nul"], "path": ["a\0b.png"]})
    report = extract(pd.concat([images, bad], ignore_index=True), [fake_backbone()], store)
    assert report.statuses == {"ok": 11, "unreadable": 1, "missing": 1}
