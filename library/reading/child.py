"""Run a function in a process of its own, limited in memory and time: for bytes that can crash whoever decodes them.

A 5 KB workbook with cells in its first and last corner makes its decoder ask for 512 GB and abort. So a file from
outside is decoded in a child, whose death is an error with a type, and the worker lives on.

    answer = run_in_child(
        stage_workbook_file, source, folder, errors=[WorkbookRejected], max_memory=256 * MEBIBYTE, max_seconds=60.0
    )

Starting an interpreter for each file would cost more than the reading. So each process that calls `run_in_child` keeps
one *nursery* (`library.reading.nursery`): a small single-threaded process that has imported the reader and little else,
and forks a child whenever none is free. This is what multiprocessing's fork server does, but that one runs the caller's
main module again in every child (a second, for a console script that imports a whole service), and takes its answers as
pickles. Here questions and answers are lines of JSON: nothing that a child says can make its parent run code.

A child whose answer was as it should be, and whose memory went back, is asked again: the first file that a new process
reads takes it half as long again as the second. Each question has its own limits of memory and time.

Who ends whom: a child ends behind an answer that shows that something is wrong with it, or by its own alarm clock, or
killed by the nursery when the caller's time is up; one that waits for a question ends when its caller lets it go. The
nursery ends when the process that started it does, however that happened, since their connection closes then; and takes
its children with it. A nursery that was killed is started again by the next call.
"""

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from library.contracts.reading import FileRejected, ReaderDied, ReaderTimedOut, ReaderUnavailable

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer: a child can be made to say anything."""

_BIRTH = 60.0
"""Seconds until a new child has to say its first word; one that has answered before is there already."""
_ANSWERS_WITHIN = 5.0
_NURSERIES = 2
"""How many are tried until somebody takes a question up."""
_GRACE = 1.0
"""Seconds after a child's own alarm clock, until the caller has it killed."""
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from library.reading.nursery import serve; serve()"


def run_in_child[**P](
    function: Callable[P, Any],
    /,
    *args: Any,  # noqa: ANN401 - whatever JSON can carry
    errors: Sequence[type[FileRejected]] = (),
    max_memory: int,
    max_seconds: float,
) -> Any:  # noqa: ANN401 - whatever JSON can carry
    """Call a function in a child process and return what it returned. Blocks; any number of threads may call at once.

    Args:
        function: one that a module has by name; the module should import little, since the nursery has to.
        args: JSON values.
        errors: what the function raises of a file that it refuses, subclasses too; no other type is made again here.
        max_memory: bytes of address space that the child may take over what it had when it started.
        max_seconds: wall clock.

    Raises:
        FileRejected: one of `errors`, as the function raised it, with its type, text and details.
        OSError: the one that the function raised, with its number: a full disk is no fault of the file.
        ReaderUnavailable: no child took it up; later one may.
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
    answer = _ask(json.dumps(question).encode() + b"\n", function.__module__, max_seconds)
    return _understand(answer, errors, max_memory)


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
        self._free: list[socket.socket] = []
        self.owner = os.getpid()

    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, module: str) -> socket.socket:
        """The connection to a new child, which knows this module."""
        ours, theirs = socket.socketpair()
        message = json.dumps({"start": module}).encode() + b"\n"
        with contextlib.ExitStack() as unless_sent, theirs, self._lock:
            unless_sent.enter_context(ours)
            sent = socket.send_fds(self._connection, [message], [theirs.fileno()])
            self._connection.sendall(message[sent:])
            unless_sent.pop_all()
        return ours

    def free_child(self) -> socket.socket | None:
        """The connection to a child that waits for a question, if there is one; it may have ended meanwhile."""
        with contextlib.suppress(IndexError):
            return self._free.pop()
        return None

    def keep(self, child: socket.socket) -> None:
        """A child has answered, and waits for another question."""
        self._free.append(child)

    def give_up(self) -> None:
        """It starts no children, whatever became of it. Those of other calls go on, and have an alarm clock."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
            return
        self._process.kill()
        self._process.wait()

    def kill(self, child: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps({"kill": child}).encode() + b"\n")

    def close(self) -> None:
        """End it, and its children with it."""
        while child := self.free_child():
            child.close()
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
    """Send a question to a child and return what it answers, unread.

    A child or a nursery can die between two calls without being noticed; then nobody ever takes up the question, and
    another child gets it. A child that took it up is never replaced.
    """
    for nursery, child, patience in _children(module):
        with contextlib.ExitStack() as unless_kept:
            unless_kept.enter_context(child)
            taken_up = _taken_up(child, question, patience)
            if taken_up is None:
                continue
            answer = _answer(child, nursery, *taken_up, max_seconds)
            if answer.endswith(b"\n"):
                unless_kept.pop_all()
                nursery.keep(child)
            return answer
    raise ReaderUnavailable("No process could be started to read the file.")


def _children(module: str) -> Iterator[tuple[_Nursery, socket.socket, float]]:
    """Whom to ask, and seconds to wait for a word: those that wait, then a new one, at last one of a new nursery."""
    for _ in range(_NURSERIES):
        nursery = _living_nursery()
        while child := nursery.free_child():
            yield nursery, child, _ANSWERS_WITHIN
        try:
            child = nursery.start(module)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has just died
        else:
            yield nursery, child, _BIRTH
        nursery.give_up()


def _taken_up(child: socket.socket, question: bytes, patience: float) -> tuple[int, float] | None:
    """Send the question; by which process it was taken up, and when; `None`: by none."""
    # Before its first word a child waits for its nursery, which may have to start: that is not the reading's time.
    child.settimeout(patience)
    try:
        child.sendall(question)
        first = _receive_line(child)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        return None
    if not first:
        return None
    process, moment = first.split()
    return int(process), float(moment)


def _answer(child: socket.socket, nursery: _Nursery, process: int, started: float, max_seconds: float) -> bytes:
    """Collect the answer: a line, if it is whole."""
    deadline = started + max_seconds + _GRACE
    answer = bytearray()
    try:
        while not answer.endswith(b"\n"):
            child.settimeout(max(0.001, deadline - time.monotonic()))
            part = child.recv(65_536)
            if not part:
                break
            answer += part
            if len(answer) > MAX_ANSWER:
                nursery.kill(process)
                raise ReaderDied("The process that read the file said more than an answer can hold.")
    except TimeoutError:
        nursery.kill(process)
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


def _understand(answer: bytes, errors: Sequence[type[FileRejected]], max_memory: int) -> Any:  # noqa: ANN401 - whatever JSON can carry
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
    raise _error(said, errors)


def _error(said: dict[str, Any], errors: Sequence[type[FileRejected]]) -> Exception:
    name, message, advice = (str(said.get(key) or "") for key in ("error", "message", "advice"))
    kind = next((kind for base in errors for kind in _subclasses(base) if kind.__name__ == name), None)
    if kind is not None:
        error = kind(message, advice=advice)
        details = said.get("details")
        for key in kind.details:  # the message has them already, so they are set without it
            value = details.get(key) if isinstance(details, dict) else None
            setattr(error, key, value if isinstance(value, str | int) else None)
        return error
    number = said.get("errno")
    if isinstance(number, int):
        return OSError(number, os.strerror(number))
    if name == "MemoryError":
        return ReaderDied("The process that read the file needed more memory than it may have.")
    return ReaderDied(
        f"The reader failed: {name} {message}", advice="Report it with the file: the reader has to learn it."
    )


def _subclasses(kind: type[FileRejected]) -> Iterable[type[FileRejected]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _subclasses(subclass)
