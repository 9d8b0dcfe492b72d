"""A stack in the background: started as a session of its own, awaited, ended."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from config.settings import Settings
from library.contracts.errors import WardflowError
from service.stack import lock
from service.stack.files import make_private_folder, open_log
from service.stack.processes import WARDFLOW, end_leftovers, still_there
from service.stack.state import read_state, with_addresses

COMMAND = (*WARDFLOW, "up")
SUPERVISOR_MAY_TAKE = 90.0
"""Seconds in which a supervisor ends all its parts: the sum of their time-outs, and some more."""

type Say = Callable[[str], Any]


class StackFailed(WardflowError):
    """The stack in the background ended before it was healthy.

    Attributes:
        told: whether the cause and the advice have been said already, as its own last lines.
    """

    def __init__(self, message: str, *, advice: str = "", told: bool = False) -> None:
        super().__init__(message, advice=advice)
        self.told = told


class StackWontEnd(WardflowError):
    """The supervisor did not end in time."""


def ensure_running(settings: Settings, say: Say = print, command: Sequence[str] = COMMAND) -> Settings:
    """Run the stack in the background, if it does not run yet; return the settings with its addresses once all is up.

    The new process loads settings of its own: it is told the section `stack` of the given ones, all else is to be in
    the environment.

    Raises:
        StackFailed: it ended before it was healthy.
    """
    folder = make_private_folder(settings.stack.folder)
    log = folder / "logs" / "wardflow.log"
    if _is_running(folder):
        say(f"The stack runs already; its addresses are in {folder / 'stack.json'}.")
        return with_addresses(settings, read_state(folder))
    news = _News(log)
    starting = None if lock.holder(folder) is not None else _start(command, settings, folder, log)
    try:
        while not _is_running(folder):
            # Another `up` may have been quicker than ours: then that one is awaited.
            if lock.holder(folder) is None and (starting is None or starting.poll() is not None):
                news.say(say)
                raise _failed(None if starting is None else starting.returncode, news)
            news.say(say)
            time.sleep(0.05)
    except KeyboardInterrupt:
        if starting is not None:
            starting.terminate()
        raise
    news.say(say)
    if starting is not None:
        starting.returncode = 0  # it is meant to outlive us: nobody is to wait for it, or to warn that nobody did
    return with_addresses(settings, read_state(folder))


def end_running(settings: Settings, say: Say = print) -> None:
    """End the folder's stack and wait until all of it has gone; clean up if its supervisor was killed.

    Raises:
        StackWontEnd: it is still there after its time.
    """
    folder = settings.stack.folder.expanduser().resolve()
    supervisor = lock.holder(folder)
    if supervisor is None:
        _clean(folder, say)
        return
    try:
        # The lock's holder lives, so the id is its own; from here on psutil notices if it is given to another process.
        process = psutil.Process(supervisor)
        process.terminate()
    except psutil.NoSuchProcess:
        say(f"The stack in {folder} has ended by itself just now.")
        return
    if still_there([process], SUPERVISOR_MAY_TAKE):
        raise StackWontEnd(
            f"The stack in {folder} (process {supervisor}) has not ended after {SUPERVISOR_MAY_TAKE:.0f} seconds.",
            advice=f"Its log {folder / 'logs' / 'wardflow.log'} says why. To force it: `kill -9 {supervisor}`.",
        )
    say(f"The stack in {folder} has ended.")


def _clean(folder: Path, say: Say) -> None:
    if not folder.exists():
        say(f"Nothing runs: there is no stack in {folder}.")
        return
    with lock.hold(folder):
        ended = end_leftovers(folder)
        (folder / "stack.json").unlink(missing_ok=True)
    if ended:
        say(f"The stack's supervisor had been killed; ended what it left: {', '.join(map(str, ended))}.")
    else:
        say(f"Nothing runs in {folder}.")


def _start(command: Sequence[str], settings: Settings, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    told = {f"WARDFLOW_STACK__{name.upper()}": value for name, value in settings.stack if value is not None}
    with open_log(log) as output:
        return subprocess.Popen(  # noqa: S603 - the command is our own
            command,
            env=os.environ
            | {name: str(value) for name, value in told.items()}
            | {"WARDFLOW_STACK__FOLDER": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _failed(exit_code: int | None, news: "_News") -> StackFailed:
    last = "\n".join(news.last)
    if exit_code is None:
        return StackFailed(
            f"Another `wardflow up` was starting this stack, and has ended. Its last lines:\n{last}",
            advice="Mend what they name, then start again.",
        )
    if exit_code < 0:
        return StackFailed(
            f"The process of the stack was ended by signal {-exit_code} before all was healthy.",
            advice="Start again. If nobody ended it, the machine may have too little memory (see `dmesg`).",
        )
    return StackFailed(last, told=True)


def _is_running(folder: Path) -> bool:
    """Whether all is up; a `stack.json` whose writer was killed says nothing about that."""
    stack = read_state(folder).get("wardflow", {})
    return stack.get("state") == "running" and stack.get("pid") == lock.holder(folder)


class _News:
    """What a log gets from now on, line by line.

    Attributes:
        last: the last lines that were said.
    """

    def __init__(self, log: Path) -> None:
        self.last: deque[str] = deque(maxlen=5)
        self._log = log
        self._read = log.stat().st_size if log.exists() else 0
        self._rest = ""

    def say(self, say: Say) -> None:
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            self._read = min(self._read, self._log.stat().st_size)  # it was set aside and begun anew
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new.decode(errors="replace")).split("\n")
        for line in lines:
            say(line)
            self.last.append(line)
