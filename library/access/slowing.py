"""Slows down failed sign-ins: each further failure makes the caller wait longer."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

_FORGOTTEN = 900.0
"""Failures are forgotten this many seconds after the last one."""

_LONGEST = 60.0
"""Longest wait in seconds. A user whose password is guessed by others is slowed too, but never locked out."""

_KEPT = 20_000


@dataclass(frozen=True)
class FailureCounter:
    """A key by which failures are counted.

    Attributes:
        key: a user, an address, or a user at an address.
        free: the number of failures without a wait.
    """

    key: Hashable
    free: int


class Slowing:
    """Counts failures in this process.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def seconds(self, counted: Sequence[FailureCounter]) -> float:
        """Seconds to wait before the next try; 0: no wait."""
        now = self._clock()
        return max(0.0, *(self._until(each) - now for each in counted))

    def failed(self, counted: Sequence[FailureCounter]) -> None:
        """Count one more failure."""
        now = self._clock()
        for each in counted:
            failures, at = self._failures.pop(each.key, (0, now))
            self._failures[each.key] = (failures + 1 if now - at < _FORGOTTEN else 1, now)
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, counted: FailureCounter) -> None:
        """Forget earlier failures."""
        self._failures.pop(counted.key, None)

    def _until(self, counted: FailureCounter) -> float:
        failures, at = self._failures.get(counted.key, (0, 0.0))
        beyond = failures - counted.free
        return at + min(_LONGEST, 2.0 ** min(beyond, 10)) if beyond >= 0 and failures else 0.0
