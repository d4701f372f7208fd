"""ONNX Runtime without its telemetry. Import it from here.

Release 1.31 queues facts on the machine (executable, processor, a lasting device id, error texts) for its maker in the
user's cache folder, unless this variable is set before it loads. Nothing here may do that.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
