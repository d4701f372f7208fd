"""UTKFace's names are read strictly: labels, or the reason why there are none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.images import RejectedFile
from data.labels import ETHNICITIES, GENDERS, OLDEST_AGE
from data.readers import utkface


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("100_1_0_20170110183726390.jpg.chip.jpg", (100.0, "female", "white")),
        ("26_0_1_20170110183726390.jpg", (26.0, "male", "black")),
        ("part1/sub/1_0_2_20161219140627985.jpg", (1.0, "male", "asian")),
        ("0_1_3_20161219140627985.jpg", (0.0, "female", "indian")),
        ("116_1_4_20161219140627985.jpg", (116.0, "female", "others")),
    ],
)
def test_names_hold_the_labels(name: str, labels: tuple[float, str, str]) -> None:
    assert tuple(utkface.parse_name(name).values()) == labels


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("39_1_20170116174525125.jpg", "expected age_gender_ethnicity_timestamp, found 3 parts"),
        ("61_1_20170109142408075.jpg.chip.jpg", "expected age_gender_ethnicity_timestamp, found 3 parts"),
        ("1_2_3_4_5.jpg", "found 5 parts"),
        ("53__0_20170116184028385.jpg", r'gender as 0 \(male\) or 1 \(female\), found ""'),
        ("61_3_0_20170109150557335.jpg", 'gender .* found "3"'),
        ("61_1_5_20170109150557335.jpg", 'ethnicity as 0 to 4, found "5"'),
        ("55_0_0_20170116232725357jpg.chip.jpg", "timestamp of digits"),
        ("24_0_1_20170116220224657 .jpg", "timestamp of digits"),
        ("999_0_1_20170116220224657.jpg", 'an age from 0 to 130, found "999"'),
        ("-1_0_1_20170116220224657.jpg", "an age from 0 to 130"),
        ("٣_0_1_20170116220224657.jpg", "an age from 0 to 130"),
        ("24_0_1_20170116220224657.png", "ending in .jpg"),
        ("24_0_1_20170116220224657.jpg\n", "ending in .jpg"),
        ("UTKFace.csv", "ending in .jpg"),
    ],
)
def test_malformed_names_are_rejected_with_what_is_wrong(name: str, reason: str) -> None:
    with pytest.raises(RejectedFile, match=reason):
        utkface.parse_name(name)


@given(
    st.integers(0, OLDEST_AGE),
    st.integers(0, 1),
    st.integers(0, 4),
    st.integers(10**16, 10**17),
    st.sampled_from([".jpg", ".jpg.chip.jpg"]),
)
def test_every_well_formed_name_gives_its_codes(age: int, gender: int, ethnicity: int, stamp: int, suffix: str) -> None:
    labels = utkface.parse_name(f"{age}_{gender}_{ethnicity}_{stamp}{suffix}")
    assert labels == {"age": age, "gender": GENDERS[gender], "ethnicity": ETHNICITIES[ethnicity]}


@given(st.text())
def test_any_other_name_is_rejected_and_never_repaired(name: str) -> None:
    with pytest.raises(RejectedFile):
        utkface.parse_name(name)


def test_the_real_folder_gives_7291_rows_and_2_rejected_names(utkface_dir: Path) -> None:
    manifest, rejected = utkface.read(utkface_dir)
    assert len(manifest) == 7291
    assert manifest.frame[["age", "gender", "ethnicity"]].notna().all(axis=None)
    assert rejected["path"].tolist() == ["61_1_20170109142408075.jpg.chip.jpg", "61_3_20170109150557335.jpg.chip.jpg"]
    assert rejected["reason"].str.endswith("found 3 parts").all()
