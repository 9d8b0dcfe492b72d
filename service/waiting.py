"""Reports what a process waits for: after two seconds, and again every half minute.

Commands print the line to standard error. Other processes write it to their log.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from ipaddress import ip_address

import structlog

from library.contracts.errors import HostNotResolved
from library.web.names import NAME_MAY_TAKE
from service.addresses import Server

_log = structlog.get_logger(__name__)

REPORT_AFTER, REPORT_AGAIN_AFTER = 2.0, 30.0
"""Seconds until a wait is reported, and between two reports of the same wait."""
_BETWEEN_LOOKUPS = 1.0

type WriteLine = Callable[[str], object]


def log_wait(text: str) -> None:
    """Write the line to the log."""
    _log.warning("waiting", what=text)


_report: ContextVar[WriteLine] = ContextVar("report", default=log_wait)
_innermost: ContextVar["Waiting | None"] = ContextVar("innermost", default=None)
_reported_at: dict[str, float] = {}
"""When a text was reported last. Many runs that wait for one server share one line."""


def report_waits_to(report: WriteLine) -> None:
    """Write the waits of this task, and of tasks that it starts, with a function instead of the log."""
    _report.set(report)


class Waiting:
    """One wait.

    Attributes:
        what: the thing that is waited for. An equal text is not reported again for a while.
        reason: why it is missing, if that is known.
        over: whether the wait has ended.
    """

    def __init__(self, what: str, reason: str, seconds: float | None, *, gives_way: bool) -> None:
        self.what, self.reason = what, reason
        self._until = None if seconds is None else time.monotonic() + seconds
        self._gives_way = gives_way
        self._inner = 0
        self.over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Write the wait in two seconds. A further call, for example after progress, starts the time again."""
        self._stop()
        if not self.over:
            self._timer = asyncio.get_running_loop().call_later(REPORT_AFTER, self._tell)

    def end(self) -> None:
        """Stop all reports of this wait."""
        self.over = True
        self._stop()

    def pause(self) -> None:
        """An inner wait has begun."""
        self._inner += 1
        if self._gives_way:
            self._stop()

    def resume(self) -> None:
        """An inner wait has ended."""
        self._inner -= 1
        if self._gives_way and self._inner == 0:
            self.begin()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        now = time.monotonic()
        due = _reported_at.get(self.what, now - REPORT_AGAIN_AFTER) + REPORT_AGAIN_AFTER
        if due <= now:
            _reported_at[self.what] = due = now
            due += REPORT_AGAIN_AFTER
            left = "" if self._until is None else f" Trying for up to {max(1, round(self._until - now))} s more."
            _report.get()(f"Waiting for {self.what}{self.reason and f': {self.reason}'}.{left}")
        self._timer = asyncio.get_running_loop().call_later(max(due - now, 0.1), self._tell)


@contextmanager
def waiting_for(
    what: Server | str, reason: str = "", *, seconds: float | None = None, gives_way: bool = False
) -> Iterator[Waiting]:
    """Write a wait if the body takes longer than two seconds.

    Args:
        what: a server, or other words that follow "Waiting for".
        reason: why the wait is necessary, without a full stop.
        seconds: the time limit of the body.
        gives_way: pause this wait during an inner wait, and start it again afterwards.
    """
    outer = _innermost.get()
    if outer is not None:
        outer.pause()
    made = Waiting(str(what), reason, seconds, gives_way=gives_way)
    token = _innermost.set(made)
    made.begin()
    try:
        yield made
    finally:
        made.end()
        _innermost.reset(token)
        if outer is not None:
            outer.resume()


async def resolved(server: Server) -> None:
    """Wait until the name of a server resolves. Addresses need no look-up.

    Raises:
        HostNotResolved: the name did not resolve for 15 seconds.
    """
    if not server.hosts or any(map(_is_address, server.hosts)):
        return None
    until = time.monotonic() + NAME_MAY_TAKE
    names = ", ".join(server.hosts)
    with waiting_for(f"the name {names} ({server.role}) to resolve", seconds=NAME_MAY_TAKE):
        while time.monotonic() < until:
            # Look up all hosts at once, so that a slow look-up does not delay the others.
            look_ups = [asyncio.create_task(_look_up(host)) for host in server.hosts]
            try:
                for first in asyncio.as_completed(look_ups, timeout=until - time.monotonic()):
                    with suppress(OSError):
                        return await first
            finally:
                for each in look_ups:
                    each.cancel()
                await asyncio.gather(*look_ups, return_exceptions=True)
            await asyncio.sleep(min(_BETWEEN_LOOKUPS, max(0.0, until - time.monotonic())))
    raise not_resolved(server)


def not_resolved(server: Server) -> HostNotResolved:
    """The error for a server whose name has not resolved for too long."""
    return HostNotResolved(
        f"The name {', '.join(server.hosts)} ({server.role}) does not resolve; it was tried for "
        f"{NAME_MAY_TAKE:.0f} seconds.",
        advice=f"Check the setting {server.setting} and the DNS of this machine, then try again.",
    )


async def _look_up(host: str) -> None:
    """Look up a name in a daemon thread, so that a look-up that hangs does not keep the process alive."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[None] = loop.create_future()

    def answered(error: OSError | None) -> None:
        if not found.done():
            found.set_result(None) if error is None else found.set_exception(error)

    def look() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            error: OSError | None = None
        except UnicodeError:
            error = socket.gaierror(socket.EAI_NONAME, "not a name of a host")
        except OSError as failure:
            error = failure
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(answered, error)

    threading.Thread(target=look, name="look-up", daemon=True).start()
    await found


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
