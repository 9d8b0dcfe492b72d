"""What these tests share: a stack without worker as a process of its own, and waiting for conditions."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from config.settings import Settings, StackSettings
from service.stack.processes import leftovers
from service.stack.state import State, read_state

SUPERVISE = (sys.executable, "-m", "tests.integration.stack.supervise")
NOWHERE = {
    "postgres": {"WARDFLOW_POSTGRES__DSN": "postgresql://nobody@127.0.0.1:1/none"},
    "temporal": {"WARDFLOW_TEMPORAL__ADDRESS": "127.0.0.1:1"},
    "s3": {"WARDFLOW_S3__URL": "http://127.0.0.1:1"},
    "kafka": {"WARDFLOW_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"},
}
"""Environments that say that somebody else runs a part, so that a test starts only those that it is about."""


def settings_in(folder: Path) -> Settings:
    """Settings of a stack in a folder of its own."""
    return Settings(stack=StackSettings(folder=folder))


def until[Found](condition: Callable[[], Found], seconds: float = 20) -> Found:
    """Wait until the condition holds; return what it found."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.02)
    return found


def processes_of(folder: Path) -> list[psutil.Process]:
    """The servers of the folder's stack with all that they have started; not the supervisor."""
    return [each for parent in leftovers(folder) for each in (parent, *parent.children(recursive=True))]


def running(folder: Path) -> State:
    """The folder's `stack.json` once it says that all runs; empty before."""
    state = read_state(folder)
    return state if state.get("wardflow", {}).get("state") == "running" else {}


@contextmanager
def supervised(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A stack in the foreground of a process of ours, up and running."""
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        SUPERVISE,
        env={"PATH": "/usr/bin:/bin", "WARDFLOW_STACK__FOLDER": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: running(folder) or process.poll() is not None, 60)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)
