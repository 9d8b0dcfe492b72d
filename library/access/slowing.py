"""Failed sign-ins: whoever fails repeatedly waits longer each time."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

_FORGOTTEN = 900.0
"""Seconds after the last failure."""

_LONGEST = 60.0
"""Seconds that anybody has to wait: a user whom others try to guess is slowed too, and never locked out."""

_KEPT = 20_000


@dataclass(frozen=True)
class Counted:
    """Whose failures are counted together.

    Attributes:
        who: a user, an address, or a user at an address.
        free: failures that slow nothing yet.
    """

    who: Hashable
    free: int


class Slowing:
    """Counts failures in this process.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def seconds(self, counted: Sequence[Counted]) -> float:
        """How long to wait before the next try; 0: it may be made now."""
        now = self._clock()
        return max(0.0, *(self._until(each) - now for each in counted))

    def failed(self, counted: Sequence[Counted]) -> None:
        """Count one more failure."""
        now = self._clock()
        for each in counted:
            failures, at = self._failures.pop(each.who, (0, now))
            self._failures[each.who] = (failures + 1 if now - at < _FORGOTTEN else 1, now)
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, counted: Counted) -> None:
        """Forget the failures before it."""
        self._failures.pop(counted.who, None)

    def _until(self, counted: Counted) -> float:
        failures, at = self._failures.get(counted.who, (0, 0.0))
        beyond = failures - counted.free
        return at + min(_LONGEST, 2.0 ** min(beyond, 10)) if beyond >= 0 and failures else 0.0
