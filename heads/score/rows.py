"""The rows of scores: what a bundle says of each face of some images, and why it says nothing of the others."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from data.images import printable
from data.labels import AGE_GROUPS, DEFAULT_AGE_GROUPS
from embedder.backbone import Backbone
from embedder.faces.finder import Finder
from embedder.faces.table import BOX, as_frame, traits_of
from embedder.store import EmbeddingStore
from heads.bundle import Bundle
from heads.net import HeadError
from heads.tasks import Task

UNIT = 32  # inputs that are predicted together, counted from the first: a product of matrices may differ in the last
# bit with the number of its rows, and a run that was killed and continued is to give the bytes of one that was not

AGES = ("age", "age_low", "age_high")
GROUP = ("age_group", "age_group_proba")
NO_EMBEDDING = ("no_embedding", "the backbone gave no numbers for this face")
NOT_TRAINED = "(random weights, not trained)"  # stands beside the bundle's id in every row

# Inferring ethnicity of people is restricted by law in places (EU AI Act, Art. 5(1)(g)): only when asked for by name.
ON_REQUEST = "ethnicity"

_FOUND = "has an embedding"
Kind = Literal["text", "integer", "number"]
_FACE_COLUMNS: Mapping[str, Kind] = {  # the box in pixels of the upright image, turned in degrees
    **dict.fromkeys(BOX, "number"),
    "confidence": "number",
    "quality": "number",
    "turned": "integer",
}


@dataclass(frozen=True)
class Asked:
    """What is asked of rows.

    Attributes
    ----------
    ethnicity : whether to predict it, if the bundle can.
    abstain : years; an age whose interval is wider is not given. None gives them all.
    """

    ethnicity: bool = False
    abstain: float | None = None


class Scores(NamedTuple):
    """The rows of some inputs that follow each other.

    Attributes
    ----------
    inputs : how many.
    rows : DataFrame of the columns of `Scorer.columns`; of its index nothing is promised.
    files : Series of the same length: the file of each row, as absolute path, `ARCHIVE!/MEMBER` or s3:// address.
    statuses : inputs by status.
    """

    inputs: int
    rows: pd.DataFrame
    files: pd.Series
    statuses: Counter[str]


class Scorer:
    """Makes rows of images whose embeddings a store has.

    Parameters
    ----------
    bundle : what predicts.
    backbone : from `bundle.load_backbone`, so that the embeddings are the bundle's own, or as near to them as was
        accepted.
    finder : finds faces in the images; without one each image is a face as it is.

    Attributes
    ----------
    settings : all that changes a row of an image, by names that people know.
    columns : by name what each holds, in order: path, sha256, face (0 for the image as a whole, else its number, from
        1, the largest first; missing without one), status, reason; with a finder the box, confidence, quality, turned;
        those of `Bundle.predict`, after the age its group; mismatch, if one was accepted; bundle (its id), fingerprint.

    Raises
    ------
    HeadError : what is asked for cannot be had from this bundle.
    """

    def __init__(
        self, bundle: Bundle, backbone: Backbone, *, finder: Finder | None = None, asked: Asked | None = None
    ) -> None:
        asked = asked or Asked()
        self.backbone, self.finder = backbone, finder
        self._bundle, self._abstain = bundle, asked.abstain
        self._tasks = tasks_asked_for(bundle, ethnicity=asked.ethnicity)
        if asked.abstain is not None and "age" not in bundle.calibration:
            raise HeadError("--abstain goes by intervals of ages, and this bundle has none: train it on more rows")
        age = next((task for task in self._tasks if task.kind == "age"), None)
        self._grouped = None if any(task.name == GROUP[0] for task in self._tasks) else age
        self._fingerprint = backbone.spec.fingerprint
        seeded = bundle.embedding.seeded is not None
        accepted = "; ".join(f"{what} {given}, trained on {own}" for what, given, own in bundle.mismatch(backbone))
        self._constant = {"mismatch": accepted} if accepted else {}
        self._constant["bundle"] = f"{bundle.id} {NOT_TRAINED}" if seeded else bundle.id
        self._constant["fingerprint"] = self._fingerprint
        self._blas = ThreadpoolController()
        self.columns = self._columns()
        self.settings = {
            "bundle": bundle.id,
            "embeddings": self._fingerprint,
            "faces": finder.settings.words if finder else "the images themselves",
            "abstain": "never" if asked.abstain is None else f"over {asked.abstain:g} years",
        }

    def _columns(self) -> dict[str, Kind]:
        columns: dict[str, Kind] = {"path": "text", "sha256": "text", "face": "integer"}
        columns |= {"status": "text", "reason": "text"}
        columns |= _FACE_COLUMNS if self.finder else {}
        for task in self._tasks:
            if task.kind == "class":
                columns |= {task.columns[0]: "text", task.columns[1]: "number"}
            else:
                columns |= dict.fromkeys(AGES if task.kind == "age" else task.columns, "number")
            if task is self._grouped:
                columns |= {GROUP[0]: "text", GROUP[1]: "number"}
        return columns | dict.fromkeys(self._constant, "text")

    def score(self, images: pd.DataFrame, store: EmbeddingStore) -> Scores:
        """Make the rows of images that follow each other, the first of them at a multiple of UNIT.

        Parameters
        ----------
        images : as `ExtractReport.images` has them.
        """
        statuses = Counter(images["status"].tolist())
        images = images.reset_index(drop=True)
        if self.finder:
            rows = _with_faces(images, store, self.finder)
        else:
            rows = images.assign(face=0.0, image=range(len(images)))
        rows["path"], files = [printable(name) for name in rows["image_id"]], rows["path"]
        rows["face"] = rows["face"].where(rows["status"] == "ok")
        rows = rows.join(self._predictions(rows[rows["status"] == "ok"], store))
        lost = (rows["status"] == "ok") & rows[_FOUND].isna()  # of several faces of an image one may fail alone
        rows.loc[lost, ["status", "reason"]] = NO_EMBEDDING
        rows.loc[lost, "face"] = np.nan
        if self._abstain is not None:
            _abstain(rows, self._abstain)
        rows = rows.assign(**self._constant)[[*self.columns]]
        return Scores(len(images), rows.astype(dtypes(self.columns)), files, statuses)

    def _predictions(self, rows: pd.DataFrame, store: EmbeddingStore) -> pd.DataFrame:
        """What the bundle says of rows that have an embedding, under their labels, and in _FOUND that they have."""
        if rows.empty:  # a store in which there is no face yet has no table of them
            return pd.DataFrame(columns=[*self.columns.keys() - {*rows, *self._constant}, _FOUND], dtype=object)
        found, vectors = store.read(self._fingerprint, rows["sha256"], face=rows["face"])
        predicted = self._predict(vectors, rows["image"].loc[found.index].to_numpy() // UNIT)
        return predicted.set_index(found.index).assign(**{_FOUND: True})

    def _predict(self, vectors: NDArray[Any], units: NDArray[np.int64]) -> pd.DataFrame:
        """Predict vectors (n, *dim), those of each unit together."""
        parts = np.split(vectors, np.flatnonzero(np.diff(units)) + 1)
        with self._blas.limit(limits=1):  # with more threads a sum's last bit may depend on the number of cores
            each = [self._bundle.outputs(part) for part in parts]
        outputs = {name: np.concatenate([output[name] for output in each]) for name in each[0]}
        predicted = self._bundle.decode(outputs, self._tasks)
        if self._grouped:
            predicted = predicted.assign(**age_groups(self._grouped, outputs[self._grouped.name]))
        return predicted


def dtypes(columns: Mapping[str, Kind]) -> dict[str, str]:
    """The dtype of each column: of text as pandas has it."""
    own = {"text": "object", "integer": "Int16", "number": "float64"}
    return {name: own[kind] for name, kind in columns.items()}


def age_groups(task: Task, output: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
    """The likeliest of the ten age groups, and how likely it is, from what a net says of ages.

    Parameters
    ----------
    output : (n, classes), probabilities of ages; or (n,) of a regression, which tells no probability.
    """
    groups = AGE_GROUPS[DEFAULT_AGE_GROUPS]
    names = np.array(groups.names, dtype=object)
    if output.ndim == 1:
        return dict(zip(GROUP, (names[groups.assign(task.point(output))], np.full(len(output), np.nan)), strict=True))
    own = (groups.assign(np.array(task.classes)) == np.arange(len(groups))[:, None]).astype(np.float64)
    proba = output.astype(np.float64) @ own.T
    return dict(zip(GROUP, (names[proba.argmax(axis=1)], proba.max(axis=1)), strict=True))


def _abstain(rows: pd.DataFrame, years: float) -> None:
    """Take back ages whose interval is wider than so many years, and say so."""
    width = rows["age_high"] - rows["age_low"]
    wide = width > years
    rows.loc[wide, "reason"] = [f"no age: its interval is {each:.0f} years wide" for each in width[wide]]
    rows.loc[wide, [*AGES]] = np.nan


def _with_faces(images: pd.DataFrame, store: EmbeddingStore, finder: Finder) -> pd.DataFrame:
    """A row per wanted face of images that are ok, with its number and what was found; the other images as they are.

    The column `image` tells which it is, from 0.
    """
    images = images.assign(image=range(len(images)))
    ok = images["status"] == "ok"
    if not ok.any():
        return images.reindex(columns=[*images, "face", *_FACE_COLUMNS])
    found, rows = store.read_all(finder.spec.fingerprint, images["sha256"][ok])
    first = ~found["sha256"].duplicated().to_numpy()
    faces = pd.concat([found, as_frame(rows)[[*_FACE_COLUMNS]]], axis=1)
    wanted = faces[finder.settings.choice.wanted(traits_of(rows), first)]
    each, rest = images[ok].merge(wanted, on="sha256", how="left"), images[~ok]
    together = pd.concat([each, rest.reindex(columns=each.columns)], ignore_index=True) if len(rest) else each
    return together.sort_values(["image", "face"], kind="stable").reset_index(drop=True)


def tasks_asked_for(bundle: Bundle, *, ethnicity: bool) -> list[Task]:
    """The tasks of a bundle, ethnicity among them only on request.

    Raises
    ------
    HeadError : it was asked for and the bundle has no such head, or it is all that the bundle has and was not.
    """
    tasks = [task for task in bundle.tasks if ethnicity or task.name != ON_REQUEST]
    if ethnicity and not any(task.name == ON_REQUEST for task in tasks):
        raise HeadError("ethnicity was asked for, but the bundle has no head for it: train one with --task ethnicity")
    if not tasks:
        raise HeadError("the bundle predicts ethnicity alone, which is given only on request: add --ethnicity")
    return tasks
