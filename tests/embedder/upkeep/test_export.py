import dataclasses

import numpy as np
import pandas as pd
import pytest

from data.errors import StoreError
from embedder.store import open_store
from embedder.upkeep import export as module
from embedder.upkeep.export import export, failures
from tests.fakes import FAKE_SPEC
from tests.stores import add, add_images, key, rows_of, vector_of

PIXELS = dataclasses.replace(FAKE_SPEC, dim=(2, 3), dtype="uint8", name="pixels", precision="uint8")
FRACTION = (np.arange(12, dtype=np.float32) + 1) / 7


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Two vectors at a time, as if there were many."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 2 * vector_of("a").nbytes)


@pytest.fixture
def filled(store):
    """The store with a copy of c, and fractions among the numbers."""
    add_images(store, {"copy.jpg": "c"})
    store.add(FAKE_SPEC, rows_of("f"), FRACTION)
    add_images(store, {"f.jpg": "f"})
    return store


def vectors_of(table) -> dict[str, bytes]:
    return {
        path: bytes(np.asarray(v, np.float32)) for path, v in zip(table["image_path"], table["embedding"], strict=True)
    }


@pytest.fixture
def expected():
    names = {"a.jpg": "a", "b.jpg": "b", "c.jpg": "c", "d.jpg": "d", "copy.jpg": "c"}
    return {**{path: bytes(vector_of(name)) for path, name in names.items()}, "f.jpg": bytes(FRACTION)}


def test_npy_files_with_tables_beside(filled, tmp_path, expected):
    assert export(filled, FAKE_SPEC, tmp_path / "out", form="npy") == 6
    names = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert names == [
        *(f"img_emb/img_emb_000{n}.npy" for n in range(3)),
        *(f"metadata/metadata_000{n}.parquet" for n in range(3)),
    ]
    tables = [pd.read_parquet(path) for path in sorted((tmp_path / "out" / "metadata").iterdir())]
    arrays = [np.load(path, allow_pickle=False) for path in sorted((tmp_path / "out" / "img_emb").iterdir())]
    assert [(len(t), a.shape) for t, a in zip(tables, arrays, strict=True)] == [(2, (2, 12))] * 3
    assert {tuple(table) for table in tables} == {("image_path", "sha256", "face")}
    assert vectors_of(pd.concat(tables).assign(embedding=list(np.concatenate(arrays)))) == expected


def test_parquet_is_read_by_pandas(filled, tmp_path, expected):
    export(filled, FAKE_SPEC, tmp_path / "out.parquet", form="parquet")
    assert vectors_of(pd.read_parquet(tmp_path / "out.parquet")) == expected


def test_csv_gives_the_same_bits_back(filled, tmp_path, expected):
    export(filled, FAKE_SPEC, tmp_path / "out.csv", form="csv")
    table = pd.read_csv(tmp_path / "out.csv")
    numbers = table[[f"e{n}" for n in range(12)]].to_numpy(np.float32)
    assert vectors_of(table.assign(embedding=list(numbers))) == expected


def test_exports_are_read_by_duckdb(filled, tmp_path, expected):
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb, of the dev extras")
    for form in ("parquet", "csv"):
        export(filled, FAKE_SPEC, tmp_path / f"out.{form}", form=form)
    rows = duckdb.sql(f"SELECT image_path, embedding FROM '{tmp_path}/out.parquet'").fetchall()
    assert {path: bytes(np.array(vector, np.float32)) for path, vector in rows} == expected
    ((count, total),) = duckdb.sql(f"SELECT count(*), sum(e11) FROM '{tmp_path}/out.csv'").fetchall()
    assert count == 6
    assert total == pytest.approx(sum(np.frombuffer(vector, np.float32)[11] for vector in expected.values()))
    counts = duckdb.sql(f"SELECT status, count(*) FROM '{filled.path}/embeddings/*/*.parquet' GROUP BY 1 ORDER BY 1")
    assert counts.fetchall() == [("no_face", 1), ("ok", 5)]  # the store itself, too


def test_by_content_there_is_one_row_per_image_and_no_path(filled, tmp_path):
    assert export(filled, FAKE_SPEC, tmp_path / "out.parquet", form="parquet", by_content=True) == 5
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert list(table) == ["sha256", "face", "embedding"]
    assert set(table["sha256"]) == {key(name) for name in "abcdf"}


def test_pictures_keep_their_shape_in_npy_and_are_flat_in_tables(store, tmp_path):
    add(store, "a", spec=PIXELS)
    export(store, PIXELS, tmp_path / "out", form="npy")
    assert (np.load(tmp_path / "out/img_emb/img_emb_0000.npy", allow_pickle=False) == vector_of("a", PIXELS)).all()
    export(store, PIXELS, tmp_path / "out.csv", form="csv")
    assert pd.read_csv(tmp_path / "out.csv").loc[0, "e0":"e5"].tolist() == vector_of("a", PIXELS).ravel().tolist()


def test_file_that_changed_is_exported_once_with_what_it_holds_now(store, tmp_path):
    add_images(store, {"a.jpg": "d"})
    export(store, FAKE_SPEC, tmp_path / "out.csv", form="csv")
    table = pd.read_csv(tmp_path / "out.csv").set_index("image_path")
    assert table.loc["a.jpg", "sha256"] == key("d")


def test_failures_have_their_reasons(store):
    assert failures(store, FAKE_SPEC).to_dict("records") == [
        {"image_path": "x.jpg", "sha256": key("x"), "face": 0, "status": "no_face", "reason": "why"}
    ]


def test_exports_are_private(store, tmp_path):
    export(store, FAKE_SPEC, tmp_path / "out", form="npy")
    export(store, FAKE_SPEC, tmp_path / "out.csv", form="csv")
    files = [path for path in [*tmp_path.glob("out/*/*"), tmp_path / "out.csv"] if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_folder_with_something_in_it_is_refused(store, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="is not empty: name a new folder"):
        export(store, FAKE_SPEC, tmp_path / "out", form="npy")


def test_nothing_to_export_is_said(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    add(store, failed=("x",))
    with pytest.raises(StoreError, match="no vector of fake that a known file belongs to"):
        export(store, FAKE_SPEC, tmp_path / "out.csv", form="csv")
    with pytest.raises(StoreError, match="no vector of fake: run `extract` first"):
        export(store, FAKE_SPEC, tmp_path / "out.csv", form="csv", by_content=True)
    assert not (tmp_path / "out.csv").exists()
