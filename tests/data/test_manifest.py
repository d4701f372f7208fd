"""Tables of images are read whole or refused with the rows that are wrong."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ManifestError
from data.images import printable
from data.labels import ETHNICITIES, GENDERS
from data.manifest import Manifest, list_images, read_manifest, write_manifest
from data.remote import place

FORMATS = ("csv", "parquet")


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def labelled(**columns: list) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    names = [f"{i}.jpg" for i in range(n)]
    return pd.DataFrame({"image_id": names, "path": [f"/images/{name}" for name in names], **columns})


def test_a_table_of_ones_own_is_a_manifest(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path,
        "path,age,gender,ethnicity,subject,smiling\n"
        "faces/a.jpg,25,M,White,007,yes\n"
        "./faces/b.jpg,,FEMALE,,,no\n"
        "/elsewhere/NA,3.5, f ,Asian,x,\n",
    )
    frame = read_manifest(path).frame
    assert frame["path"].tolist() == [f"{tmp_path}/faces/a.jpg", f"{tmp_path}/faces/b.jpg", "/elsewhere/NA"]
    assert frame["image_id"].tolist()[:2] == ["faces/a.jpg", "faces/b.jpg"]
    assert frame["gender"].tolist() == ["male", "female", "female"]
    assert frame["age"].dropna().tolist() == [25.0, 3.5]
    assert frame["ethnicity"].dropna().tolist() == ["white", "asian"]
    assert frame["subject_id"].dropna().tolist() == ["007", "x"]
    assert frame["smiling"].dropna().tolist() == ["yes", "no"]


def test_race_is_read_as_ethnicity(tmp_path: Path) -> None:
    assert read_manifest(write_csv(tmp_path, "path,race\na.jpg,Indian\n")).frame["ethnicity"].tolist() == ["indian"]


def test_a_file_called_na_keeps_its_name(tmp_path: Path) -> None:
    assert read_manifest(write_csv(tmp_path, "image_id,path\nNA,NA\n")).frame["image_id"].tolist() == ["NA"]


def test_ids_that_are_numbers_become_text() -> None:
    assert Manifest(labelled(age=[1, 2]).assign(image_id=[7, 8])).frame["image_id"].tolist() == ["7", "8"]


def test_parquet_labels_of_any_type_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg"],
            "age": pd.array([30, None, 40], dtype="Int64"),
            "gender": pd.Categorical(["M", None, "f"]),
            "ethnicity": [None, None, None],
        }
    )
    frame.to_parquet(tmp_path / "table.parquet")
    read = read_manifest(tmp_path / "table.parquet").frame
    assert read["age"].dtype == np.float64
    assert read["age"].dropna().tolist() == [30.0, 40.0]
    assert read["gender"].dropna().tolist() == ["male", "female"]
    assert read["ethnicity"].isna().all()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_moved_with_its_manifest_stays_valid(tmp_path: Path, suffix: str) -> None:
    old, new = tmp_path / "old", tmp_path / "deep" / "new"
    old.mkdir()
    write_manifest(
        Manifest(pd.DataFrame({"image_id": ["a.jpg"], "path": [f"{old}/images/a.jpg"]})), old / f"m.{suffix}"
    )
    new.parent.mkdir()
    old.rename(new)
    assert read_manifest(new / f"m.{suffix}").frame["path"].tolist() == [f"{new}/images/a.jpg"]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1).filter(str.strip)


def unknown_or(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | values


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=30)  # each writes and reads a file
@given(
    st.lists(
        st.tuples(
            TEXT,
            unknown_or(st.floats(0, 130)),
            unknown_or(st.sampled_from(GENDERS)),
            unknown_or(st.sampled_from(ETHNICITIES)),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: list[tuple]
) -> None:
    frame = pd.DataFrame(rows, columns=["image_id", "age", "gender", "ethnicity", "smile"])
    frame.insert(1, "path", [f"/images/{i}.jpg" for i in range(len(rows))])
    manifest = Manifest(frame)
    path = tmp_path_factory.mktemp("manifest") / f"m.{suffix}"
    write_manifest(manifest, path)
    pd.testing.assert_frame_equal(read_manifest(path).frame, manifest.frame, check_dtype=False)


def test_the_given_frame_is_not_changed() -> None:
    frame = labelled(gender=["M"], age=["30"])
    Manifest(frame)
    assert frame[["gender", "age"]].to_numpy().tolist() == [["M", "30"]]


def test_ages_above_the_tasks_range_stay() -> None:
    assert Manifest(labelled(age=[116, 130])).frame["age"].tolist() == [116.0, 130.0]


@pytest.mark.parametrize(
    ("age", "shown"), [("old", "'old'"), (-1, "-1"), (np.inf, "inf"), (130.5, "130.5"), ("25 years", "'25 years'")]
)
def test_an_impossible_age_is_refused_with_its_row(age: object, shown: str) -> None:
    with pytest.raises(
        ManifestError, match=f"ages as numbers of years from 0 to 130; found 1 unfit: row 2 has {shown}"
    ):
        Manifest(labelled(age=[30, age, None]))


def test_no_more_than_three_offending_rows_are_shown() -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest(labelled(age=[-1.0, -2.0, -3.0, -4.0]))
    assert "found 4 unfit: row 1 has -1.0, row 2 has -2.0, row 3 has -3.0, and more.\n" in str(caught.value)


@pytest.mark.parametrize("codes", [[0, 1], ["0", "1"], [0.0, None], ["male", "1"]])
def test_numbers_for_genders_are_refused_because_datasets_disagree(codes: list) -> None:
    with pytest.raises(ManifestError, match=r"UTKFace has 0 for male, IMDB-WIKI 0 for female"):
        Manifest(labelled(gender=codes))


@pytest.mark.parametrize(("column", "word"), [("gender", "woman"), ("gender", "2"), ("ethnicity", "martian")])
def test_labels_outside_the_vocabulary_are_refused_with_the_vocabulary(column: str, word: str) -> None:
    with pytest.raises(ManifestError, match=rf"{column} as one of .*(male|white).*row 1 has '{word}'"):
        Manifest(labelled(**{column: [word]}))


def test_blank_labels_are_unknown() -> None:
    frame = Manifest(labelled(age=["", "7"], gender=[" ", "m"], ethnicity=["", None])).frame
    assert frame[["age", "gender", "ethnicity"]].isna().to_numpy().tolist() == [
        [True, True, True],
        [False, False, True],
    ]


def test_repeated_ids_are_refused_with_their_rows() -> None:
    frame = labelled(age=[1, 2, 3]).assign(image_id=["a", "b", "a"])
    with pytest.raises(ManifestError, match="each image_id once; found 2 unfit: row 1 has 'a', row 3 has 'a'"):
        Manifest(frame)


def test_paths_that_are_spelled_differently_are_one_image(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="each image_id once"):
        read_manifest(write_csv(tmp_path, "path\na.jpg\n./a.jpg\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,age\na.jpg,3\n", "a column `path`; found file, age"),
        ("path;age\na.jpg;3\n", "separated by commas"),
        ("path,age\n", "a row per image; found none"),
        ("", "it cannot be read"),
        ("path,age\na.jpg,3\n,4\n", "path in every row; found 1 unfit: row 2"),
        ("image_id,path\n,a.jpg\n", "image_id in every row; found 1 unfit: row 1"),
        ("path,age\na.jpg,3,4\nb.jpg,5,6\n", "found rows with more"),
        ("path,age\na.jpg,3\nb.jpg,5,6\n", "it cannot be read"),
    ],
)
def test_a_table_that_is_no_manifest_is_named_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    path = write_csv(tmp_path, text)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_bytes_that_are_no_table_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00\x80 no table")
    with pytest.raises(ManifestError, match=r"it cannot be read|another encoding"):
        read_manifest(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.csv: .*no such file"):
        read_manifest(tmp_path / "gone.csv")


def test_another_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r'\.csv or \.parquet; found "m\.xlsx"'):
        write_manifest(Manifest(labelled(age=[1])), tmp_path / "m.xlsx")
    assert not list(tmp_path.iterdir())


def test_a_carriage_return_that_would_tear_a_csv_row_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(labelled(note=["fine", "two\rlines"]))
    with pytest.raises(ManifestError, match="note without carriage returns; found 1 unfit: row 2"):
        write_manifest(manifest, tmp_path / "m.csv")
    write_manifest(manifest, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").frame["note"].tolist() == ["fine", "two\rlines"]


def test_folder_lists_what_is_named_like_an_image_and_counts_the_rest(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt", "labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    images, ignored = list_images(tmp_path)
    assert images["image_id"].tolist() == ["a.png", "b.JPG", "sub/c.webp"]
    assert images["path"].tolist() == [str(tmp_path / name) for name in images["image_id"]]
    assert ignored == 2


@pytest.mark.parametrize("name", [b"two\nlines.jpg", b"caf\xe9.jpg", "\u00e9\U0001f600.jpg".encode()])
def test_listed_paths_open_the_files_whatever_they_are_called(tmp_path, name):
    for each in (b"a.jpg", name):
        with open(os.path.join(os.fsencode(tmp_path), each), "wb") as file:
            file.write(each)
    images, _ = list_images(tmp_path)
    assert {Path(path).read_bytes() for path in images["path"]} == {b"a.jpg", name}
    assert images["image_id"].tolist() == [printable(os.path.relpath(path, tmp_path)) for path in images["path"]]


def test_listed_texts_are_in_arrows_memory_but_for_names_that_are_not_utf8(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "m.csv").write_text("path\na.jpg\n")
    for source in (tmp_path, tmp_path / "m.csv"):
        assert [str(dtype) for dtype in list_images(source)[0].dtypes] == ["string", "string"]
    (tmp_path / os.fsdecode(b"\xe9.jpg")).touch()
    images, _ = list_images(tmp_path)
    assert [str(dtype) for dtype in images.dtypes] == ["string", "object"]


def test_images_of_a_folder_whose_own_name_is_not_utf8_can_be_opened(tmp_path):
    folder = tmp_path / os.fsdecode(b"f\xe9")
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    images, _ = list_images(folder)
    assert (images["image_id"].tolist(), Path(images["path"][0]).read_bytes()) == (["a.jpg"], b"a")


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(ManifestError, match="found 1 files, none of them named like one"):
        list_images(tmp_path)


def test_manifest_lists_its_images(tmp_path):
    (tmp_path / "m.csv").write_text("path,age\nfaces/a.jpg,3\n")
    images, ignored = list_images(tmp_path / "m.csv")
    assert images.to_dict("records") == [{"image_id": "faces/a.jpg", "path": str(tmp_path / "faces/a.jpg")}]
    assert ignored == 0


def test_folder_in_object_storage_offers_what_is_named_like_an_image_with_size_and_time(bucket):
    folder = place(f"{bucket}/photos")
    for name in ("b.JPG", "a.png", "notes.txt", "sub/c.webp"):
        (folder / name).write_bytes(name.encode())
    images, ignored = list_images(f"{bucket}/photos/")
    assert images["image_id"].tolist() == ["a.png", "b.JPG", "sub/c.webp"]
    assert images["path"].tolist() == [f"{bucket}/photos/{name}" for name in images["image_id"]]
    assert images["size"].tolist() == [5, 5, 10]
    assert images["mtime_ns"].dtype == np.int64
    assert ignored == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://", "name the bucket"),
        ("{bucket}/notes", "1 files, none of them named like one"),
        ("{bucket}/notes/m.csv", "a manifest on this machine"),
    ],
)
def test_what_is_no_folder_of_images_in_object_storage_is_refused(bucket, source, message):
    (place(f"{bucket}/notes") / "a.txt").write_bytes(b"nothing to see")
    with pytest.raises(ManifestError, match=message):
        list_images(source.format(bucket=bucket))


@pytest.mark.parametrize("suffix", FORMATS)
def test_addresses_of_objects_stay_what_they_are(tmp_path, suffix):
    (tmp_path / "m.csv").write_text("path,age\ns3://bucket/a//b.jpg,3\nc.jpg,4\n")
    manifest = read_manifest(tmp_path / "m.csv")
    expected = [
        {"image_id": "s3://bucket/a//b.jpg", "path": "s3://bucket/a//b.jpg"},
        {"image_id": "c.jpg", "path": str(tmp_path / "c.jpg")},
    ]
    assert list_images(tmp_path / "m.csv")[0].to_dict("records") == expected
    write_manifest(manifest, tmp_path / f"again.{suffix}")
    assert list_images(tmp_path / f"again.{suffix}")[0].to_dict("records") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,age,age\na.jpg,3,4\n", "each column once; found age again"),
        (b"path;age\na.jpg;3\n", "separated by commas; found 'path;age'"),
        ("path,name\na.jpg,René\n".encode("latin-1"), "in UTF-8; found another encoding"),
    ],
)
def test_table_in_another_form_is_refused_with_the_remedy(tmp_path, content, message):
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "m.csv")


def test_blank_subject_is_nobody_in_parquet_too(tmp_path):
    pd.DataFrame({"path": ["a.jpg", "b.jpg"], "subject_id": ["", "x"]}).to_parquet(tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").frame["subject_id"].isna().tolist() == [True, False]
