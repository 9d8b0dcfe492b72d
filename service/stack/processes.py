"""Starts, finds and ends processes."""

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
from service.stack.part import StackPart, server_environment

MARK = "WARDFLOW_STARTED_BY_STACK_IN"
"""An environment variable with the stack's folder, in every process of a stack and in their children. A later `up` or
`down` uses it to find the processes of a killed supervisor, since process ids can be used again by other programs."""

WARDFLOW = (sys.executable, "-P", "-m", "service.cli")
"""The command `wardflow`. `-P`: a folder `config` in the working folder must not be imported."""

ORPHANS_MAY_TAKE = 5.0


class CommandFailed(WardflowError):
    """A helper program of the stack ended with an error.

    Attributes:
        output: the end of its output.
    """

    default_advice = "Fix what it names, then start again: finished work is kept."

    def __init__(self, message: str, output: str) -> None:
        super().__init__(f"{message}: {output}")
        self.output = output


def start(part: StackPart, folder: Path) -> subprocess.Popen[bytes]:
    """Start a part in a new session, so that Ctrl-C in the terminal reaches only the supervisor.

    Call it from the main thread: the orphan signal is sent when the calling thread ends (see `leash.py`).
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


async def end(process: subprocess.Popen[bytes], part: StackPart) -> None:
    """Ask the process to end, wait, then kill it and its children."""
    if process.poll() is None:
        process.send_signal(part.end_signal)
    deadline = time.monotonic() + part.end_seconds
    while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - there is no event for the end
        await asyncio.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its process group still has its children
    process.wait()


async def run_to_end(
    command: tuple[str, ...],
    *,
    folder: Path | None = None,
    identity: str = "",
    text: str = "",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a helper program and wait for its end.

    Raises:
        CommandFailed: the program failed; the error has the end of its output.
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
    """The processes of a stack of this folder that still run."""
    found = []
    for process in psutil.process_iter(["name", "environ", "cmdline", "status"]):
        about = process.info
        # Postgres may run as another user, and root in a container may not read that user's environment.
        is_our_postgres = (about["cmdline"] or [])[1:3] == ["-D", str(folder / "postgres")]
        if about["status"] != psutil.STATUS_ZOMBIE and (
            (about["environ"] or {}).get(MARK) == str(folder) or is_our_postgres
        ):
            found.append(process)
    return found


def end_leftovers(folder: Path) -> list[int]:
    """End the processes of a killed supervisor, and return their ids. The caller must hold the folder's lock."""
    ended = leftovers(folder)
    for process in ended:
        # On Linux the system has sent the orphan signal already. For Postgres, SIGINT is a fast clean shutdown.
        _send(process, signal.SIGINT if process.info["name"] == "postgres" else signal.SIGTERM)
    for process in still_there(ended, ORPHANS_MAY_TAKE):
        _send(process, signal.SIGKILL)
    still_there(ended, ORPHANS_MAY_TAKE)
    return [process.pid for process in ended]


def still_there(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the end of processes, which need not be children. Return those that still run after the time."""
    deadline = time.monotonic() + seconds
    while (processes := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes


def script(name: str) -> str:
    """The path of a program that a wheel has installed next to Python."""
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
        process.send_signal(number)  # psutil checks that the process id still belongs to this process


def _lives(process: psutil.Process) -> bool:
    try:
        # Without an init process, a container never removes zombies, so a zombie counts as ended.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
