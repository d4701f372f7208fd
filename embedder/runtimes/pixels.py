"""No network at all: the grey picture itself, the floor that a backbone must beat."""

from embedder.preprocess import Picture
from embedder.spec import BackboneSpec

LIBRARIES = ("opencv-contrib-python-headless",)


class PixelsRuntime:
    """The crop is the row."""

    def embed(self, faces: Picture) -> Picture:
        """(n, 128, 128) uint8, unchanged."""
        return faces

    def warm_up(self) -> None:
        """Nothing is loaded."""

    def close(self) -> None:
        """Nothing is held."""


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, PixelsRuntime]:
    """The runtime; `cores` has nothing to share out here."""
    return spec, PixelsRuntime()
