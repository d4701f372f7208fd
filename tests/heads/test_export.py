"""One ONNX file predicts what a bundle does, says what it is, and is written only if both are true."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import onnx
import pandas as pd
import pytest

from data.errors import BackboneError, BundleError
from data.manifest import list_images
from embedder.backbone import load_backbone
from embedder.ort import onnxruntime
from embedder.preprocess import decode, read_file
from embedder.store import open_store
from heads import export
from heads.bundle import Bundle, load_bundle, save_bundle
from heads.calibrate import Intervals, Temperature
from heads.export import export_onnx
from heads.net import HeadError, Layer, Net
from heads.tasks import Task
from tests.cli import faceprobe
from tests.fakes import write_pooling_onnx
from tests.heads.score.scoring import scored

AGE = Task("age", "age", "age", tuple(range(101)))
GENDER = Task("gender", "gender", "class", ("male", "female"))
ETHNICITY = Task("ethnicity", "ethnicity", "class", ("white", "black", "asian", "indian", "others"))
HEIGHT = Task("height", "height", "number")
DIM = 16
CALIBRATION = {"age": Intervals(0.9, (0.0, 40.0), (1.0, 2.0), (60, 60)), "gender": Temperature(2.0, 60)}


def net_of(*tasks: Task, n_in: int = DIM) -> Net:
    rng = np.random.default_rng(0)

    def last(task: Task) -> Layer:
        kernel = rng.normal(size=(2, n_in, task.n_outputs)) / 100
        activation = "linear" if task.kind == "number" else "softmax"
        return Layer(kernel.astype(np.float32), np.zeros((2, task.n_outputs), np.float32), activation)

    return Net((), {task.name: last(task) for task in tasks})


def save_over(file, place, *tasks: Task, settings: str = "", **changes) -> Bundle:
    """Save a bundle over an ONNX file, with heads of random numbers."""
    with load_backbone(f"{file},channel_order=BGR,normalization=ArcFace,licence=ours{settings}", cores=1) as backbone:
        fields = {"backbone_file": file, "calibration": CALIBRATION, **changes}
        return save_bundle(Bundle(backbone.spec, tasks, (net_of(*tasks),), {}, **fields), place, card="")


@pytest.fixture
def pooling(tmp_path):
    """Return a bundle over a small ONNX file, and a place of its own for what is written."""
    file = write_pooling_onnx(tmp_path / "net.onnx", side=32, dim=DIM)
    (tmp_path / "out").mkdir()
    bundle = save_over(file, tmp_path / "bundle", AGE, GENDER, ETHNICITY, HEIGHT)
    return SimpleNamespace(file=file, bundle=bundle, folder=tmp_path / "bundle", output=tmp_path / "out" / "model.onnx")


def run(path, faces: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"faces": faces}), strict=True))


def assert_same(found: dict[str, np.ndarray], rows: pd.DataFrame) -> None:
    """Compare what a file gives with rows of scores: 1e-4 years, 1e-5 of a probability."""
    for column in ("age", "age_low", "age_high"):
        np.testing.assert_allclose(found[column], rows[column].to_numpy(float), rtol=0, atol=1e-4)
    labels = np.array(["male", "female"])[found["gender"]]
    assert labels.tolist() == rows["gender"].tolist()
    np.testing.assert_allclose(found["gender_proba"].max(axis=1), rows["gender_proba"].to_numpy(float), atol=1e-5)


# ---- what it predicts


@pytest.fixture(scope="module")
def chips(tmp_path_factory, shared, utkface_dir):
    """Return a folder with every sixtieth chip, its scores and the file of the bundle that scored it."""
    place = tmp_path_factory.mktemp("chips")
    network = shared / "weights" / "mobilefacenet_arcface.onnx"
    if not network.is_file():
        pytest.skip("needs `weights/mobilefacenet_arcface.onnx` in `shared`, beside the checkout")
    (place / "faces").mkdir()
    for path in sorted(utkface_dir.glob("*.jpg"))[::60]:
        shutil.copyfile(path, place / "faces" / path.name)
    of_store = (place / "faces.csv", "--store", place / "store", "--backbone", network)
    steps = [
        ("index", place / "faces", "--dataset", "utkface", "-o", place / "faces.csv"),
        ("extract", *of_store),
        ("train", *of_store, "--folds", 2, "--head", "linear", "-o", place / "bundle"),
        ("export-onnx", place / "bundle", "-o", place / "model.onnx"),
    ]
    for step in steps:
        done = faceprobe(*step)
        assert done.code == 0, done.err
    return SimpleNamespace(place=place, said=done.out, model=place / "model.onnx")


def test_file_gives_the_figures_of_score_for_real_chips(chips):
    bundle = load_bundle(chips.place / "bundle")
    images, _ = list_images(chips.place / "faces")
    with bundle.load_backbone() as backbone:
        rows = scored(images, bundle, backbone, store=chips.place / "store")
        faces = np.stack([backbone.crop(decode(read_file(path)[1])) for path in images["path"]])
    found = run(chips.model, faces)
    assert len(rows) > 100
    assert np.ptp(found["age"]) > 30
    assert_same(found, rows)
    assert_same(run(chips.model, faces[7:8]), rows.iloc[7:8])
    held, embeddings = open_store(chips.place / "store").read(bundle.embedding.fingerprint, rows["sha256"])
    np.testing.assert_allclose(found["embedding"][held.index], embeddings, atol=1e-4 * np.abs(embeddings).max())


def test_command_says_what_the_file_takes_and_gives_and_whose_weights_it_holds(chips):
    gives = "takes any number of faces at a time, gives embedding, age, age_low, age_high, gender, gender_proba"
    assert gives in chips.said
    assert "licence of the backbone's weights: non-commercial research" in chips.said


@pytest.mark.parametrize("settings", ["", ",flip=yes", ",crop=80"])
def test_file_gives_what_the_bundle_predicts_of_faces_of_the_backbone_s_size(tmp_path, settings):
    file = write_pooling_onnx(tmp_path / "net.onnx", side=32, dim=DIM)
    bundle = save_over(file, tmp_path / "bundle", AGE, GENDER, HEIGHT, settings=settings)
    done = export_onnx(bundle, tmp_path / "model.onnx")
    faces = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)
    with bundle.load_backbone(cores=1) as backbone:
        rows = bundle.predict(backbone.embed(list(faces)))
    found = run(tmp_path / "model.onnx", faces)
    assert_same(found, rows)
    np.testing.assert_allclose(found["height"], rows["height"], rtol=1e-4, atol=1e-4)
    assert done.outputs == ("embedding", "age", "age_low", "age_high", "gender", "gender_proba", "height")
    assert done.batch is None
    assert done.difference < 1e-4


def test_ethnicity_is_in_the_file_on_request_alone(pooling):
    assert "ethnicity" not in export_onnx(pooling.bundle, pooling.output).outputs
    assert "ethnicity_proba" in export_onnx(pooling.bundle, pooling.output, ethnicity=True).outputs
    silent = save_over(pooling.file, pooling.folder, GENDER)
    with pytest.raises(HeadError, match="bundle has no head for it"):
        export_onnx(silent, pooling.output, ethnicity=True)


def test_network_that_is_given_by_hand_is_joined_if_it_is_the_bundle_s_own(pooling, tmp_path):
    lean = save_over(pooling.file, tmp_path / "lean", GENDER, backbone_file=None)
    with pytest.raises(BundleError, match="the bundle holds no weights of net: add --backbone FILE"):
        export_onnx(lean, pooling.output)
    name = f"{pooling.file},channel_order=BGR,normalization=ArcFace"
    assert "gender" in export_onnx(lean, pooling.output, backbone=name).outputs
    with pytest.raises(BundleError, match="does not give the embeddings of this bundle"):
        export_onnx(lean, pooling.output, backbone=name.replace("BGR", "RGB"))


# ---- what it says


def test_metadata_say_all_that_a_stranger_to_the_bundle_must_know(pooling):
    export_onnx(pooling.bundle, pooling.output, ethnicity=True)
    model = onnx.load(str(pooling.output))
    said = {each.key: each.value for each in model.metadata_props}
    assert said["bundle"] == pooling.bundle.id
    assert said["fingerprint"] == pooling.bundle.embedding.fingerprint
    assert said["backbone"] == "net"
    assert "ours" in said["licence"]
    assert said["faces"] == "RGB, detector none, alignment none, whole picture, letterbox, bilinear, 32 x 32 pixels"
    assert json.loads(said["tasks"]) == [
        {"name": "age", "kind": "age", "labels": []},
        {"name": "gender", "kind": "class", "labels": ["male", "female"]},
        {"name": "ethnicity", "kind": "class", "labels": [*ETHNICITY.classes]},
        {"name": "height", "kind": "number", "labels": []},
    ]
    explained = {output.name: output.doc_string for output in model.graph.output}
    assert explained["gender"] == "0 male, 1 female"
    assert explained["age_low"] == "years, of an interval that is to hold 90% of ages"


def test_file_is_valid_and_one_that_onnx_runtime_1_20_reads(pooling):
    export_onnx(pooling.bundle, pooling.output)
    model = onnx.load(str(pooling.output))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]


def test_weights_are_inside_and_nothing_lies_beside(pooling):
    export_onnx(pooling.bundle, pooling.output)
    assert [path.name for path in pooling.output.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(str(pooling.output), load_external_data=False)
    assert {each.data_location for each in model.graph.initializer} == {onnx.TensorProto.DEFAULT}


# ---- what is refused


def test_file_that_does_not_predict_what_the_bundle_does_is_not_written(pooling, monkeypatch):
    pooling.output.write_bytes(b"older")
    monkeypatch.setattr("heads.nodes._add_tempered", lambda graph, proba, temperature: proba)
    with pytest.raises(BundleError, match="differs from the bundle by"):
        export_onnx(pooling.bundle, pooling.output)
    assert pooling.output.read_bytes() == b"older"
    assert len([*pooling.output.parent.iterdir()]) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Dlib", "Dlib cannot go into an ONNX file: its network is in a format of dlib's own"),
        ("pixels", "pixels cannot go into an ONNX file: it has no network"),
        ("ArcFace,weights=seeded:0", "ArcFace cannot go into an ONNX file: its weights are in an .h5 file"),
    ],
)
def test_backbone_without_a_graph_is_refused_in_one_line_that_says_what_to_do(pooling, name, reason):
    done = faceprobe("export-onnx", pooling.folder, "--backbone", name, "-o", pooling.output)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert reason in done.err
    assert "Train a bundle on an .onnx file" in done.err
    assert not pooling.output.exists()


def test_task_with_a_name_of_the_graph_s_own_is_refused(pooling):
    odd = save_over(pooling.file, pooling.folder, Task("embedding", "embedding", "number"))
    with pytest.raises(BundleError, match="a task cannot be called embedding"):
        export_onnx(odd, pooling.output)


def test_graph_that_is_too_old_is_refused(pooling):
    model = onnx.load(str(pooling.file))
    model.opset_import[0].version = 7
    onnx.save(model, str(pooling.file))
    with pytest.raises(BackboneError, match="operator set 7"):
        export_onnx(save_over(pooling.file, pooling.folder, AGE), pooling.output)


def test_missing_package_is_named_with_the_words_that_install_it(pooling, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    done = faceprobe("export-onnx", pooling.folder, "-o", pooling.output)
    assert done.code == 2
    assert "pip install 'faceprobe[export]'" in done.err


def test_name_that_is_not_of_an_onnx_file_is_refused_before_the_work(pooling):
    done = faceprobe("export-onnx", pooling.folder, "-o", pooling.output.with_suffix(".pt"))
    assert (done.code, done.err) == (2, "faceprobe: expected a name ending in .onnx; found model.pt\n")


def test_number_of_faces_is_said_where_the_backbone_fixes_it(pooling, tmp_path):
    model = onnx.load(str(pooling.file))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, str(tmp_path / "four.onnx"))
    save_over(tmp_path / "four.onnx", tmp_path / "fixed", AGE)
    done = faceprobe("export-onnx", tmp_path / "fixed", "-o", pooling.output)
    assert "takes 4 faces at a time" in done.out
    assert run(pooling.output, np.zeros((4, 32, 32, 3), np.uint8))["age"].shape == (4,)
