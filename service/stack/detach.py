"""Starts and ends a stack in the background."""

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
"""Seconds in which a supervisor must end all parts: the sum of their time-outs, and a reserve."""

type WriteLine = Callable[[str], Any]


class StackFailed(WardflowError):
    """The stack in the background ended before it was healthy.

    Attributes:
        already_reported: whether cause and advice have been printed, as the last lines of its log.
    """

    def __init__(self, message: str, *, advice: str = "", already_reported: bool = False) -> None:
        super().__init__(message, advice=advice)
        self.already_reported = already_reported


class StackWontEnd(WardflowError):
    """The supervisor did not end in time."""


def ensure_running(settings: Settings, report: WriteLine = print, command: Sequence[str] = COMMAND) -> Settings:
    """Start the stack in the background unless it runs, wait until it is healthy, and return settings with addresses.

    The new process loads its own settings from the environment. Only the section `stack` is passed to it.

    Raises:
        StackFailed: the stack ended before it was healthy.
    """
    folder = make_private_folder(settings.stack.folder)
    log = folder / "logs" / "wardflow.log"
    if _is_running(folder):
        report(f"The stack runs already; its addresses are in {folder / 'stack.json'}.")
        return with_addresses(settings, read_state(folder))
    new_lines = _NewLogLines(log)
    starting = None if lock.holder(folder) is not None else _start(command, settings, folder, log)
    try:
        while not _is_running(folder):
            # If another `up` was first, wait for its stack.
            if lock.holder(folder) is None and (starting is None or starting.poll() is not None):
                new_lines.report(report)
                raise _failed(None if starting is None else starting.returncode, new_lines)
            new_lines.report(report)
            time.sleep(0.05)
    except KeyboardInterrupt:
        if starting is not None:
            starting.terminate()
        raise
    new_lines.report(report)
    if starting is not None:
        starting.returncode = 0  # it must outlive this process, and Popen would warn that it still runs
    return with_addresses(settings, read_state(folder))


def end_running(settings: Settings, report: WriteLine = print) -> None:
    """End the folder's stack, and wait until all processes have ended. Clean up if its supervisor was killed.

    Raises:
        StackWontEnd: it did not end in time.
    """
    folder = settings.stack.folder.expanduser().resolve()
    supervisor = lock.holder(folder)
    if supervisor is None:
        _clean(folder, report)
        return
    try:
        # The lock's holder runs, so the process id is right. From here on psutil notices if the id is used again.
        process = psutil.Process(supervisor)
        process.terminate()
    except psutil.NoSuchProcess:
        report(f"The stack in {folder} has ended by itself just now.")
        return
    if still_there([process], SUPERVISOR_MAY_TAKE):
        raise StackWontEnd(
            f"The stack in {folder} (process {supervisor}) has not ended after {SUPERVISOR_MAY_TAKE:.0f} seconds.",
            advice=f"Its log {folder / 'logs' / 'wardflow.log'} says why. To force it: `kill -9 {supervisor}`.",
        )
    report(f"The stack in {folder} has ended.")


def _clean(folder: Path, report: WriteLine) -> None:
    if not folder.exists():
        report(f"Nothing runs: there is no stack in {folder}.")
        return
    with lock.hold(folder):
        ended = end_leftovers(folder)
        (folder / "stack.json").unlink(missing_ok=True)
    if ended:
        report(f"The stack's supervisor had been killed. These processes were ended: {', '.join(map(str, ended))}.")
    else:
        report(f"Nothing runs in {folder}.")


def _start(command: Sequence[str], settings: Settings, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    variables = {f"WARDFLOW_STACK__{name.upper()}": value for name, value in settings.stack if value is not None}
    with open_log(log) as output:
        return subprocess.Popen(  # noqa: S603 - the command is our own
            command,
            env=os.environ
            | {name: str(value) for name, value in variables.items()}
            | {"WARDFLOW_STACK__FOLDER": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _failed(exit_code: int | None, new_lines: "_NewLogLines") -> StackFailed:
    last = "\n".join(new_lines.last)
    if exit_code is None:
        return StackFailed(
            f"Another `wardflow up` was starting this stack, and has ended. Its last lines:\n{last}",
            advice="Fix what these lines name, then start again.",
        )
    if exit_code < 0:
        return StackFailed(
            f"The process of the stack was ended by signal {-exit_code} before all was healthy.",
            advice="Start again. If you did not end it, the machine may have too little memory (see `dmesg`).",
        )
    return StackFailed(last, already_reported=True)


def _is_running(folder: Path) -> bool:
    """Whether the stack is healthy. A `stack.json` of a supervisor that was killed does not count."""
    stack = read_state(folder).get("wardflow", {})
    return stack.get("state") == "running" and stack.get("pid") == lock.holder(folder)


class _NewLogLines:
    """The lines that are added to a log from now on.

    Attributes:
        last: the last lines that were reported.
    """

    def __init__(self, log: Path) -> None:
        self.last: deque[str] = deque(maxlen=5)
        self._log = log
        self._read = log.stat().st_size if log.exists() else 0
        self._rest = ""

    def report(self, report: WriteLine) -> None:
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            self._read = min(self._read, self._log.stat().st_size)  # smaller if the log was rotated
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        *lines, self._rest = (self._rest + new.decode(errors="replace")).split("\n")
        for line in lines:
            report(line)
            self.last.append(line)
