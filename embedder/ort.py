"""ONNX Runtime without its telemetry. Import it from here.

Its releases since 1.31 gather facts on the machine (executable, processor, a lasting device id, error texts) in the
user's cache folder and send them to its maker, unless this variable is set before it loads. Nothing here may do that.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
