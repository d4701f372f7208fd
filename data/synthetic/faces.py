"""Draw faces, and folders of them with labels in their names."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.files import atomic_write
from data.labels import ETHNICITIES, GENDERS
from data.synthetic import features, hair
from data.synthetic.camera import Scene, draw_scene, photograph
from data.synthetic.canvas import Canvas
from data.synthetic.traits import Person, Rng, draw_person

Progress = Callable[[int, int], None]  # (faces done, faces in all)

_OLDEST = 90
_GOLDEN = (5**0.5 - 1) / 2  # its multiples, less their whole parts, leave no large gaps
_FIRST_TIMESTAMP = 20170101000000000
_JPEG_QUALITY = 92


def draw_faces(
    folder: str | os.PathLike[str], n: int = 300, *, seed: int = 0, on_progress: Progress | None = None
) -> None:
    """Write drawn faces as JPEG files of 200 x 200 pixels that `data.readers.utkface` reads.

    Face i depends on `seed` and i alone, whatever `n` is. Equal seeds give equal labels everywhere, and equal bytes
    with equal versions of NumPy and OpenCV on the same kind of processor; elsewhere single pixels may differ a little.

    Parameters
    ----------
    folder : is made if it is not there. Files in it stay, but for those of the same names.
    n : how many. Ages from 1 to 90 are spread evenly; of ten faces in a row, each decade of them, each gender and
        each tone has its share.
    seed : 0 or more.
    on_progress : called after each file with how many are done, and `n`.

    Raises
    ------
    OSError : if the folder cannot be made or written.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        age, gender, tone = labels_of(i, seed)
        rng = np.random.default_rng([seed, i])
        picture = draw_face(draw_person(age, gender, tone, rng), draw_scene(rng), rng)
        _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        codes = f"{age}_{GENDERS.index(gender)}_{ETHNICITIES.index(tone)}"
        with atomic_write(path / f"{codes}_{_FIRST_TIMESTAMP + i}.jpg.chip.jpg") as file:
            file.write(jpeg.tobytes())
        if on_progress:
            on_progress(i + 1, n)


def labels_of(i: int, seed: int) -> tuple[int, str, str]:
    """Return age (years), gender and tone of face i: each ten in a row have all genders, tones and decades."""
    ten, k = divmod(i, 2 * len(ETHNICITIES))
    share = np.random.default_rng(seed).random() + ten * _GOLDEN + k / 10
    return 1 + int(_OLDEST * (share % 1)), GENDERS[k % 2], ETHNICITIES[k // 2]


def draw_face(person: Person, scene: Scene, rng: Rng) -> NDArray[np.uint8]:
    """Draw a person in a scene: ndarray of shape (200, 200, 3), uint8, RGB."""
    canvas = Canvas()
    texture = hair.strands(canvas, person, rng)
    features.background(canvas, scene, rng)
    hair.behind(canvas, person, texture)
    features.shoulders(canvas, person)
    features.ears(canvas, person)
    face = features.head(canvas, person)
    features.complexion(canvas, person, face, rng)
    features.wrinkles(canvas, person, rng)
    features.nose(canvas, person)
    hair.beard(canvas, person, texture, face, rng)
    features.mouth(canvas, person)
    gaze = (rng.normal(0, 0.014), rng.normal(0, 0.006))
    for side in features.SIDES:
        features.eye(canvas, person, side, gaze)
        features.brow(canvas, person, side, rng)
    hair.around(canvas, person, texture)
    features.glasses(canvas, person)
    return photograph(canvas, scene, rng)
