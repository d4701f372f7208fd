"""Embeddings with age and gender in them, made up: fast to learn, not trivial."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heads.tasks import Task

AGE = Task("age", "age", "age", tuple(range(101)))
GENDER = Task("gender", "gender", "class", ("male", "female"))
HEIGHT = Task("height", "height", "number")


class Faces(NamedTuple):
    """Embeddings (n, 16) and labels by task name; rows of `fold` train, validate and test."""

    X: NDArray[np.float32]
    y: dict[str, NDArray[np.float64]]
    fold: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def make_faces(n: int = 600, *, seed: int = 0) -> Faces:
    """Hide an age, a gender and a height (cm) in random directions, under noise."""
    rng = np.random.default_rng(seed)
    age, gender = rng.uniform(0, 100, n), rng.integers(0, 2, n).astype(np.float64)
    height = 170 + 10 * rng.normal(size=n)
    facts = np.stack([np.sin(age / 40), np.cos(age / 40), gender - 0.5, (height - 170) / 10], axis=1)
    X = facts @ rng.normal(size=(4, 16)) + 0.1 * rng.normal(size=(n, 16))
    train, valid, test = np.split(rng.permutation(n), [n * 7 // 10, n * 8 // 10])
    return Faces(X.astype(np.float32), {"age": age, "gender": gender, "height": height}, (train, valid, test))
