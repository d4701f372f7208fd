"""Faces through a network on a GPU: one call at a time, in batches that halve where its memory ends."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import Picture, padded
from embedder.spec import BackboneSpec

BATCH = 64

_LOG = logging.getLogger(__name__)


class GpuRuntime:
    """Runs a network in batches of one fixed shape, the last one padded.

    When memory runs out the shape is halved for good, and the same faces are run again. Another shape may change the
    last digits, as little as another device: the self-check's bound holds for both.

    Parameters
    ----------
    run : a batch of faces (n, height, width, 3) uint8 RGB to rows (n, dim) float32.
    is_memory_error : whether that is what an exception of `run` says.
    only : the one batch size that the network takes, if it does not take any.
    """

    def __init__(
        self,
        run: Callable[[Picture], NDArray[Any]],
        spec: BackboneSpec,
        *,
        is_memory_error: Callable[[Exception], bool],
        only: int | None = None,
    ) -> None:
        self._run = run
        self._spec = spec
        self._is_memory_error = is_memory_error
        self._batch, self._least = only or BATCH, only or 1

    def embed(self, faces: Picture) -> NDArray[np.float32]:
        """Faces (n, height, width, 3) uint8 RGB to (n, dim) float32.

        Raises
        ------
        BackboneError : the memory does not hold the smallest batch.
        """
        rows: list[NDArray[np.float32]] = []
        while len(faces):
            batch = faces[: self._batch]
            try:
                rows.append(self._run(padded(batch, self._batch))[: len(batch)])
            except Exception as error:  # the libraries' exceptions have no common base
                if not self._is_memory_error(error):
                    raise
                self._halve()
            else:
                faces = faces[len(batch) :]
        return np.concatenate(rows)

    def _halve(self) -> None:
        faces = f"{self._batch} face{'s' if self._batch > 1 else ''}"
        if self._batch == self._least:
            raise BackboneError(
                f"{self._spec.name}: the GPU's memory does not hold a batch of {faces}: end what else uses it, or give "
                "fewer --workers or --device cpu"
            ) from None
        self._batch //= 2
        _LOG.warning("%s: the GPU's memory does not hold %s, so %d at a time", self._spec.name, faces, self._batch)

    def warm_up(self) -> None:
        """Run a batch, for which the library gets its memory and chooses its algorithms."""
        self.embed(np.zeros((1, *self._spec.input_size, 3), np.uint8))

    def close(self) -> None:
        """Nothing to stop; the library frees its memory with its objects."""
