"""Starting, finding and ending processes."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from library.contracts.errors import ConfigurationError, WardflowError
from service.stack.files import open_log
from service.stack.identity import LEASH
from service.stack.part import Part, server_environment

MARK = "WARDFLOW_STARTED_BY_STACK_IN"
"""An environment variable of every process that a stack starts, and of whatever those start: the stack's folder. By it
a later `up` or `down` knows what a killed supervisor left, and takes no stranger with a recycled process id for it."""

WARDFLOW = (sys.executable, "-P", "-m", "service.cli")
"""Our own command. `-P`: a folder `config` where it is called must not hide ours."""

ORPHANS_MAY_TAKE = 5.0


class CommandFailed(WardflowError):
    """A helper program of the stack ended with an error.

    Attributes:
        said: the end of its output.
    """

    default_advice = "Mend what it names, then start again: what is done stays done."

    def __init__(self, message: str, said: str) -> None:
        super().__init__(f"{message}: {said}")
        self.said = said


def start(part: Part, folder: Path) -> subprocess.Popen[bytes]:
    """Start a part in a session of its own, so that the terminal's Ctrl-C reaches only the supervisor.

    To be called from the main thread: the system takes the calling thread's death for the supervisor's (`leash.py`).
    """
    with open_log(part.log) as log:
        return subprocess.Popen(  # noqa: S603 - the command is our own
            _leashed(part.command, part.orphan_signal, part.identity),
            cwd=part.folder,
            env=dict(part.environment) | {MARK: str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def end(process: subprocess.Popen[bytes], part: Part) -> None:
    """Ask the process to end, wait, then kill it and whatever it started."""
    if process.poll() is None:
        process.send_signal(part.end_signal)
    deadline = time.monotonic() + part.end_seconds
    while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells of a process's end
        await asyncio.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own, which outlives it while it has members
    process.wait()


async def run_to_end(
    command: tuple[str, ...],
    *,
    folder: Path | None = None,
    identity: str = "",
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a helper program; its output is only of interest when it fails.

    Raises:
        CommandFailed: with the end of what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *_leashed(command, signal.SIGKILL, identity),
        cwd=folder,
        env=server_environment() if environment is None else dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate(text.encode())
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode:
        said = output.decode(errors="replace")[-2_000:].strip()
        raise CommandFailed(f"{Path(command[0]).name} failed ({process.returncode})", said)


def leftovers(folder: Path) -> list[psutil.Process]:
    """The processes that a stack of this folder started and that still live."""
    found = []
    for process in psutil.process_iter(["name", "environ", "cmdline", "status"]):
        about = process.info
        # A Postgres that root has started belongs to another user, whose environment a container's root may not read.
        is_our_postgres = (about["cmdline"] or [])[1:3] == ["-D", str(folder / "postgres")]
        if about["status"] != psutil.STATUS_ZOMBIE and (
            (about["environ"] or {}).get(MARK) == str(folder) or is_our_postgres
        ):
            found.append(process)
    return found


def end_leftovers(folder: Path) -> list[int]:
    """End what a killed supervisor left; return whose process ids. To be called with the folder's lock held."""
    ended = leftovers(folder)
    for process in ended:
        # The system has told them already, where it can. Postgres understands SIGINT as "now, and cleanly".
        _send(process, signal.SIGINT if process.info["name"] == "postgres" else signal.SIGTERM)
    for process in still_there(ended, ORPHANS_MAY_TAKE):
        _send(process, signal.SIGKILL)
    still_there(ended, ORPHANS_MAY_TAKE)
    return [process.pid for process in ended]


def still_there(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the end of processes that need not be our children; return those that live on when time is over."""
    deadline = time.monotonic() + seconds
    while (processes := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes


def script(name: str) -> str:
    """The path of a program that a wheel has put beside our Python."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if path is None:
        raise ConfigurationError(
            f"The program {name} is not installed.",
            advice="Install Wardflow's dependencies, or name a server of your own "
            "(WARDFLOW_TEMPORAL__ADDRESS, WARDFLOW_S3__URL).",
        )
    return path


def _leashed(command: Iterable[str], orphan_signal: int, identity: str) -> list[str]:
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), str(int(orphan_signal)), identity]
    return [*leash, *command]


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil makes sure that the id was not given to another process meanwhile


def _lives(process: psutil.Process) -> bool:
    try:
        # A container without an init never reaps a zombie: it is as dead as it will be.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
