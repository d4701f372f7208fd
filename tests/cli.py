"""Run the command line as a user does: in this process where only words and files count, else in one of its own."""

import contextlib
import io
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import run_pipeline

ROOT = Path(run_pipeline.__file__).parent


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command."""

    code: int
    out: str
    err: str


def faceprobe(*arguments: object) -> Outcome:
    """Run `main` in this process: fast, for everything but signals, pipes and permissions."""
    out, err = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    argv = ["faceprobe", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run_pipeline.main()
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
    return Outcome(code, out.getvalue(), err.getvalue())


def command(*arguments: object) -> list[str]:
    """Return the words that run faceprobe in a process of its own."""
    return [sys.executable, str(ROOT / "run_pipeline.py"), *map(str, arguments)]


def start(words: list[str], **options: Any) -> "subprocess.Popen[str]":
    """Start a process whose output is caught, unless `options` send it elsewhere."""
    caught = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, **{**caught, **options})


def finish(process: "subprocess.Popen[str]") -> Outcome:
    """Wait for a process; one that hangs fails its test."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Outcome(process.returncode, out, err)


def lines(path: Path) -> list[str]:
    """Return a text file's lines."""
    return path.read_text("utf-8").splitlines()
