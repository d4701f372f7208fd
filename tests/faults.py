"""A disk that fails: the process dies, or the power goes, at a chosen write, fsync, rename, removal or new folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock


class Crash(BaseException):
    """The process is dead: whatever handles this can do nothing any more either."""


class _Disk:
    """What `os` is replaced by; the step numbered `at` is not done, or half, and none after it."""

    def __init__(self, at: int, power_cut: bool) -> None:
        self.steps = 0
        self._at, self._power_cut, self._dead = at, power_cut, False
        self._paths: dict[int, str] = {}  # of open files
        self._unsynced: set[str] = set()  # files whose bytes the disk may not have
        self._removed: dict[str, bytes] = {}  # files whose removal the disk may not have
        self._real = {name: getattr(os, name) for name in ("open", "fdopen", "fsync", "replace", "unlink", "mkdir")}

    def step(self, torn: Any = lambda: None) -> None:
        if self._dead:
            raise Crash
        if self.steps == self._at:
            self._dead = True
            torn()
            if self._power_cut:
                self._lose_what_was_not_synced()
            raise Crash
        self.steps += 1

    def _lose_what_was_not_synced(self) -> None:
        for path in self._unsynced:
            os.truncate(path, os.path.getsize(path) // 2)
        for path, content in self._removed.items():
            Path(path).write_bytes(content)
            os.chmod(path, 0o600)

    def open(self, path: Any, flags: int, *more: Any, **options: Any) -> int:
        handle = self._real["open"](path, flags, *more, **options)
        self._paths[handle] = os.fspath(path)
        return handle

    def fdopen(self, handle: int, mode: str) -> "_File":
        self._unsynced.add(self._paths[handle])
        return _File(self._real["fdopen"](handle, mode), self)

    def fsync(self, handle: int) -> None:
        self.step()
        path = self._paths[handle]
        self._unsynced.discard(path)
        self._removed = {name: content for name, content in self._removed.items() if os.path.dirname(name) != path}

    def replace(self, source: Any, target: Any) -> None:
        self.step()
        self._real["replace"](source, target)
        if os.fspath(source) in self._unsynced:
            self._unsynced = (self._unsynced - {os.fspath(source)}) | {os.fspath(target)}

    def unlink(self, path: Any) -> None:
        self.step()
        content = Path(path).read_bytes()
        self._real["unlink"](path)
        if os.fspath(path) not in self._unsynced:
            self._removed[os.fspath(path)] = content
        self._unsynced.discard(os.fspath(path))

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        self.step()
        self._real["mkdir"](path, mode)


class _File:
    """A file whose bytes arrive at once, or by half."""

    def __init__(self, file: Any, disk: _Disk) -> None:
        self._file, self._disk = file, disk

    def write(self, content: Any) -> int:
        content = memoryview(content)

        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._disk.step(half)
        self._file.write(content)
        self._file.flush()
        return len(content)

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()


@contextlib.contextmanager
def crash(at: int, *, power_cut: bool = False) -> Iterator[_Disk]:
    """Die at step `at`, counted from 0; with a power cut, what was not synced is lost and what was removed is back."""
    disk = _Disk(at, power_cut)
    names = ("open", "fdopen", "fsync", "replace", "unlink", "mkdir")
    with mock.patch.multiple(os, **{name: getattr(disk, name) for name in names}), contextlib.suppress(Crash):
        yield disk
