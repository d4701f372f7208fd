"""What the documentation shows in Python runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

from data.synthetic import draw_faces
from embedder.backbone import load_backbone
from heads.bundle import Bundle, save_bundle
from heads.export import export_onnx
from heads.net import Layer, Net
from heads.tasks import Task
from tests.cli import ROOT
from tests.fakes import write_pooling_onnx

AGE = Task("age", "age", "age", tuple(range(101)))
GENDER = Task("gender", "gender", "class", ("male", "female"))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """Go to a folder with two drawn faces under `photos`, a bundle and its exported file."""
    monkeypatch.chdir(tmp_path)
    draw_faces(tmp_path / "photos", 2)
    for path, name in zip(sorted((tmp_path / "photos").iterdir()), ("anna.jpg", "ben.jpg"), strict=True):
        path.rename(path.with_name(name))
    file = write_pooling_onnx(tmp_path / "net.onnx", dim=16)
    rng = np.random.default_rng(0)
    outputs = {
        task.name: Layer(
            rng.normal(size=(1, 16, task.n_outputs)).astype(np.float32) / 1e4,
            np.zeros((1, task.n_outputs), np.float32),
            "softmax",
        )
        for task in (AGE, GENDER)
    }
    with load_backbone(f"{file},channel_order=RGB,normalization=raw", cores=1) as backbone:
        bundle = Bundle(backbone.spec, (AGE, GENDER), (Net((), outputs),), {}, backbone_file=file)
    export_onnx(save_bundle(bundle, tmp_path / "bundle", card=""), tmp_path / "model.onnx")
    return tmp_path


def shown_in(name: str) -> dict:
    """Run what a page shows in Python; return its variables."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    variables: dict = {}
    exec(compile(code, name, "exec"), variables)
    return variables


def test_python_of_the_readme_runs_as_it_stands(place):
    found = shown_in("README.md")
    rows = found["rows"]
    assert rows["path"].isna().tolist() == [True, False, False]
    assert rows["status"].tolist() == ["ok"] * 3
    assert rows["age"][0] == pytest.approx(rows["age"][1], abs=1e-4)
    assert found["vectors"].shape == (1, 16)
    assert found["report"].statuses == {"ok": 2}


def test_python_of_the_page_on_onnx_gives_what_score_gives(place):
    readme, page = shown_in("README.md"), shown_in("docs/onnx.md")
    scored = readme["rows"][1:]
    np.testing.assert_allclose(page["ages"], scored["age"].to_numpy(float), atol=1e-4)
    assert page["genders"] == scored["gender"].tolist()
