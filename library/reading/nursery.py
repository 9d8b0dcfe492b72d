"""The nursery of `library.reading.child`: imports the reader once, and forks the children."""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from library.contracts.reading import FileRejected

_MOST_KEPT = 64 * 1024 * 1024
"""Bytes of address space that a child may have taken and not given back, and still be asked again."""


def serve() -> NoReturn:
    """Fork a child for each connection that comes in by standard input, until it closes; then end all of them."""
    control = socket.socket(fileno=0)
    children: set[int] = set()
    received, descriptors = b"", list[int]()
    while True:
        part, new, _, _ = socket.recv_fds(control, 65_536, 64)
        descriptors += new
        if not part:
            for child in children:
                os.kill(child, signal.SIGKILL)  # not yet waited for, so that the number is still theirs
            os._exit(0)
        *lines, received = (received + part).split(b"\n")
        children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
        for line in lines:
            message = json.loads(line)
            if "kill" in message and message["kill"] in children:
                os.kill(message["kill"], signal.SIGKILL)
            elif "start" in message:
                descriptor = descriptors.pop(0)
                with contextlib.suppress(Exception):  # what cannot be imported is the child's to report
                    _learn(message["start"])
                with contextlib.suppress(OSError):  # no room for one more: its caller sees that nobody answers
                    child = os.fork()
                    if not child:
                        _live(descriptor, others=descriptors)
                    children.add(child)
                os.close(descriptor)


def _learn(module: str) -> None:
    """Import a module, so that no child has to."""
    if module not in sys.modules:
        importlib.import_module(module)
        gc.collect()
        gc.freeze()  # so that no child's collector touches, and thereby copies, what all of them share


def _live(descriptor: int, others: list[int]) -> NoReturn:
    """Answer the caller's questions, until it asks no more, or something is wrong here."""
    try:
        # Numbers 0 to 2 may have been closed and used again; what a decoder prints must never end up in the answer.
        caller = socket.socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10))
        for other in (descriptor, *others):
            os.close(other)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        gc.disable()  # memory is bounded; between two questions there is time to collect
        born_with = _address_space()
        for line in caller.makefile("rb"):
            # The time is the machine's, and before the alarm clock's: who died of that, died after its time.
            caller.sendall(f"{os.getpid()} {time.monotonic()}\n".encode())
            question = json.loads(line)
            _limit(born_with + question["max_memory"], question["max_seconds"])
            answer, well = _answer(question)
            signal.setitimer(signal.ITIMER_REAL, 0)
            caller.sendall(answer + b"\n")
            gc.collect()
            if not well or _address_space() - born_with > _MOST_KEPT:
                break
    finally:
        os._exit(0)


def _limit(address_space: int, max_seconds: float) -> None:
    """Bound what this process takes from now on: bytes of address space in all, seconds by the clock; no core file."""
    for what, limit in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max_seconds)


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0  # no Linux: there the system does not enforce this limit reliably anyway


def _answer(question: dict[str, Any]) -> tuple[bytes, bool]:
    """The answer, and whether this process is as it was: what failed unexpectedly may have left anything behind."""
    well = False
    try:
        function: Any = importlib.import_module(question["module"])
        for name in question["name"].split("."):
            function = getattr(function, name)
        return json.dumps({"value": function(*question["args"])}).encode(), True
    except FileRejected as error:
        well = True
        said: dict[str, Any] = {
            "error": type(error).__name__,
            "message": error.message,
            "advice": error.advice,
            "details": {name: getattr(error, name) for name in error.details},
        }
    except OSError as error:
        said = {"error": type(error).__name__, "errno": error.errno, "message": type(error).__name__}
    except BaseException as error:  # noqa: BLE001 - a panic of the decoder is not an Exception
        said = {"error": type(error).__name__, "message": _whereabouts(error)}
    return json.dumps(said).encode(), well


def _whereabouts(error: BaseException) -> str:
    """Where an unexpected error was raised. Its own words may quote the file, and stay here."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
