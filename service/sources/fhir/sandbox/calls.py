"""Records the calls, so that tests can check how many calls a client makes at once, how often, and for what."""

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

_KEPT = 20_000
"""Number of calls that are stored one by one."""


@dataclass
class RecordedCall:
    """One call, as it is shown by `GET /_sandbox/calls/log`.

    Attributes:
        kind: such as `search Patient`, `page Observation`, `read Patient`, `put`, `export file`.
        what: which resource, page or search; equal for each repetition.
        began: seconds since the server started, or since its calls were cleared.
    """

    kind: str
    method: str
    path: str
    parameters: list[tuple[str, str]]
    began: float
    what: str = ""
    seconds: float = 0.0
    status: int = 0
    impatient: bool = False


@dataclass
class Calls:
    """Counts calls.

    Attributes:
        impatient: calls that were repeated after 429 or 503 before the time of Retry-After was over.
    """

    count: int = 0
    at_once: int = 0
    most_at_once: int = 0
    impatient: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    most_by_kind: Counter[str] = field(default_factory=Counter)
    log: deque[RecordedCall] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _now_by_kind: Counter[str] = field(default_factory=Counter)
    _not_before: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def begin(self, kind: str, method: str, path: str, parameters: list[tuple[str, str]], what: str) -> RecordedCall:
        """Record a new call."""
        now = time.monotonic()
        call = RecordedCall(kind, method, path, parameters, now - self._started, what)
        self.count += 1
        self.by_kind[kind] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._now_by_kind[kind] += 1
        self.most_by_kind[kind] = max(self.most_by_kind[kind], self._now_by_kind[kind])
        if now < self._not_before.pop(what, 0.0):
            call.impatient = True
            self.impatient += 1
        self.log.append(call)
        return call

    def end(self, call: RecordedCall, status: int) -> None:
        """Record the end of a call; status 0: the caller has closed the connection."""
        call.status = status
        call.seconds = time.monotonic() - self._started - call.began
        self.by_status[status] += 1
        self.at_once -= 1
        self._now_by_kind[call.kind] -= 1

    def told_to_wait(self, call: RecordedCall, seconds: float) -> None:
        """Note that the same call must not come again for some seconds."""
        self._not_before[call.what] = time.monotonic() + seconds

    def clear(self) -> None:
        """Set all counts to zero. Running calls continue."""
        self.count = self.impatient = 0
        self.most_at_once = self.at_once
        for counter in (self.by_kind, self.by_status, self.most_by_kind, self._not_before, self.log):
            counter.clear()

    def summary(self) -> dict[str, Any]:
        """The counts."""
        return {
            "count": self.count,
            "at_once": self.at_once,
            "most_at_once": self.most_at_once,
            "impatient": self.impatient,
            "by_kind": dict(self.by_kind),
            "most_at_once_by_kind": dict(self.most_by_kind),
            "by_status": {str(status): count for status, count in self.by_status.items()},
        }
