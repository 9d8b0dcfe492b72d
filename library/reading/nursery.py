"""The nursery of `library.reading.child`: imports the reader once and forks children."""

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
"""A child that keeps more bytes of address space after a request is not used again."""


def serve() -> NoReturn:
    """Fork a child for each connection from standard input. At its end, kill all children."""
    control = socket.socket(fileno=0)
    children: set[int] = set()
    received, descriptors = b"", list[int]()
    while True:
        part, new, _, _ = socket.recv_fds(control, 65_536, 64)
        descriptors += new
        if not part:
            for child in children:
                os.kill(child, signal.SIGKILL)  # safe: a process id is not used again before `waitpid`
            os._exit(0)
        *lines, received = (received + part).split(b"\n")
        children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
        for line in lines:
            message = json.loads(line)
            if "kill" in message and message["kill"] in children:
                os.kill(message["kill"], signal.SIGKILL)
            elif "start" in message:
                descriptor = descriptors.pop(0)
                with contextlib.suppress(Exception):  # the child imports it too, and reports the error
                    _import(message["start"])
                with contextlib.suppress(OSError):  # the fork failed; the caller sees a closed connection
                    child = os.fork()
                    if not child:
                        _serve_requests(descriptor, others=descriptors)
                    children.add(child)
                os.close(descriptor)


def _import(module: str) -> None:
    """Import a module in the nursery, so that children need not."""
    if module not in sys.modules:
        importlib.import_module(module)
        gc.collect()
        gc.freeze()  # or each child's garbage collector copies the memory pages that all share


def _serve_requests(descriptor: int, others: list[int]) -> NoReturn:
    """Answer the caller's requests until it closes the connection, or until an unexpected error."""
    try:
        # Use a descriptor above 2, or what a decoder prints could become part of the answer.
        caller = socket.socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10))
        for other in (descriptor, *others):
            os.close(other)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        gc.disable()  # memory is limited, and it is collected between two requests
        at_start = _address_space()
        for line in caller.makefile("rb"):
            # Sent before the alarm is set, so a child that the alarm kills has always used up its time.
            caller.sendall(f"{os.getpid()} {time.monotonic()}\n".encode())
            request = json.loads(line)
            _limit(at_start + request["max_memory"], request["max_seconds"])
            answer, reusable = _answer(request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            caller.sendall(answer + b"\n")
            gc.collect()
            if not reusable or _address_space() - at_start > _MOST_KEPT:
                break
    finally:
        os._exit(0)


def _limit(address_space: int, max_seconds: float) -> None:
    """Limit this process: bytes of address space in total, and seconds from now. No core files."""
    for what, limit in ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (limit, resource.getrlimit(what)[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max_seconds)


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0  # not Linux, where the limit does not work reliably


def _answer(request: dict[str, Any]) -> tuple[bytes, bool]:
    """The answer, and whether the process can be used again: not after an unexpected error."""
    reusable = False
    try:
        function: Any = importlib.import_module(request["module"])
        for name in request["name"].split("."):
            function = getattr(function, name)
        return json.dumps({"value": function(*request["args"])}).encode(), True
    except FileRejected as error:
        reusable = True
        answer: dict[str, Any] = {
            "error": type(error).__name__,
            "message": error.message,
            "advice": error.advice,
            "details": {name: getattr(error, name) for name in error.details},
        }
    except OSError as error:
        answer = {"error": type(error).__name__, "errno": error.errno, "message": type(error).__name__}
    except BaseException as error:  # noqa: BLE001 - a panic of the decoder is not an Exception
        answer = {"error": type(error).__name__, "message": _location(error)}
    return json.dumps(answer).encode(), reusable


def _location(error: BaseException) -> str:
    """Where an unexpected error was raised. Its text is dropped, since it may quote the file."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
