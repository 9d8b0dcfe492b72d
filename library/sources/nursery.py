"""The nursery of `library.sources.child`: a small process that imports the reader once, and forks the children.

A child is forked before anybody asks for it, so that its birth takes nobody's time; it waits for one caller, hears one
question, answers it and ends.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import math
import os
import resource
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from library.contracts.beds import WorkbookRejected

PRELOADED = ("library.sources.beds",)
"""Modules that a nursery imports before its first child; those of the functions it is asked for follow when asked."""


def serve() -> NoReturn:
    """Hand each `start` that comes in by standard input to a child, until it closes; then end all of them."""
    control = socket.socket(fileno=0)
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no child's collector touches, and thereby copies, what all of them share
    children: set[int] = set()
    received, descriptors = b"", list[int]()
    spare = _spare(descriptors)
    while True:
        part, new, _, _ = socket.recv_fds(control, 65_536, 64)
        descriptors += new
        if not part:
            for child in (*children, *([spare.process] if spare else ())):
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
                if message["start"] not in sys.modules:
                    # One that cannot be imported is the child's to report.
                    with contextlib.suppress(Exception):
                        importlib.import_module(message["start"])
                    if spare:
                        spare.end()
                        spare = None
                while spare is None or not spare.take(descriptor):
                    if spare:
                        spare.end()
                    spare = _Spare([descriptor, *descriptors])
                os.close(descriptor)
                children.add(spare.process)
                spare = _spare(descriptors)


class _Spare:
    """A child that was forked before anybody asked for it: the fork then takes nobody's time."""

    def __init__(self, others: list[int]) -> None:
        ours, theirs = socket.socketpair()
        self.process = os.fork()
        if not self.process:
            _live(theirs.fileno(), others=[ours.fileno(), *others])
        theirs.close()
        self._connection = ours

    def take(self, descriptor: int) -> bool:
        """Give it the connection to its caller; `False`: it is dead."""
        with self._connection as connection:
            try:
                socket.send_fds(connection, [b"."], [descriptor])
            except OSError:
                return False
        return True

    def end(self) -> None:
        """End it: it is dead, or knows too little."""
        self._connection.close()
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


def _spare(others: list[int]) -> _Spare | None:
    """One child ahead; `None` where the system has no room for it now: it is forked when it is asked for."""
    try:
        return _Spare(others)
    except OSError:
        return None


def _live(descriptor: int, others: list[int]) -> NoReturn:
    """Wait for a caller, hear the question, answer it, end."""
    try:
        # Numbers 0 to 2 may have been closed and used again; what a decoder prints must never end up in the answer.
        nursery = socket.socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10))
        for other in (descriptor, *others):
            os.close(other)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        _, given, _, _ = socket.recv_fds(nursery, 1, 1)
        if not given:
            os._exit(0)  # the nursery has ended
        nursery.close()
        caller = socket.socket(fileno=given[0])
        # The time is the machine's, and before the alarm clock's: who died of that, died after its time.
        caller.sendall(f"{os.getpid()} {time.monotonic()}\n".encode())
        question = json.loads(_receive_all(caller))
        limit_process(question["max_memory"], question["max_seconds"])
        caller.sendall(_answer(question))
        # The caller need not wait until this process has given its memory back.
        caller.shutdown(socket.SHUT_WR)
    finally:
        os._exit(0)


def limit_process(max_memory: int, max_seconds: float) -> None:
    """Bound what this process takes from now on: address space, clock and processor time, no core file."""
    limit = _address_space() + max_memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    processor = math.ceil(max_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max_seconds)
    gc.disable()  # it lives shortly, and its memory is bounded


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0  # no Linux: there the system does not enforce this limit reliably anyway


def _answer(question: dict[str, Any]) -> bytes:
    try:
        function: Any = importlib.import_module(question["module"])
        for name in question["name"].split("."):
            function = getattr(function, name)
        return json.dumps({"value": function(*question["args"])}).encode()
    except WorkbookRejected as error:
        said = {
            "error": type(error).__name__,
            "message": error.message,
            "advice": error.advice,
            "sheet": error.sheet,
            "row": error.row,
            "column": error.column,
        }
    except OSError as error:
        said = {"error": type(error).__name__, "errno": error.errno, "message": type(error).__name__}
    except BaseException as error:  # noqa: BLE001 - a panic of the decoder is not an Exception
        said = {"error": type(error).__name__, "message": _whereabouts(error)}
    return json.dumps(said).encode()


def _whereabouts(error: BaseException) -> str:
    """Where an unexpected error was raised. Its own words may quote the file, and stay here."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _receive_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while part := connection.recv(65_536):
        received += part
    return bytes(received)
