"""The lock of a stack's folder. The supervisor holds it while it runs, so a folder has one stack only."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from library.contracts.errors import WardflowError
from service.stack.files import not_ours, read_json

RETRY_FOR = 0.5
"""Seconds during which a starting stack tries to take the lock, since `holder` takes it for a moment too."""


class AlreadyRunning(WardflowError):
    """Another process already runs the stack of this folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The system releases it when the process ends, in whatever way.

    Raises:
        AlreadyRunning: another process holds the lock.
    """
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)  # child processes do not inherit it
    try:
        deadline = time.monotonic() + RETRY_FOR
        while not _take(handle, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise _already_running(folder)
            time.sleep(0.05)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(folder: Path) -> int | None:
    """The process id of the folder's supervisor, which runs now; `None`: no stack runs."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise not_ours(folder) from error
    try:
        if _take(handle, fcntl.LOCK_SH):
            return None
        written = os.pread(handle, 20, 0)
        return int(written) if written.isdigit() else None
    finally:
        os.close(handle)


def _take(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _already_running(folder: Path) -> AlreadyRunning:
    stack = read_json(folder / "stack.json")
    urls = [f"{name} {entry['url']}" for name, entry in stack.items() if name in ("api", "temporal_ui", "worker")]
    return AlreadyRunning(
        f"A stack runs already in {folder} (process {holder(folder)}{''.join(f', {url}' for url in urls)}).",
        advice=f"Use it (its addresses are in {folder / 'stack.json'}), end it with `wardflow down`, "
        "or choose another folder with WARDFLOW_STACK__FOLDER.",
    )
