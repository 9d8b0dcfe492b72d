"""Rates: how much each caller may send, as a bucket that fills steadily and holds some in reserve."""

import time
from collections.abc import Callable
from uuid import UUID

_KEPT = 20_000


class Rates:
    """Buckets of this process, one for each caller.

    Args:
        per_second: what flows into each.
        burst: what each holds at most, and at the beginning; nothing greater can be taken at once.
        clock: seconds that only grow.
    """

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[UUID, tuple[float, float]] = {}

    def take(self, who: UUID, amount: float) -> float:
        """Take an amount; returns 0.0, or (nothing is taken) the seconds until it will be there."""
        now = self._clock()
        held, at = self._buckets.get(who, (self._burst, now))
        held = min(self._burst, held + (now - at) * self._per_second)
        if amount > held:
            return (amount - held) / self._per_second
        if len(self._buckets) >= _KEPT and who not in self._buckets:
            self._forget_full(now)
        self._buckets[who] = (held - amount, now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            who: (held, at)
            for who, (held, at) in self._buckets.items()
            if held + (now - at) * self._per_second < self._burst
        }
