"""Keras 3 on TensorFlow, loaded quietly. Import both from here, and only where a dense head is trained."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from embedder.tensorflow import quiet, tf

with quiet():
    import keras

__all__ = ["keras", "tf"]
