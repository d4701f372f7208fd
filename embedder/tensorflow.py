"""TensorFlow, loaded quietly and so that both its Keras work. Import it from here, and only where it computes.

deepface builds its networks with `tf.keras`, which must be Keras 2 (the package tf-keras); the dense heads use `keras`,
which is Keras 3 whatever `tf.keras` is. TensorFlow decides what `tf.keras` is when it is first imported.
"""

import contextlib
import os
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what C++ writes to file descriptor 2 while it loads, before TensorFlow's log level counts."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with quiet():
    import tensorflow as tf

    tf.config.list_physical_devices()  # looks for a GPU, and would say later that there is none

if _GPUS := tf.config.list_physical_devices("GPU"):
    with contextlib.suppress(RuntimeError):  # where somebody has computed with TensorFlow, it is what it is
        for _gpu in _GPUS:
            tf.config.experimental.set_memory_growth(_gpu, True)  # else it takes all memory at once
    tf.config.experimental.enable_tensor_float_32_execution(False)  # which rounds to 10 bits

__all__ = ["quiet", "tf"]
