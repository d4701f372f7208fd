"""A dry run on seeded weights is marked as one in everything it leaves behind, and the demo says so first."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest

import run_pipeline
from embedder.store import open_store
from tests.cli import faceprobe
from tests.embedder.weight_files import stay_inside

SEEDED = "DeepID seeded:7"  # deepface's smallest network


@pytest.fixture(scope="module")
def dry(tmp_path_factory, seeded_cache) -> SimpleNamespace:
    """Return what the commands left of a dry run on drawn faces, and what they said."""
    from data.synthetic import draw_faces

    place = tmp_path_factory.mktemp("dry")
    draw_faces(place / "faces", 60)
    manifest, store, bundle = place / "faces.csv", place / "store", place / "bundle"
    wanted = ("--backbone", "DeepID", "--weights", "seeded:7", "--store", store)
    head = ("--head", "linear", "--folds", 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(seeded_cache))
        stay_inside(patch, place)
        outcomes = {
            "index": faceprobe("index", place / "faces", "--dataset", "utkface", "-o", manifest),
            "extract": faceprobe("extract", manifest, *wanted, "--backbone", "pixels"),
            "compare": faceprobe("compare", manifest, *wanted, "--backbone", "pixels", *head, "-o", place / "run"),
            "train": faceprobe("train", manifest, *wanted, *head, "-o", bundle),
            "score": faceprobe("score", place / "faces", "--bundle", bundle, "-o", place / "scores.csv"),
        }
    for outcome in outcomes.values():
        assert (outcome.code, outcome.err) == (0, ""), outcome
    return SimpleNamespace(place=place, bundle=bundle, **outcomes)


def test_store_holds_seeded_embeddings_under_a_name_of_their_own(dry):
    store = open_store(dry.place / "store")
    assert store.find("DeepID") is None
    assert store.find(SEEDED).seeded == 7
    assert SEEDED in dry.extract.out


def test_tables_mark_seeded_backbones_and_say_what_the_mark_means(dry):
    for outcome in (dry.compare, dry.train):
        assert re.search(rf"^{SEEDED} †  linear", outcome.out, re.MULTILINE)
        assert f"† {SEEDED}: weights drawn at random, not trained; figures say nothing about DeepID" in outcome.out
    assert re.search(r"^pixels +linear", dry.compare.out, re.MULTILINE)


@pytest.mark.parametrize("name", ["run/report.html", "run/report.md", "bundle/report.html"])
def test_pages_warn_of_seeded_weights(dry, name):
    text = (dry.place / name).read_text("utf-8")
    assert SEEDED in text
    assert "weights drawn at random, not trained" in text


def test_bundle_says_first_that_its_figures_mean_nothing(dry):
    card = (dry.bundle / "README.md").read_text("utf-8")
    assert card.index("SEEDED WEIGHTS, NOT TRAINED") < card.index("Backbone")


def test_every_score_of_a_seeded_bundle_says_that_it_means_nothing(dry):
    scores = pd.read_csv(dry.place / "scores.csv")
    assert len(scores) == 60
    assert scores["bundle"].str.endswith("(random weights, not trained)").all()
    assert f"{SEEDED}: weights drawn at random, not trained; these predictions mean nothing" in dry.score.out


def demo_steps(monkeypatch, *arguments):
    """Run the demo with its steps only written down; return them and what was said."""
    steps = []
    monkeypatch.setattr(run_pipeline, "_step", lambda *words: steps.append([str(word) for word in words]))
    outcome = faceprobe("demo", *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    return steps, outcome.out


def test_demo_takes_random_numbers_where_no_weights_are_and_says_so(tmp_path, monkeypatch):
    stay_inside(monkeypatch, tmp_path)
    steps, said = demo_steps(monkeypatch, "--images", tmp_path / "faces", "-o", tmp_path / "demo")
    assert [words[0] for words in steps] == ["index", "extract", "compare", "train", "score"]
    assert "no weights of ArcFace and Facenet here" in said
    for words in steps[1:3]:
        assert "ArcFace=seeded:0" in words
        assert "Facenet=seeded:0" in words


def test_demo_takes_pretrained_weights_where_they_are(tmp_path, monkeypatch):
    folder = stay_inside(monkeypatch, tmp_path)
    folder.mkdir(parents=True)
    for name in ("arcface_weights.onnx", "facenet_weights.h5"):
        (folder / name).write_bytes(b"whatever: its hash is checked when it is used")
    steps, said = demo_steps(monkeypatch, "--images", tmp_path / "faces", "-o", tmp_path / "demo", "--fetch")
    assert steps[0] == ["weights", "fetch", "ArcFace", "Facenet"]
    assert not any("--weights" in words for words in steps)
    assert "random" not in said


def test_every_step_of_the_demo_is_a_command_that_parses(tmp_path, monkeypatch):
    stay_inside(monkeypatch, tmp_path)
    for first, *words in demo_steps(monkeypatch, "--images", tmp_path / "faces", "-o", tmp_path / "demo")[0]:
        command = run_pipeline.cli.commands[first]
        assert command.make_context(first, words).params


def test_demo_ends_with_the_step_that_fails(tmp_path, monkeypatch, capfd):
    stay_inside(monkeypatch, tmp_path)
    outcome = faceprobe("demo", "--images", tmp_path / "absent", "-o", tmp_path / "demo")
    assert outcome.code == 2
    assert "$ faceprobe index" in outcome.out
    assert "$ faceprobe extract" not in outcome.out
    assert "absent" in capfd.readouterr().err
