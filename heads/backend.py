"""Keras on TensorFlow, loaded quietly. Import both from here, and only where a dense head is trained."""

import contextlib
import os
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what TensorFlow's C++ writes to file descriptor 2 while it loads, before its log level counts."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with _quiet():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for a GPU, and would say later that there is none

__all__ = ["keras", "tf"]
