"""The leakage meter: what the same heads seem to be worth when near copies may stand on both sides of a split."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, eq=False)
class Leakage:
    """What the grouped split keeps apart, and what a plain random one would let through.

    Attributes
    ----------
    rule : of the grouped split, in words.
    figures : DataFrame with task, backbone, head, metric, grouped, random: the same head on the same rows under both
        splits, all test rows pooled, first seed.
    near : DataFrame with backbone, split ("grouped" or "random"), share (of test rows whose nearest training row is a
        near copy: `heads.audit.Neighbours`), median (similarity, cosine).
    nearest : DataFrame with backbone, split, similarity: of each test row to its nearest training row.
    conflicts : DataFrame as of `heads.audit.find_conflicts`; it has ids of images.
    """

    rule: str
    figures: pd.DataFrame
    near: pd.DataFrame
    nearest: pd.DataFrame
    conflicts: pd.DataFrame
