"""Keeps the results of searches. Page links lead through the result of one search until they expire."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.sources.fhir.sandbox.resources import Stored, present


class PageExpired(LookupError):
    """The page link is unknown or has expired."""


@dataclass(frozen=True)
class Snapshot:
    """The result of one search.

    Attributes:
        query: the text of the search; equal for each repetition.
        at: the server's time when the search ran.
        born: the same time by a monotonic clock.
    """

    id: str
    kind: str
    query: str
    found: tuple[Stored, ...]
    at: datetime
    born: float


class Snapshots:
    """The results of searches that have not expired.

    Attributes:
        lifetime: seconds until page links expire.
        reuse: seconds in which an equal search gets the earlier result, unless it is sent with `no-cache`.
    """

    def __init__(self, lifetime: float, reuse: float) -> None:
        self.lifetime = lifetime
        self.reuse = reuse
        self._by_id: dict[str, Snapshot] = {}
        self._by_query: dict[str, Snapshot] = {}
        self._made = 0

    def open(self, kind: str, query: str, find: Callable[[], tuple[Stored, ...]], *, fresh: bool) -> Snapshot:
        """Run a search, or return the earlier result of an equal search."""
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
        """The result that a page link belongs to.

        Raises:
            PageExpired: the link has expired, or is unknown.
        """
        found = self._by_id.get(name)
        if found is None or time.monotonic() - found.born >= self.lifetime:
            raise PageExpired(name)
        return found

    def expire(self, name: str | None = None) -> None:
        """Let the links of one search, or of all searches, expire now."""
        for each in [name] if name else list(self._by_id):
            if gone := self._by_id.pop(each, None):
                self._by_query.pop(gone.query, None)

    def _forget(self, now: float) -> None:
        kept = max(self.lifetime, self.reuse)
        while self._by_id and now - (oldest := next(iter(self._by_id.values()))).born >= kept:
            del self._by_id[oldest.id]
            if self._by_query.get(oldest.query) is oldest:
                del self._by_query[oldest.query]
