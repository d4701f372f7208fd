"""OpenVINO and NNCF without their telemetry. Import them from here.

Both tell their maker about each use, and write a lasting id of the user into the home directory when they are imported,
unless the package that does it cannot be imported. Nothing here may do that.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from types import ModuleType

_TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """Let the import of the telemetry fail for a while, which both take as its absence."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    kept = {name: modules.pop(name) for name in [*modules] if name.partition(".")[0] == _TELEMETRY}
    modules[_TELEMETRY] = None
    try:
        yield
    finally:
        del modules[_TELEMETRY]
        modules.update(kept)


with _without_telemetry():
    import openvino


def import_nncf() -> ModuleType:
    """NNCF, which takes seconds to load, told to say nothing but errors."""
    with _without_telemetry():
        import nncf
    nncf.set_log_level(logging.ERROR)
    return nncf


__all__ = ["import_nncf", "openvino"]
