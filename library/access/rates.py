"""Rate limits of callers, as token buckets: a bucket fills steadily up to a maximum."""

import time
from collections.abc import Callable
from uuid import UUID

_KEPT = 20_000


class Rates:
    """The buckets of this process, one for each caller.

    Args:
        per_second: the amount that is added to a bucket each second.
        burst: the most that a bucket holds, also at the beginning. A larger amount can never be taken.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[UUID, tuple[float, float]] = {}

    def take(self, caller: UUID, amount: float) -> float:
        """Take an amount and return 0.0, or take nothing and return the seconds until it is available."""
        now = self._clock()
        held, at = self._buckets.get(caller, (self._burst, now))
        held = min(self._burst, held + (now - at) * self._per_second)
        if amount > held:
            return (amount - held) / self._per_second
        if len(self._buckets) >= _KEPT and caller not in self._buckets:
            self._forget_full(now)
        self._buckets[caller] = (held - amount, now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            caller: (held, at)
            for caller, (held, at) in self._buckets.items()
            if held + (now - at) * self._per_second < self._burst
        }
