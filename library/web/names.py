"""Host names that do not resolve: after 15 seconds of tries an error ends them."""

import socket
import time
from dataclasses import dataclass, field

from library.contracts.errors import HostNotResolved

NAME_MAY_TAKE = 15.0
"""Seconds in which a name must resolve, over all tries: a command ends within half a minute."""
LOOK_AGAIN_AFTER = 5.0
"""Seconds between two tries of a run's step; Temporal's own pauses grow each time."""
_ANOTHER_TIME = 30.0
"""Seconds without a try after which a failure begins a new count, as for another run."""


@dataclass
class Names:
    """Since when each name has not resolved, as this process saw it."""

    _failing: dict[str, tuple[float, float]] = field(default_factory=dict)

    def resolved(self, host: str) -> None:
        """The host was found, or connected to."""
        self._failing.pop(host, None)

    def failed(self, host: str) -> None:
        """The host's name did not resolve now.

        Raises:
            HostNotResolved: it has not for so long that a repeat makes no sense.
        """
        now = time.monotonic()
        self._failing = {name: each for name, each in self._failing.items() if now - each[1] < _ANOTHER_TIME}
        first = self._failing.get(host, (now, now))[0]
        self._failing[host] = (first, now)
        if now - first >= NAME_MAY_TAKE:
            raise HostNotResolved(
                f"The name of the host {host} does not resolve; it was tried for {NAME_MAY_TAKE:.0f} seconds.",
                advice="Check how the host is written in the URL or the setting, and the DNS of the worker's machine. "
                "Then start the run again.",
            )


NAMES = Names()
"""Of this process: what one call of a host has seen holds for all of them."""


def does_not_resolve(error: BaseException | None) -> bool:
    """Whether a failure to connect began with a name that does not resolve."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # urllib3 keeps the cause in `reason`, and names the look-up's failure by a class of its own.
        if isinstance(error, socket.gaierror) or type(error).__name__ == "NameResolutionError":
            return True
        reason = getattr(error, "reason", None)
        error = error.__cause__ or error.__context__ or (reason if isinstance(reason, BaseException) else None)
    return False
