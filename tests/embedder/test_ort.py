"""ONNX Runtime tells nobody about this machine."""

from tests.fakes import write_mean_colour_onnx
from tests.process import run_python

EMBED = """
import sys
import numpy as np
from embedder.backbone import load_backbone
with load_backbone(sys.argv[1] + ",channel_order=RGB,normalization=raw") as backbone:
    assert backbone.embed([np.zeros((16, 16, 3), np.uint8)]).shape == (1, 3)
"""


def test_running_a_model_leaves_nothing_in_the_users_folders(tmp_path):
    model = write_mean_colour_onnx(tmp_path / "mean.onnx")
    home = tmp_path / "home"
    run_python(EMBED, model, HOME=home, XDG_CACHE_HOME=home / "cache", XDG_DATA_HOME=home / "data")
    assert not home.exists()
