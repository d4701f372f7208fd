"""Processes that work for this one (joblib's loky): none outlives it, and an interrupt is for this one to answer."""

import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any


def start_processes(n: int, *, scratch: Path | None = None) -> Any:
    """A pool of n processes, an executor of loky; one that dies raises BrokenProcessPool for all that was under way.

    Parameters
    ----------
    scratch : a folder that they remove if this process is killed and cannot.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    # no timeout: one that has nothing to do for a while is not to end, which loky would warn of
    pool = ProcessPoolExecutor(n, timeout=None, initializer=_belong, initargs=(os.getpid(), scratch))
    # Ctrl-C at a terminal reaches every process. What is blocked here while they start is blocked in them for good.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.submit(os.getpid)  # starts them
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


def exit_of(error: BaseException) -> str:
    """How processes ended, if loky tells: " (SIGSEGV)"."""
    found = re.search(r"SIG[A-Z]+|EXIT\(\d+\)", str(error))
    return f" ({found[0]})" if found else ""


def _belong(parent: int, scratch: Path | None) -> None:
    """End when the process does that this one works for, and not before."""
    from joblib.externals.loky import process_executor

    # With psutil installed loky ends a process that has grown by 300 MB, and warns of a leak: photographs need more.
    process_executor._USE_PSUTIL = False

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
