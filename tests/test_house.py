"""The rules of the house: imports go one way, nothing heavy loads early, and the library never prints or exits."""

import ast
import configparser
import fnmatch
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import run_pipeline
from tests.cli import ROOT, faceprobe

LAYERS = ("data", "embedder", "heads", "run_pipeline")  # each imports from those before it, never from those after
HEADS_THAT_LOOK_OUTSIDE = {
    "backend",
    "bundle",
    "dataset",
    "export",
    "folder",
    "nodes",
    "robustness",
    "score",
    "serve",
    "table",
    "train",
}
HEAVY = {
    *("deepface", "dlib", "h5py", "jinja2", "joblib", "keras", "matplotlib"),
    *("nncf", "onnxruntime", "openvino", "requests", "sklearn", "tensorflow", "tf_keras"),
}
RUN_CODE_WHEN_LOADED = {"cloudpickle", "dill", "marshal", "pickle", "shelve"}

LIBRARY = sorted(path for layer in LAYERS[:-1] for path in (ROOT / layer).rglob("*.py"))
COMMANDS = sorted(run_pipeline.cli.commands)

each_module = pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))


def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text("utf-8"), str(path))))


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, at its top or inside a function, by its dotted name."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the layer"
            yield node.module or ""


def packages_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@each_module
def test_imports_go_one_way(path):
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    assert not packages_of(path) & set(LAYERS[layer + 1 :])


@each_module
def test_library_knows_nothing_of_tests_benchmarks_and_the_command_line(path):
    assert not packages_of(path) & {"tests", "benchmarks", "click", "tqdm"}


@pytest.mark.parametrize("path", sorted((ROOT / "heads").rglob("*.py")), ids=lambda path: path.name)
def test_only_some_of_heads_look_at_embedder(path):
    module = path.relative_to(ROOT / "heads").parts[0].removesuffix(".py")
    assert module in HEADS_THAT_LOOK_OUTSIDE or "embedder" not in packages_of(path)


@each_module
def test_library_never_prints_exits_or_asserts(path):
    forbidden = {"print", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write", "sys.stderr.write"}
    assert not forbidden & {name for name, _ in calls(path)}
    assert not [node.lineno for node in nodes(path) if isinstance(node, ast.Assert)]


@each_module
def test_nothing_is_stored_as_code(path):
    assert not packages_of(path) & RUN_CODE_WHEN_LOADED
    for name, call in calls(path):
        assert name not in {"joblib.load", "joblib.dump", "torch.load"}
        if name in {"np.load", "np.save"}:
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert given.get("allow_pickle") == "False", f"line {call.lineno}"


@each_module
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh process has loaded after some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_help_loads_neither_arrays_nor_networks():
    ask = "import sys, run_pipeline\nsys.argv = ['faceprobe', '--help']\nrun_pipeline.main()"
    assert not loaded_by(ask) & (HEAVY | {"cv2", "numpy", "pandas", "PIL", "pyarrow", "scipy", "tqdm"})


def test_scoring_does_not_load_what_it_may_not_need():
    assert not loaded_by("import heads.score.job, heads.bundle, data.sources") & HEAVY


def test_every_package_is_shipped():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.packages.find"]["include"].split()
    folders = {path.parent for path in LIBRARY}
    missing = [folder for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing, "setuptools passes over folders without __init__.py"
    names = [".".join(folder.relative_to(ROOT).parts) for folder in folders]
    assert not [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    assert setup["options"]["py_modules"].split() == ["run_pipeline"]
    assert setup["options.entry_points"]["console_scripts"].strip() == "faceprobe = run_pipeline:main"


def test_tests_mirror_the_modules():
    tests = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").glob("*/**/test_*.py")]
    assert not [path for path in tests if not (ROOT / path.parent / path.name.removeprefix("test_")).is_file()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_it_understands(name):
    shown = faceprobe(name, "--help")
    assert (shown.code, shown.err) == (0, "")
    examples = [line.strip() for line in shown.out.splitlines() if line.startswith("    faceprobe ")]
    assert examples
    for example in examples:
        program, command, *arguments = shlex.split(example)
        assert (program, command) == ("faceprobe", name)
        run_pipeline.cli.commands[name].make_context(name, arguments)  # refuses unknown and missing options


def test_the_way_through_in_the_help_is_understood():
    examples = [line.strip() for line in faceprobe("--help").out.splitlines() if line.startswith("    faceprobe ")]
    used = []
    for example in examples:
        _, name, *arguments = shlex.split(example)
        run_pipeline.cli.commands[name].make_context(name, arguments)
        used.append(name)
    assert sorted(used) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    options = [p for p in run_pipeline.cli.commands[name].params if isinstance(p, click.Option)]
    assert not [option.name for option in options if not option.help]


def test_every_test_that_a_promise_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text("utf-8"))
    assert len(named) > 30
    missing = [name for path, name in named if f"\ndef {name}(" not in (ROOT / path).read_text("utf-8")]
    assert missing == []


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_files_of_the_repository(page):
    if not (ROOT / ".git").exists():
        pytest.skip("no repository to ask which files are in it")
    asked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {ROOT / name for name in asked.stdout.splitlines()}
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    local = {(page.parent / target).resolve() for target in targets if "://" not in target}
    assert local <= tracked
