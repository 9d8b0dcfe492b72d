"""Runs a function in a child process with limits, since a bad file can crash its decoder.

A workbook of 5 KB with cells in its first and last corner makes its decoder ask for 512 GB and abort. So files are
decoded in a child process. If the child dies, the caller gets an error, and the worker continues.

    answer = run_in_child(
        stage_file, source, folder, errors=[NotWardCounts], max_memory=256 * MEBIBYTE, max_seconds=60.0
    )

To start an interpreter for each file would take longer than the reading. So each process that calls `run_in_child` has
one *nursery* (`library.reading.nursery`): a small process with one thread that has imported the reader, and forks a
child when no child is free. multiprocessing's fork server does the same, but it runs the caller's main module again in
every child (a second for a console script), and its answers are pickles, which can run code. Here requests and answers
are lines of JSON.

A child is used again after a good answer if it has freed its memory: the first file of a new process takes half as long
again as the second. Each request has its own limits of memory and time.

How processes end: a child ends after an unexpected error, by its own alarm, when the nursery kills it after the
caller's time limit, or when the caller closes its connection. The nursery ends, with its children, when the connection
to its parent process closes. A nursery that was killed is started again by the next call.
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
"""Most bytes of an answer, since a bad file may control the child."""

_NEW_CHILD_TIMEOUT = 60.0
"""Seconds to wait until a new child accepts a request."""
_USED_CHILD_TIMEOUT = 5.0
"""Seconds to wait until a child that was used before accepts a request."""
_NURSERIES = 2
"""Nurseries that are tried before `ReaderUnavailable` is raised."""
_GRACE = 1.0
"""Seconds after a child's own alarm until the caller lets it be killed."""
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from library.reading.nursery import serve; serve()"


def run_in_child[**P](
    function: Callable[P, Any],
    /,
    *args: Any,  # noqa: ANN401 - whatever JSON can carry
    errors: Sequence[type[FileRejected]] = (),
    max_memory: int,
    max_seconds: float,
) -> Any:  # noqa: ANN401 - whatever JSON can carry
    """Call a function in a child process and return its result.

    The call blocks. Several threads may call it at once.

    Args:
        function: a named function of a module. The module should import little, since the nursery imports it.
        args: JSON values.
        errors: types of errors (with subclasses) that the function raises for a bad file. Only these are raised again
            with their own type.
        max_memory: bytes of address space that the child may use beyond what it had at its start.
        max_seconds: time limit by the wall clock.

    Raises:
        FileRejected: one of `errors`, with the type, text and details that the function gave it.
        OSError: an OSError of the function, with its number, such as a full disk.
        ReaderUnavailable: no child accepted the request. A retry may succeed.
        ReaderDied: the child ended without an answer, its answer was wrong, or the function raised another error.
        ReaderTimedOut: the time limit has passed.
    """
    request = {
        "module": function.__module__,
        "name": function.__qualname__,
        "args": args,
        "max_memory": max_memory,
        "max_seconds": max_seconds,
    }
    answer = _send_request(json.dumps(request).encode() + b"\n", function.__module__, max_seconds)
    return _decode_answer(answer, errors, max_memory)


class _Nursery:
    """The connection to a nursery. Messages are lines of JSON.

    `start` also sends the child's end of a socket pair.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # The connection becomes the nursery's standard input, so its descriptor number is always 0.
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and no shell
                [sys.executable, "-c", _BOOT, json.dumps(sys.path)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C must reach the worker only, which then ends the nursery
            )
        self._connection = ours
        self._lock = threading.Lock()
        self._free: list[socket.socket] = []
        self.owner = os.getpid()

    def alive(self) -> bool:
        return self._process.poll() is None

    def start(self, module: str) -> socket.socket:
        """Start a child that has imported this module, and return the connection to it."""
        ours, theirs = socket.socketpair()
        message = json.dumps({"start": module}).encode() + b"\n"
        with contextlib.ExitStack() as unless_sent, theirs, self._lock:
            unless_sent.enter_context(ours)
            sent = socket.send_fds(self._connection, [message], [theirs.fileno()])
            self._connection.sendall(message[sent:])
            unless_sent.pop_all()
        return ours

    def free_child(self) -> socket.socket | None:
        """The connection to a child that waits for a request, or None. The child may have died."""
        with contextlib.suppress(IndexError):
            return self._free.pop()
        return None

    def keep(self, child: socket.socket) -> None:
        """Keep a child that has answered, for the next request."""
        self._free.append(child)

    def give_up(self) -> None:
        """Wait for the nursery to end, or kill it. Alarms end the children of other calls."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
            return
        self._process.kill()
        self._process.wait()

    def kill(self, child: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps({"kill": child}).encode() + b"\n")

    def close(self) -> None:
        """End the nursery and its children."""
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
    """The nursery of this process. It is started if it does not run."""
    global _nursery  # each process has one
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
    """End the nursery of this process, if it has one. The next call starts a new one."""
    global _nursery
    with _nursery_lock:
        if _nursery is not None and _nursery.owner == os.getpid():
            _nursery.close()
        _nursery = None


def _send_request(request: bytes, module: str, max_seconds: float) -> bytes:
    """Send a request to a child, and return the answer's bytes.

    If a child died since its last request, the next child gets the request. After a child has accepted it, the request
    is never sent to another one.
    """
    for nursery, child, timeout in _children(module):
        with contextlib.ExitStack() as unless_kept:
            unless_kept.enter_context(child)
            accepted = _accepted(child, request, timeout)
            if accepted is None:
                continue
            answer = _receive_answer(child, nursery, *accepted, max_seconds)
            if answer.endswith(b"\n"):
                unless_kept.pop_all()
                nursery.keep(child)
            return answer
    raise ReaderUnavailable("No process could be started to read the file.")


def _children(module: str) -> Iterator[tuple[_Nursery, socket.socket, float]]:
    """Children to try, with time-outs: free ones, then a new one, then one of a new nursery."""
    for _ in range(_NURSERIES):
        nursery = _living_nursery()
        while child := nursery.free_child():
            yield nursery, child, _USED_CHILD_TIMEOUT
        try:
            child = nursery.start(module)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the nursery has died
        else:
            yield nursery, child, _NEW_CHILD_TIMEOUT
        nursery.give_up()


def _accepted(child: socket.socket, request: bytes, timeout: float) -> tuple[int, float] | None:
    """Send the request. Return the child's process id and the time of acceptance, or `None`."""
    # A new child waits until its nursery has started. This time does not count as reading time.
    child.settimeout(timeout)
    try:
        child.sendall(request)
        first = _receive_line(child)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        return None
    if not first:
        return None
    process, moment = first.split()
    return int(process), float(moment)


def _receive_answer(child: socket.socket, nursery: _Nursery, process: int, started: float, max_seconds: float) -> bytes:
    """Receive the answer. It ends with a newline if it is complete."""
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
                raise ReaderDied("The process that read the file sent an answer that is too long.")
    except TimeoutError:
        nursery.kill(process)
    if answer or time.monotonic() < started + max_seconds:
        return bytes(answer)
    raise ReaderTimedOut(f"Reading the file took more than {max_seconds:g} seconds.")


def _receive_line(connection: socket.socket) -> bytes:
    """Receive one line; empty if the connection closes before its end."""
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            return b""
        line += part
    return line


def _decode_answer(answer: bytes, errors: Sequence[type[FileRejected]], max_memory: int) -> Any:  # noqa: ANN401 - whatever JSON can carry
    """Return the value of an answer, or raise its error. A bad file may control the answer."""
    if not answer:
        cause = f"it needed more than {max_memory / 2**20:,.0f} MiB of memory, or its decoder crashed"
        raise ReaderDied(f"The process that read the file ended without an answer: {cause}.")
    try:
        decoded = json.loads(answer)
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise ReaderDied("The process that read the file ended in the middle of its answer.")
    if "value" in decoded:
        return decoded["value"]
    raise _error(decoded, errors)


def _error(answer: dict[str, Any], errors: Sequence[type[FileRejected]]) -> Exception:
    name, message, advice = (str(answer.get(key) or "") for key in ("error", "message", "advice"))
    kind = next((kind for base in errors for kind in _subclasses(base) if kind.__name__ == name), None)
    if kind is not None:
        error = kind(message, advice=advice)
        details = answer.get("details")
        for key in kind.details:  # set as attributes; the message contains them already
            value = details.get(key) if isinstance(details, dict) else None
            setattr(error, key, value if isinstance(value, str | int) else None)
        return error
    number = answer.get("errno")
    if isinstance(number, int):
        return OSError(number, os.strerror(number))
    if name == "MemoryError":
        return ReaderDied("The process that read the file used more memory than is allowed.")
    return ReaderDied(
        f"The reader failed: {name} {message}",
        advice="Report this with the file, since the reader has to be corrected.",
    )


def _subclasses(kind: type[FileRejected]) -> Iterable[type[FileRejected]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _subclasses(subclass)
