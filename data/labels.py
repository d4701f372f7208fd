"""What an age, a gender, an ethnicity and an age group are here, and how datasets' words for them translate."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from data.errors import FaceprobeError

GENDERS = ("male", "female")
ETHNICITIES = ("white", "black", "asian", "indian", "others")
DEFAULT_AGE_RANGE = (0, 100)  # of the age task, both ends included; a manifest may hold older people
OLDEST_AGE = 130  # above it an age is a mistake: the oldest person on record reached 122

COLUMN_SYNONYMS = {"subject": "subject_id", "celeb_id": "subject_id", "race": "ethnicity"}
GENDER_WORDS = {"male": "male", "m": "male", "female": "female", "f": "female"}
ETHNICITY_WORDS = dict(zip(ETHNICITIES, ETHNICITIES, strict=True))

# Codes differ between datasets (IMDB-WIKI has 0 for female), so each has its own table.
UTKFACE_GENDERS = dict(zip("01", GENDERS, strict=True))
UTKFACE_ETHNICITIES = dict(zip("01234", ETHNICITIES, strict=True))


class LabelError(FaceprobeError):
    """A definition of labels that makes no sense."""


@dataclass(frozen=True)
class AgeGroups:
    """Consecutive groups of ages in years.

    Attributes
    ----------
    names : one name per group.
    edges : the lowest age of each group, strictly increasing; a group ends where the next begins, the last one never.
    """

    names: tuple[str, ...]
    edges: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that the edges increase and that each has a name."""
        increasing = all(low < high for low, high in pairwise(self.edges))
        if len(self.edges) < 2 or len(self.names) != len(self.edges) or not increasing or self.edges[0] < 0:
            raise LabelError(
                "expected two or more increasing lower ages from 0 on, one per name; "
                f"found edges {self.edges} for names {self.names}."
            )

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.names)

    def assign(self, ages: ArrayLike) -> np.ndarray:
        """Say which group each age belongs to.

        Parameters
        ----------
        ages : array-like of shape (n,), years; NaN is an unknown age. 3.9 years are 3 completed years.

        Returns
        -------
        ndarray of shape (n,), int64 : positions in `names`; -1 for an unknown age and for one below the first edge.
        """
        years = np.asarray(ages, dtype=np.float64)
        groups = np.searchsorted(self.edges, years, side="right") - 1
        return np.where(np.isnan(years), -1, groups)


_TEN = {
    "Baby": 0,
    "Toddler": 2,
    "Child": 4,
    "Adolescent": 9,
    "Teenager": 14,
    "Young Adult": 19,
    "Adult": 25,
    "Mature Adult": 35,
    "Middle Age": 45,
    "Senior": 59,
}
_FIVE = {"Child": 0, "Teenager": 13, "Young Adult": 20, "Middle Age": 36, "Senior": 60}
_TWENTY_YEARS = {"0-19": 0, "20-39": 20, "40-59": 40, "60-79": 60, "80 and over": 80}

AGE_GROUPS = {
    name: AgeGroups(tuple(groups), tuple(groups.values()))
    for name, groups in {"ten": _TEN, "five": _FIVE, "twenty-years": _TWENTY_YEARS}.items()
}
DEFAULT_AGE_GROUPS = "ten"


def parse_age_groups(text: str) -> AgeGroups:
    """Read the name of a preset, or custom lower ages such as "0,13,18,65".

    Raises
    ------
    LabelError : if `text` is neither.
    """
    if text in AGE_GROUPS:
        return AGE_GROUPS[text]
    try:
        edges = tuple(int(part) for part in text.split(","))
        return AgeGroups(_names_of(edges), edges)
    except (ValueError, LabelError):
        raise LabelError(
            f"expected age groups as one of {', '.join(AGE_GROUPS)}, or as increasing lower ages in whole years "
            f'such as "0,13,18,65"; found "{text}".'
        ) from None


def _names_of(edges: tuple[int, ...]) -> tuple[str, ...]:
    """Name groups by their ages: "0-12", "13", "14 and over"."""
    closed = [str(low) if low == above - 1 else f"{low}-{above - 1}" for low, above in pairwise(edges)]
    return (*closed, f"{edges[-1]} and over")
