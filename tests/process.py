"""Python in a process of its own: for what depends on which library is loaded first, or holds gigabytes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_python(script: str, *arguments: object, **environment: object) -> "subprocess.CompletedProcess[str]":
    """Run a script that must succeed, with nothing of what TensorFlow and Keras were told in this process."""
    words = [sys.executable, "-c", script, *map(str, arguments)]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))}
    own |= {name: str(value) for name, value in environment.items()}
    done = subprocess.run(words, cwd=ROOT, env=own, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done
