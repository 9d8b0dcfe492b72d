"""Faults of real servers. Each is played at a rate; the same seed gives the same faults."""

import random
from collections import Counter
from typing import Literal

import msgspec

RATES = (
    "too_many_requests",
    "unavailable",
    "server_error",
    "slow",
    "cut_off",
    "cut_json",
    "html",
    "gzip",
    "json_content_type",
    "expired_page",
    "several_patients_refused",
    "repeated_page",
    "looping_next",
    "empty_page",
    "short_page",
    "missing_total",
    "relative_next",
    "next_on_another_port",
    "other_parameter_order",
    "outcome_among_matches",
    "include_among_matches",
    "unstamped_export",
)


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The faults to play. Rates are from 0 to 1, of the calls on which the fault can be played.

    Attributes:
        seed: with another seed, other calls get the faults.
        calls: the kinds of calls with faults: `search`, `page`, `read`, `export`, `put`, `delete`, `metadata`, or one
            of them with a kind of resource, such as `search Patient`.
        times: the most times that each fault is played; `None`: no limit.
        latency: the least time of each call, in seconds.
    too_many_requests, unavailable: status 429 and 503, with a Retry-After of `retry_after` seconds.
    retry_after_form: Retry-After as a number of seconds, as a date, or missing.
    server_error: 500, with an OperationOutcome.
    slow: the call takes `slow_seconds` more.
    cut_off: the connection is closed in the middle of the body.
    cut_json: a complete answer whose JSON is cut off.
    html: an HTML page with status 200.
    gzip: a compressed body, if the caller accepts it.
    json_content_type: `application/json` instead of `application/fhir+json`.
    expired_page: a page link gets status 410 from now on.
    several_patients_refused: status `refusal_status` for a search with more than one patient.
    repeated_page: `next` leads to the same entries once more with another link, and continues after them.
    looping_next: `next` leads back to the first page.
    empty_page: `empty_pages` pages without `entry` come before the next page.
    short_page: the page has half of the entries that were asked for.
    missing_total, relative_next, other_parameter_order: changes of the Bundle and its links.
    next_on_another_port: `next` has the port `another_port`.
    outcome_among_matches: one entry is an OperationOutcome.
    include_among_matches: one entry is a resource of the same kind with `search.mode=include`.
    unstamped_export: resources in export files have no `meta.lastUpdated` and no `meta.versionId`.
    """

    seed: int = 0
    calls: tuple[str, ...] = ("search", "page", "read", "export")
    times: int | None = None
    latency: float = 0.0
    retry_after: float = 1.0
    retry_after_form: Literal["seconds", "date", "none"] = "seconds"
    slow_seconds: float = 1.0
    empty_pages: int = 1
    another_port: int = 0
    refusal_status: int = 400
    too_many_requests: float = 0.0
    unavailable: float = 0.0
    server_error: float = 0.0
    slow: float = 0.0
    cut_off: float = 0.0
    cut_json: float = 0.0
    html: float = 0.0
    gzip: float = 0.0
    json_content_type: float = 0.0
    expired_page: float = 0.0
    several_patients_refused: float = 0.0
    repeated_page: float = 0.0
    looping_next: float = 0.0
    empty_page: float = 0.0
    short_page: float = 0.0
    missing_total: float = 0.0
    relative_next: float = 0.0
    next_on_another_port: float = 0.0
    other_parameter_order: float = 0.0
    outcome_among_matches: float = 0.0
    include_among_matches: float = 0.0
    unstamped_export: float = 0.0

    def __post_init__(self) -> None:
        """Check the rates.

        Raises:
            ValueError: a rate is not from 0 to 1. msgspec turns it into a ValidationError.
        """
        for name in RATES:
            if not 0 <= (rate := getattr(self, name)) <= 1:
                raise ValueError(f"{name} must be a rate from 0 to 1, not {rate:g}")


class DrawnFaults:
    """The faults that were drawn for one call. A fault counts as played when `play` is called."""

    def __init__(self, names: frozenset[str], order: random.Random | None, player: "Player") -> None:
        self._names = names
        self._player = player
        self.order = order

    def play(self, name: str) -> bool:
        """Whether to play the fault now. Call it at most once for each fault of a call."""
        return name in self._names and self._player.take(name)


class Player:
    """Decides which calls get which faults.

    A draw depends on the seed, on what the call asks for, and on how often it was asked for. So the order of concurrent
    calls does not matter.
    """

    def __init__(self, faults: Faults) -> None:
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Play these faults from now on, and set the counts to zero."""
        self.faults = faults
        self.played: Counter[str] = Counter()
        self._rates = {name: rate for name in RATES if (rate := getattr(faults, name)) > 0}
        self._calls: Counter[str] = Counter()

    def draw(self, kind: str, what: str) -> DrawnFaults:
        """Draw the faults for a call."""
        if not self._rates or not self.concerns(kind):
            return DrawnFaults(frozenset(), None, self)
        self._calls[what] += 1
        chance = random.Random(f"{self.faults.seed} {what} {self._calls[what]}")  # noqa: S311 - must be reproducible
        numbers = {name: chance.random() for name in RATES}
        return DrawnFaults(frozenset(name for name, rate in self._rates.items() if numbers[name] < rate), chance, self)

    def take(self, name: str) -> bool:
        """Play a fault, unless it was played `times` times."""
        if self.faults.times is not None and self.played[name] >= self.faults.times:
            return False
        self.played[name] += 1
        return True

    def concerns(self, kind: str) -> bool:
        """Whether calls of this kind get faults."""
        return kind in self.faults.calls or kind.partition(" ")[0] in self.faults.calls
