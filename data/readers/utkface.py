"""UTKFace (Zhang, Song and Qi, CVPR 2017): the labels stand in the file names.

Names are `age_gender_ethnicity_timestamp.jpg`, or `.jpg.chip.jpg` for the aligned chips. A few are malformed; public
repairs of them disagree, so they are rejected with a reason, never repaired.
"""

import os
import re

from data.images import RejectedFile
from data.labels import ETHNICITIES, GENDERS, OLDEST_AGE, UTKFACE_ETHNICITIES, UTKFACE_GENDERS
from data.readers.files import Progress, Reading, Row, read_files

_FIELDS = ("age", "gender", "ethnicity", "timestamp")
_NAME = re.compile(r"(?P<stem>[^/]+?)\.jpg(\.chip\.jpg)?")


def read(root: str | os.PathLike[str], *, on_progress: Progress | None = None) -> Reading:
    """Index a folder of UTKFace images with age, gender and ethnicity; see `files.read_files`."""
    return read_files(root, parse_name, on_progress=on_progress)


def parse_name(image_id: str) -> Row:
    """Read age (float, years), gender and ethnicity from the last part of a path.

    Raises
    ------
    RejectedFile : saying which part of the name is not what it should be.
    """
    name = _NAME.fullmatch(image_id.rpartition("/")[2])
    if not name:
        raise RejectedFile("expected a name ending in .jpg or .jpg.chip.jpg")
    parts = name["stem"].split("_")
    if len(parts) != len(_FIELDS):
        raise RejectedFile(f"expected {'_'.join(_FIELDS)}, found {len(parts)} parts")
    age, gender, ethnicity, timestamp = parts
    if not (re.fullmatch("[0-9]{1,3}", age) and int(age) <= OLDEST_AGE):
        raise RejectedFile(f'expected an age from 0 to {OLDEST_AGE}, found "{age}"')
    if gender not in UTKFACE_GENDERS:
        raise RejectedFile(f'expected gender as 0 ({GENDERS[0]}) or 1 ({GENDERS[1]}), found "{gender}"')
    if ethnicity not in UTKFACE_ETHNICITIES:
        raise RejectedFile(f'expected ethnicity as 0 to {len(ETHNICITIES) - 1}, found "{ethnicity}"')
    if not re.fullmatch("[0-9]+", timestamp):
        raise RejectedFile(f'expected a timestamp of digits, found "{timestamp}"')
    return {"age": float(age), "gender": UTKFACE_GENDERS[gender], "ethnicity": UTKFACE_ETHNICITIES[ethnicity]}
