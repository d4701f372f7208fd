"""What is said of the machine."""

import platform
import re

from heads.report.run import machine


def test_machine_tells_versions_and_cores_and_not_its_name():
    found = machine()
    assert [*found] == ["faceprobe", "python", "numpy", "tensorflow", "onnxruntime", "machine"]
    assert found["python"] == platform.python_version()
    assert re.fullmatch(r"[1-9]\d* cores, \w+, \w+", found["machine"])
    assert platform.node() not in found["machine"].split(", ")
