"""What searches found: a page link walks through what was found when the search ran, until the link expires."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.sources.fhir.sandbox.resources import Stored, present


class PageExpired(LookupError):
    """A page link that is unknown, or no longer known."""


@dataclass(frozen=True)
class Snapshot:
    """The result of one search.

    Attributes:
        query: what was asked, which is the same for every repeat of the search.
        at: the server's time when it ran.
        born: the same, by a clock that only goes forward.
    """

    id: str
    kind: str
    query: str
    found: tuple[Stored, ...]
    at: datetime
    born: float


class Snapshots:
    """The searches that can still be paged through.

    Attributes:
        lifetime: seconds that page links live.
        reuse: seconds that the same search is answered from what it found before, unless sent with `no-cache`.
    """

    def __init__(self, lifetime: float, reuse: float) -> None:
        self.lifetime = lifetime
        self.reuse = reuse
        self._by_id: dict[str, Snapshot] = {}
        self._by_query: dict[str, Snapshot] = {}
        self._made = 0

    def open(self, kind: str, query: str, find: Callable[[], tuple[Stored, ...]], *, fresh: bool) -> Snapshot:
        """What the search finds, or has found a moment ago."""
        now = time.monotonic()
        known = self._by_query.get(query)
        if known and not fresh and now - known.born < self.reuse:
            return known
        self._forget(now)
        self._made += 1
        name = hashlib.blake2b(f"{self._made} {query}".encode(), digest_size=16).hexdigest()
        made = Snapshot(name, kind, query, find(), present(), now)
        self._by_id[name] = self._by_query[query] = made
        return made

    def get(self, name: str) -> Snapshot:
        """The search of a page link.

        Raises:
            PageExpired: its time is over, or it never was.
        """
        found = self._by_id.get(name)
        if found is None or time.monotonic() - found.born >= self.lifetime:
            raise PageExpired(name)
        return found

    def expire(self, name: str | None = None) -> None:
        """End one search, or all, before their time."""
        for each in [name] if name else list(self._by_id):
            if gone := self._by_id.pop(each, None):
                self._by_query.pop(gone.query, None)

    def _forget(self, now: float) -> None:
        kept = max(self.lifetime, self.reuse)
        while self._by_id and now - (oldest := next(iter(self._by_id.values()))).born >= kept:
            del self._by_id[oldest.id]
            if self._by_query.get(oldest.query) is oldest:
                del self._by_query[oldest.query]
