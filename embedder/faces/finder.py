"""Find the faces of a picture, measure them, and choose among them."""

from dataclasses import dataclass

import numpy as np

from data.errors import DetectorError
from embedder.faces.choice import Choice
from embedder.faces.detect import Detector, DetectorSpec, load_detector
from embedder.faces.face import Face
from embedder.faces.quality import measure
from embedder.faces.table import Rows, table_spec, to_face, to_row, traits_of
from embedder.known import Outcome
from embedder.preprocess import Picture
from embedder.spec import EmbeddingSpec

FOUND: Outcome = ("read", "")  # of an image, see `embedder.engine.Image`


@dataclass(frozen=True)
class FinderSettings:
    """Which detector looks, and which of the faces it finds are wanted."""

    detector: DetectorSpec
    choice: Choice

    @property
    def words(self) -> str:
        """All of it for people: "hog, all, min_face 40"."""
        least = [f"{name} {value:g}" for name, value in vars(self.choice).items() if isinstance(value, (int, float))]
        return ", ".join([str(self.detector), self.choice.faces, *least])


class Finder:
    """A detector that is ready to look.

    Attributes
    ----------
    settings : what it was made of.
    spec : EmbeddingSpec under which a store keeps what it finds.
    """

    def __init__(self, settings: FinderSettings, detector: Detector) -> None:
        self.settings = settings
        self.spec: EmbeddingSpec = table_spec(settings.detector)
        self._detector = detector

    def find(self, picture: Picture) -> Rows:
        """Every face in a picture (height, width, 3), largest first, as rows of a Faces table: (n, columns).

        Raises
        ------
        DetectorError : the detector failed, which is not the same as finding none.
        """
        faces = self._detector.detect(picture)
        for face in faces:
            if not np.isfinite([*face.box, face.confidence, *face.landmarks.ravel()]).all():
                raise DetectorError(f"{self.settings.detector} gave a face numbers that are not finite: {face.box}")
        rows = [to_row(face, measure(picture, face)) for face in faces]
        return np.stack(rows) if rows else np.empty((0, *self.spec.dim), np.float32)

    def choose(self, rows: Rows) -> tuple[dict[int, Face], Outcome]:
        """The faces that are wanted, by number, and where there are none why."""
        if not len(rows):
            return {}, ("no_face", f"{self.settings.detector} finds no face in it")
        choice, traits = self.settings.choice, traits_of(rows)
        wanted = choice.wanted(traits, np.arange(len(rows)) == 0)
        faces = {number + 1: to_face(rows[number]) for number in np.flatnonzero(wanted).tolist()}
        return faces, FOUND if faces else choice.explain(traits)

    def close(self) -> None:
        """Free what the detector holds."""
        self._detector.close()

    def __enter__(self) -> "Finder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def load_finder(settings: FinderSettings) -> Finder:
    """Load the detector of a finder.

    Raises
    ------
    DetectorError : it does not work here; the message says why.
    """
    return Finder(settings, load_detector(str(settings.detector)))
