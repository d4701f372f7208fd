"""How much heads suffer as pictures get worse: test images read again, corrupted, embedded and predicted anew."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.corrupt import CORRUPTIONS, WORST, corrupt
from data.errors import BackboneError, FaceprobeError
from embedder.backbone import Backbone, load_backbone, start_backbone
from embedder.preprocess import ImageRejected, Picture, decode, read_file
from embedder.resolve import recall_backbone, split_name
from embedder.spec import EmbeddingSpec
from heads.cell import Cell, fit_folds
from heads.dataset import AnySpec, Dataset, parts_of, side_by_side
from heads.metrics import Array
from heads.tasks import Task

ROBUSTNESS = ["backbone", "head", "task", "corruption", "level", "metric", "value", "n"]
LEVELS = range(1, WORST + 1)

Load = Callable[[EmbeddingSpec], Backbone]
Vectors = Mapping[str, NDArray[np.generic]]  # by fingerprint: (rows, corruptions, levels, *dim)


def measure_robustness(
    chosen: Sequence[tuple[Cell, Task]],
    data: Dataset,
    load: Load,
    *,
    most: int,
    seed: int = 0,
    on_progress: Callable[[int], object] = lambda n: None,
) -> pd.DataFrame:
    """Test cells on corrupted images of the first fold's test rows, by heads that have not seen them.

    Parameters
    ----------
    chosen : cells, each with a task; their heads are trained on the first fold again, with `seed`.
    load : starts the backbone of a spec; see `loader`.
    most : images to corrupt, drawn at random.
    on_progress : called with 1 after each image and backbone.

    Returns
    -------
    DataFrame with columns ROBUSTNESS: the task's first metric for each of `CORRUPTIONS` at each level, where level 0
        is the image as it is, and n rows with a label.

    Raises
    ------
    FaceprobeError : an image is no longer where the manifest says, or a backbone that cannot be loaded.
    """
    once = replace(data, split=replace(data.split, roles=data.split.roles[:, :1], repeats=1), test=None)
    _, _, test = once.split.indices(0)
    rows = np.sort(np.random.default_rng(seed).permutation(test)[:most])
    parts = {part.fingerprint: part for cell, _ in chosen for part in parts_of(cell.spec)}
    paths = data.rows.frame["path"].to_numpy()[rows]
    vectors = {print_: _embed_corrupted(paths, load, spec, on_progress) for print_, spec in parts.items()}
    table = []
    for cell in dict.fromkeys(cell for cell, _ in chosen):
        (fitted,) = fit_folds(cell, once, seeds=[seed])
        outputs = {0: fitted.nets[0].predict(data.rows.vectors[cell.spec.fingerprint][rows])}
        seen = side_by_side([_flat(vectors[part.fingerprint]) for part in parts_of(cell.spec)])
        worse = fitted.nets[0].predict(seen)
        for task in (task for own, task in chosen if own == cell):
            y, names = data.rows.labels[task.name][rows], (cell.backbone, cell.head, task.name)
            table += [(*names, *line) for line in _levels(task, y, outputs[0][task.name], worse[task.name])]
    return pd.DataFrame(table, columns=ROBUSTNESS)


def _levels(
    task: Task, y: Array, whole: NDArray[np.floating], worse: NDArray[np.floating]
) -> list[tuple[str, int, str, float, int]]:
    """Measure a task at every level of every corruption; `worse` has rows x corruptions x levels on its first axis."""
    metric, n = task.metrics[0], int(np.isfinite(y).sum())
    by_level = worse.reshape(len(y), len(CORRUPTIONS), len(LEVELS), *worse.shape[1:])
    return [
        (name, level, metric, task.evaluate(y, whole if level == 0 else by_level[:, number, level - 1])[metric], n)
        for number, name in enumerate(CORRUPTIONS)
        for level in (0, *LEVELS)
    ]


def _embed_corrupted(
    paths: Sequence[str], load: Load, spec: EmbeddingSpec, on_progress: Callable[[int], object]
) -> NDArray[np.generic]:
    """Embed every image at every level of every corruption: (rows, corruptions x levels, *dim)."""
    with load(spec) as backbone:
        vectors = []
        for seed, path in enumerate(paths):
            picture = _read(path)
            made = (corrupt(picture, name, level, seed=seed) for name in CORRUPTIONS for level in LEVELS)
            vectors.append(backbone.embed([backbone.crop(each) for each in made]))
            on_progress(1)
    return np.stack(vectors)


def _read(path: str) -> Picture:
    """Read an image that was embedded once."""
    try:
        return decode(read_file(path)[1])
    except ImageRejected as rejected:
        raise FaceprobeError(
            f"expected the images of the manifest, to corrupt them; {path}: {rejected.reason}.\n"
            "Bring them back, or leave --robustness out."
        ) from None


def _flat(vectors: NDArray[np.generic]) -> NDArray[np.generic]:
    """(rows, versions, *dim) to (rows x versions, *dim)."""
    return vectors.reshape(-1, *vectors.shape[2:])


def require_loadable(specs: Sequence[AnySpec], load: Load) -> None:
    """Start every backbone once, before anything is trained in vain.

    Raises
    ------
    BackboneError : one cannot be started.
    """
    for part in {part.fingerprint: part for spec in specs for part in parts_of(spec)}.values():
        try:
            load(part).close()
        except BackboneError as error:
            raise BackboneError(
                f"corrupted images are embedded anew, so {part.name} must be loadable: {error}"
            ) from None


def loader(names: Sequence[str]) -> Load:
    """Make what starts the backbone of a spec: one of these names as in `extract`, if it is that one, else by itself.

    Raises
    ------
    BackboneError : (when called) none of the names gives such embeddings, and the program knows no such backbone.
    """
    asked = [part for name in names for part in split_name(name)]

    def load(spec: EmbeddingSpec) -> Backbone:
        for name in asked:
            try:
                backbone = load_backbone(name)
            except BackboneError:  # a name in the store alone, or a backbone that is not the one
                continue
            if backbone.spec.fingerprint == spec.fingerprint:
                return backbone
            backbone.close()
        return start_backbone(recall_backbone(spec))

    return load
