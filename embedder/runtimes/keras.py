"""deepface's TensorFlow networks on its .h5 files, in batches of one fixed shape.

TensorFlow is loaded and the network built when the first face comes: what needs only the settings never waits for it.
Here a row did not depend on its neighbours, its place or the number of cores to the bit; TensorFlow promises none of
it, so a cosine of 0.999999 is what may be relied on (without oneDNN rows differ by 1e-5 of the largest number).
Of one core an image takes 60 ms with ArcFace and 21 ms with Facenet, against 107 and 43 ms one by one.
"""

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BackboneError
from embedder.preprocess import Picture, normalize, padded
from embedder.runtimes.gpu import GpuRuntime
from embedder.spec import CUDA, BackboneSpec

LIBRARIES = ("deepface", "tensorflow")
BATCH = 16  # every call has this shape, the last one padded; 8 takes 5 to 14% longer, 32 is no faster with ArcFace


class KerasRuntime:
    """Builds a row's graph through deepface, which loads the file into it."""

    def __init__(self, spec: BackboneSpec, *, cores: int) -> None:
        self._spec = spec
        self._cores = cores

    def embed(self, faces: Picture) -> NDArray[np.float32]:
        """Faces (n, height, width, 3) uint8 RGB to (n, dim) float32."""
        parts = (faces[start : start + BATCH] for start in range(0, len(faces), BATCH))
        return np.concatenate([self.run(padded(part, BATCH))[: len(part)] for part in parts])

    def run(self, faces: Picture) -> NDArray[np.float32]:
        """The same, of a whole batch; of each new size of batch the first takes long."""
        return self._network(network_input(self._spec, faces))

    @functools.cached_property
    def _network(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        from embedder.tensorflow import tf

        with contextlib.suppress(RuntimeError):  # once TensorFlow has computed anything, its threads are what they are
            tf.config.threading.set_intra_op_parallelism_threads(self._cores)
        network = build_network(self._spec, self.load_weights)
        graph = tf.function(lambda images: network(images, training=False))

        def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
            with tf.device(_place(self._spec)):
                return graph(tf.constant(images)).numpy()

        return run

    def load_weights(self, network: Any) -> None:
        try:
            network.load_weights(str(self._spec.weights))
        except Exception as error:  # noqa: BLE001  Keras and HDF5 raise whatever they stumble over
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise BackboneError(
                f"{self._spec.weights} does not fit the network of {self._spec.name}: {reason}"
            ) from None

    def warm_up(self) -> None:
        """Load TensorFlow, build the network and run it once."""
        self.embed(np.zeros((1, *self._spec.input_size, 3), np.uint8))

    def close(self) -> None:
        """TensorFlow keeps its threads; the network goes with this object."""


def load(spec: BackboneSpec, cores: int) -> tuple[BackboneSpec, KerasRuntime | GpuRuntime]:
    """Check that what the network needs is installed.

    Raises
    ------
    BackboneError : says which package is missing.
    """
    packages = {"deepface": "deepface", "tensorflow": "tensorflow", "tf_keras": "tf-keras"}
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise BackboneError(
            f"{spec.name} on an .h5 file needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        )
    spec = replace(spec, layout="NHWC")
    runtime = KerasRuntime(spec, cores=cores)
    return spec, GpuRuntime(runtime.run, spec, is_memory_error=is_memory_error) if spec.device == CUDA else runtime


def lacks_cuda() -> str:
    """What keeps TensorFlow from a GPU, and what to do; "" if nothing does."""
    from embedder.tensorflow import tf

    found = tf.config.list_physical_devices("GPU")
    return "" if found else "TensorFlow finds none that it can use: pip install 'tensorflow[and-cuda]'"


def is_memory_error(error: Exception) -> bool:
    """Whether TensorFlow says that memory ran out, of which a copy to the GPU says something else."""
    from embedder.tensorflow import tf

    copying = isinstance(error, tf.errors.InternalError) and "Dst tensor is not initialized" in str(error)
    return copying or isinstance(error, tf.errors.ResourceExhaustedError)


def _place(spec: BackboneSpec) -> str:
    """Where TensorFlow is to keep a network and compute; by itself it takes a GPU if it finds one."""
    return "/GPU:0" if spec.device == CUDA else "/CPU:0"


def network_input(spec: BackboneSpec, faces: Picture) -> NDArray[np.float32]:
    """Faces (n, height, width, 3) uint8 RGB as the network of a row wants them."""
    return normalize(faces, normalization=spec.normalization, channel_order=spec.channel_order, layout="NHWC")


def build_network(spec: BackboneSpec, load_weights: Callable[[Any], object]) -> Any:
    """Build the network of a row through deepface's own `load_model`, which is kept from downloading anything.

    Parameters
    ----------
    load_weights : called with the whole network at the place where deepface loads its file: of VGG-Face it keeps only
        a part afterwards, and the file is of the whole.

    Returns
    -------
    A model of tf_keras, from faces (n, height, width, 3) float32 to (n, dim).

    Raises
    ------
    BackboneError : `tf.keras` is Keras 3.
    """
    from embedder.tensorflow import tf  # before deepface, so that it decides how TensorFlow is loaded

    if not importlib.import_module("tensorflow.keras.models").Model.__module__.startswith("tf_keras"):
        raise BackboneError(
            f"{spec.name} needs Keras 2, but TensorFlow was imported before with Keras 3: set the environment variable "
            "TF_USE_LEGACY_KERAS=1 before anything imports tensorflow"
        )
    import tf_keras
    from deepface.commons import weight_utils

    tf_keras.backend.reset_uids()  # layers are numbered through a process, and an .h5 file holds their names

    def load(model: Any, weight_file: str) -> Any:
        load_weights(model)
        return model

    module, _, function = spec.graph.partition(".")
    stand_ins = {"download_weights_if_necessary": lambda **_: "", "load_model_weights": load}
    with tf.device(_place(spec)), _replaced(weight_utils, stand_ins):
        return getattr(importlib.import_module(f"deepface.models.facial_recognition.tf.{module}"), function)()


@contextlib.contextmanager
def _replaced(module: Any, attributes: dict[str, Any]) -> Iterator[None]:
    """Give a module other attributes for a while."""
    own = {name: getattr(module, name) for name in attributes}
    vars(module).update(attributes)
    try:
        yield
    finally:
        vars(module).update(own)
