"""Run a function in a process of its own, limited in memory and time: for bytes that can crash whoever decodes them.

A 5 KB workbook with cells in its first and last corner makes its decoder ask for 512 GB and abort. So a file from
outside is decoded in a child, whose death is an error with a type, and the worker lives on.

    answer = run_in_child(stage_workbook_file, source, folder, max_memory=256 * MEBIBYTE, max_seconds=60.0)

Starting an interpreter for each file would cost more than the reading. So each process that calls `run_in_child` keeps
one *nursery*: a small single-threaded process that has imported the reader and little else, and forks a child for each
call. This is what multiprocessing's fork server does, but that one runs the caller's main module again in every child
(a second, for a console script that imports a whole service), and takes its answers as pickles. Here the question and
the answer are JSON: nothing that a child says can make its parent run code.

Who ends whom: a child ends with its answer, or by its own alarm clock, or killed by the nursery when the caller's time
is up. The nursery ends when the process that started it does, however that happened, since their connection closes
then; and takes its children with it. A nursery that was killed is started again by the next call.
"""

import atexit
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
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from library.contracts.beds import ReaderDied, ReaderTimedOut, WorkbookRejected

PRELOADED = ("library.sources.beds",)
"""Modules that a nursery imports before its first child; those of the functions it is asked for follow when asked."""

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer: a child can be made to say anything."""

_BIRTH = 60.0
"""Seconds until a child has to say its first word."""
_GRACE = 1.0
"""Seconds after a child's own alarm clock, until the caller has it killed."""
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from library.sources.child import serve; serve()"


def run_in_child[**P](
    function: Callable[P, Any],
    /,
    *args: Any,  # noqa: ANN401 - whatever JSON can carry
    max_memory: int,
    max_seconds: float,
) -> Any:  # noqa: ANN401 - whatever JSON can carry
    """Call a function in a child process and return what it returned. Blocks; any number of threads may call at once.

    Args:
        function: one that a module has by name; the module should import little, since the nursery has to.
        args: JSON values.
        max_memory: bytes of address space that the child may take over what it has when it starts.
        max_seconds: wall clock, and processor time as well.

    Raises:
        WorkbookRejected: the one that the function raised, with its type, text and place.
        OSError: the one that the function raised, with its number: a full disk is no fault of the file.
        ReaderDied: the child ended without an answer, or its answer was none, or the function failed otherwise.
        ReaderTimedOut: it took too long.
    """
    question = {
        "module": function.__module__,
        "name": function.__qualname__,
        "args": args,
        "max_memory": max_memory,
        "max_seconds": max_seconds,
    }
    return _understand(_ask(json.dumps(question).encode(), function.__module__, max_seconds), max_memory)


# ---------------------------------------------------------------------------------------------------------- the caller


class _Nursery:
    """The connection to a nursery. Messages are lines of JSON; a `start` carries the child's end of a connection."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # The connection becomes its standard input: a number that is free in it whatever is open or closed here.
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and no shell
                [sys.executable, "-c", _BOOT, json.dumps(sys.path)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C in the terminal is for the worker, which then ends in its own order
            )
        self._connection = ours
        self._lock = threading.Lock()
        self.owner = os.getpid()

    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, child_end: socket.socket, module: str) -> None:
        message = json.dumps({"start": module}).encode() + b"\n"
        with self._lock:
            sent = socket.send_fds(self._connection, [message], [child_end.fileno()])
            self._connection.sendall(message[sent:])

    def kill(self, child: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps({"kill": child}).encode() + b"\n")

    def close(self) -> None:
        """End it, and its children with it."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
            return
        self._process.kill()
        self._process.wait()


_nursery: _Nursery | None = None
_nursery_lock = threading.Lock()


def _living_nursery() -> _Nursery:
    """The nursery of this process: the one that runs, or a new one."""
    global _nursery  # one nursery a process is the point
    with _nursery_lock:
        if _nursery is not None and _nursery.owner != os.getpid():
            _nursery = None  # this process was forked from the one that owns it
        if _nursery is not None and not _nursery.alive():
            _nursery.close()
            _nursery = None
        if _nursery is None:
            _nursery = _Nursery()
        return _nursery


@atexit.register
def close_nursery() -> None:
    """End the nursery of this process, if it has one; the next call starts another."""
    global _nursery
    with _nursery_lock:
        if _nursery is not None and _nursery.owner == os.getpid():
            _nursery.close()
        _nursery = None


def _ask(question: bytes, module: str, max_seconds: float) -> bytes:
    """Send a question to a new child and return what it answers, unread.

    A nursery can die between two calls without being noticed; then no child ever takes up the question, and another
    nursery gets it. A child that took it up is never replaced.
    """
    for attempt in (1, 2):
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with theirs:
                    nursery = _living_nursery()
                    nursery.start(theirs, module)
                answer = _converse(ours, nursery, question, max_seconds)
            except (BrokenPipeError, ConnectionResetError):
                answer = None
        if answer is not None:
            return answer
        if attempt == 1:
            # Whatever became of it, it does not start children. Closing it leaves other calls' children an alarm clock.
            _wait_for_death(nursery)
    raise ReaderDied(
        "No process could be started to read the file.", advice="Look into the worker's log, then try again."
    )


def _wait_for_death(nursery: _Nursery) -> None:
    deadline = time.monotonic() + 1.0
    while nursery.alive() and time.monotonic() < deadline:
        time.sleep(0.01)


def _converse(ours: socket.socket, nursery: _Nursery, question: bytes, max_seconds: float) -> bytes | None:
    """Send the question and collect the answer; `None` if no child took it up."""
    # Before its first word a child waits for its nursery, which may have to start: that is not the reading's time.
    ours.settimeout(_BIRTH)
    try:
        ours.sendall(question)
        ours.shutdown(socket.SHUT_WR)
        first = _receive_line(ours)
    except TimeoutError:
        return None
    if not first:
        return None
    child, started = int(first), time.monotonic()
    deadline = started + max_seconds + _GRACE
    answer = bytearray()
    try:
        while True:
            ours.settimeout(max(0.001, deadline - time.monotonic()))
            part = ours.recv(65_536)
            if not part:
                break
            answer += part
            if len(answer) > MAX_ANSWER:
                nursery.kill(child)
                raise ReaderDied("The process that read the file said more than an answer can hold.")
    except TimeoutError:
        nursery.kill(child)
    if answer or time.monotonic() < started + max_seconds:
        return bytes(answer)
    raise ReaderTimedOut(f"Reading the file took more than {max_seconds:g} seconds.")


def _receive_line(connection: socket.socket) -> bytes:
    """The first line; empty if the connection closes before its end."""
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            return b""
        line += part
    return line


def _receive_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while part := connection.recv(65_536):
        received += part
    return bytes(received)


def _understand(answer: bytes, max_memory: int) -> Any:  # noqa: ANN401 - whatever JSON can carry
    """The value that an answer holds, or its error raised. Nothing in it is taken on trust."""
    if not answer:
        cause = f"it needed more than {max_memory / 2**20:,.0f} MiB of memory, or its decoder crashed"
        raise ReaderDied(f"The process that read the file ended without an answer: {cause}.")
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ReaderDied("The process that read the file ended in the middle of its answer.")
    if "value" in said:
        return said["value"]
    raise _error(said)


def _error(said: dict[str, Any]) -> Exception:
    name, message, advice = (str(said.get(key) or "") for key in ("error", "message", "advice"))
    kind = next((kind for kind in _subclasses(WorkbookRejected) if kind.__name__ == name), None)
    if kind is not None:
        error = kind(message, advice=advice)
        sheet, row, column = (said.get(key) for key in ("sheet", "row", "column"))
        # The message names the place already: the attributes are set behind its back.
        error.sheet = sheet if isinstance(sheet, str) else None
        error.row = row if isinstance(row, int) else None
        error.column = column if isinstance(column, str) else None
        return error
    number = said.get("errno")
    if isinstance(number, int):
        return OSError(number, os.strerror(number))
    if name == "MemoryError":
        return ReaderDied("The process that read the file needed more memory than it may have.")
    return ReaderDied(
        f"The reader failed: {name} {message}", advice="Report it with the file: the reader has to learn it."
    )


def _subclasses(kind: type[WorkbookRejected]) -> Iterable[type[WorkbookRejected]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _subclasses(subclass)


# --------------------------------------------------------------------------------------------------------- the nursery


def serve() -> NoReturn:
    """Fork a child for each `start` that comes in by standard input, until it closes; then end all of them."""
    control = socket.socket(fileno=0)
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no child's collector touches, and thereby copies, what all of them share
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
                # A module that cannot be imported is the child's to report.
                with contextlib.suppress(Exception):
                    importlib.import_module(message["start"])
                child = os.fork()
                if not child:
                    _live(descriptor, others=descriptors)
                os.close(descriptor)
                children.add(child)


# ----------------------------------------------------------------------------------------------------------- the child


def _live(descriptor: int, others: list[int]) -> NoReturn:
    """Hear the question, answer it, end."""
    try:
        # Numbers 0 to 2 may have been closed and used again; what a decoder prints must never end up in the answer.
        connection = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
        for other in (descriptor, *others):
            os.close(other)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        caller = socket.socket(fileno=connection)
        caller.sendall(b"%d\n" % os.getpid())
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
