"""Photographs sorted into folders: each where it belongs, none lost, none written over."""

import os
import stat
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heads.folder.places import FAILED, THERE, WRITTEN, FolderError
from heads.folder.sorting import MOST_GROUPS, sort_into
from tests.heads.folder.scored import no_face, picture, row, table, within


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of four pictures, two of them of the same name."""
    for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg", "trip/a.jpg")):
        picture(tmp_path / "photos" / name, colour=(40 * number, 0, 0))
    return tmp_path / "photos"


def scored() -> pd.DataFrame:
    """A woman of 30 with a child of 5; a man of 30; nobody; a woman of 70."""
    male = {"gender": "male", "gender_proba": 0.8}
    return table(
        row("a.jpg", 1),
        row("a.jpg", 2, age=5.0, **male),
        row("b.jpg", **male),
        no_face("c.jpg"),
        row("trip/a.jpg", age=70.0),
    )


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_photograph_goes_into_the_folder_of_each_of_its_faces(tmp_path, photos):
    rows, before = scored(), held(photos)
    found = sort_into(rows, within(photos, rows), tmp_path / "out", by="age_group", scanned=[photos])
    assert held(tmp_path / "out") == {
        "Adult/a.jpg": before["a.jpg"],
        "Adult/b.jpg": before["b.jpg"],
        "Child/a.jpg": before["a.jpg"],
        "Senior/a.jpg": before["trip/a.jpg"],
        "no face/c.jpg": before["c.jpg"],
    }
    assert found["outcome"].tolist() == [WRITTEN] * 5
    assert held(photos) == before
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_photographs_of_one_name_get_numbers_and_nothing_is_put_twice(tmp_path, photos):
    rows, out = scored(), tmp_path / "out"
    first = sort_into(rows, within(photos, rows), out, by="gender")
    names = {"female/a.jpg", "female/a (2).jpg", "male/a.jpg", "male/b.jpg", "no face/c.jpg"}
    assert set(held(out)) == set(first["place"]) == names
    again = sort_into(rows, within(photos, rows), out, by="gender")
    assert again["outcome"].tolist() == [THERE] * 5
    assert again["place"].tolist() == first["place"].tolist()
    assert set(held(out)) == names


def test_file_that_is_there_is_never_written_over(tmp_path, photos):
    own = picture(tmp_path / "out" / "male" / "b.jpg", colour=(9, 9, 9))
    before, rows = own.read_bytes(), scored()
    sort_into(rows, within(photos, rows), tmp_path / "out", by="gender")
    assert own.read_bytes() == before
    assert (tmp_path / "out" / "male" / "b (2).jpg").read_bytes() == (photos / "b.jpg").read_bytes()


def test_copies_keep_the_time_of_their_photograph(tmp_path, photos):
    os.utime(photos / "b.jpg", ns=(10**18, 10**18))
    rows = scored()
    sort_into(rows, within(photos, rows), tmp_path / "out", by="gender")
    assert (tmp_path / "out/male/b.jpg").stat().st_mtime_ns == 10**18


@pytest.mark.parametrize("how", ["hardlink", "symlink"])
def test_links_lead_to_the_photographs_and_are_made_once(tmp_path, photos, how):
    rows, out = scored(), tmp_path / "out"
    found = sort_into(rows, within(photos, rows), out, by="gender", how=how)
    assert found["outcome"].tolist() == [WRITTEN] * 5
    assert (out / "male" / "b.jpg").samefile(photos / "b.jpg")
    assert (out / "male" / "b.jpg").is_symlink() == (how == "symlink")
    assert (out / "female" / "a (2).jpg").samefile(photos / "trip" / "a.jpg")
    assert sort_into(rows, within(photos, rows), out, by="gender", how=how)["outcome"].tolist() == [THERE] * 5


def test_by_status_every_row_counts(tmp_path, photos):
    rows = table(row("a.jpg"), no_face("c.jpg"), no_face("gone.jpg", "missing", "no such file"))
    found = sort_into(rows, within(photos, rows), tmp_path / "out", by="status")
    assert set(held(tmp_path / "out")) == {"ok/a.jpg", "no face/c.jpg"}
    assert found["outcome"].tolist() == [WRITTEN, WRITTEN, FAILED]
    assert found["reason"].iloc[2] == "no such file"


def test_face_that_failed_beside_others_adds_no_folder_and_one_without_an_age_has_its_own(tmp_path, photos):
    failed = no_face("a.jpg", "no_embedding", "the backbone gave no numbers for this face")
    rows = table(row("a.jpg", 1), failed, row("b.jpg", age=None))
    sort_into(rows, within(photos, rows), tmp_path / "out", by="age_group")
    assert set(held(tmp_path / "out")) == {"Adult/a.jpg", "not given/b.jpg"}


def test_age_group_of_the_scores_goes_before_one_made_from_ages(tmp_path, photos):
    rows = table(row("a.jpg", age_group="grown-up", age_group_proba=0.9))
    sort_into(rows, within(photos, rows), tmp_path / "out", by="age_group")
    assert set(held(tmp_path / "out")) == {"grown-up/a.jpg"}


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("../../etc", "_.._etc"),
        ("/", "_"),
        ("..", "_"),
        ("", "not given"),
        ("a\nb", "a_nb"),
        ("x" * 300, "x" * 60),
        ('what: "this"?', "what_ _this__"),
        ("日本", "日本"),
    ],
)
def test_names_of_groups_are_made_safe(tmp_path, photos, value, folder):
    rows = table(row("a.jpg", kind=value, kind_proba=0.9))
    sort_into(rows, within(photos, rows), tmp_path / "out", by="kind")
    assert set(held(tmp_path / "out")) == {f"{folder}/a.jpg"}


def test_groups_whose_safe_names_are_alike_stay_apart(tmp_path, photos):
    kinds = ["x/y", "x:y", "X_y", "x_y"]
    rows = table(
        *(
            row(name, kind=kind, kind_proba=0.9)
            for name, kind in zip(("a.jpg", "b.jpg", "c.jpg", "trip/a.jpg"), kinds, strict=True)
        )
    )
    sort_into(rows, within(photos, rows), tmp_path / "out", by="kind")
    assert len({Path(name).parent for name in held(tmp_path / "out")}) == 4


@pytest.mark.parametrize("by", ["age", "path", "bundle", "nothing", "quality"])
def test_what_has_no_groups_is_refused_with_what_has(tmp_path, photos, by):
    rows = scored()
    with pytest.raises(FolderError, match="expected a column of groups: gender, age_group, status"):
        sort_into(rows, within(photos, rows), tmp_path / "out", by=by)
    assert not (tmp_path / "out").exists()


def test_too_many_groups_are_refused(tmp_path):
    rows = table(*(row(f"{n}.jpg", name=f"person {n}", name_proba=0.9) for n in range(MOST_GROUPS + 1)))
    with pytest.raises(FolderError, match="expected 100 groups at most; found 101"):
        sort_into(rows, within(tmp_path, rows), tmp_path / "out", by="name")


def test_object_in_storage_is_copied_and_cannot_be_linked(tmp_path, bucket):
    from data.remote import RemotePath

    content = picture(tmp_path / "a.jpg").read_bytes()
    RemotePath(f"{bucket.removeprefix('s3://')}/a.jpg").write_bytes(content)
    rows = table(row("a.jpg"))
    found = sort_into(rows, [f"{bucket}/a.jpg"], tmp_path / "out", by="gender")
    assert found["outcome"].tolist() == [WRITTEN]
    assert held(tmp_path / "out") == {"female/a.jpg": content}
    linked = sort_into(rows, [f"{bucket}/a.jpg"], tmp_path / "links", by="gender", how="symlink")
    assert (linked["outcome"].iloc[0], linked["reason"].iloc[0]) == (
        FAILED,
        "only a file of this machine can be linked: copy it",
    )


folders, names, contents = (
    st.sampled_from(["", "x/", "y/", "x/z/"]),
    st.sampled_from(["a.jpg", "b.jpg", "c"]),
    st.binary(max_size=2),
)
trees = st.dictionaries(st.tuples(folders, names).map("".join), contents, min_size=1, max_size=8)
kinds = st.lists(st.sampled_from(["k", "l", "m"]), max_size=3)


@given(trees, st.data(), st.sampled_from(["copy", "hardlink", "symlink"]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_photograph_is_lost_none_is_put_twice_and_all_stay_as_they_were(tmp_path_factory, tree, data, how):
    base = tmp_path_factory.mktemp("sort")
    rows, wanted = [], []
    for name, content in tree.items():
        (base / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "in" / name).write_bytes(content)
        own = data.draw(kinds)
        rows += [row(name, number, kind=kind, kind_proba=1.0) for number, kind in enumerate(own, start=1)]
        rows += [] if own else [no_face(name) | {"kind": None, "kind_proba": None}]
        wanted += [(name, kind) for kind in dict.fromkeys(own)] or [(name, "no face")]
    frame = table(*rows)
    runs = [sort_into(frame, within(base / "in", frame), base / "out", by="kind", how=how) for _ in range(2)]
    out = held(base / "out")
    assert Counter(runs[0]["path"]) == Counter(name for name, _ in wanted)
    for path, place in zip(runs[0]["path"], runs[0]["place"], strict=True):
        assert (path, place.split("/")[0]) in wanted
        assert out[place] == tree[path]
    different = {(kind, Path(name).name, tree[name] if how == "copy" else name) for name, kind in wanted}
    assert len(out) == len(different) == (runs[0]["outcome"] == WRITTEN).sum()
    assert (runs[1]["outcome"] == THERE).all()
    assert held(base / "in") == tree
