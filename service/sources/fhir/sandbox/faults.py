"""Faults on demand: what real servers do to their callers, each at a rate, the same again for the same seed."""

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
    """Which faults are played. Rates are from 0 to 1, of the calls that the fault can be played on.

    Attributes:
        seed: another one plays the faults on other calls.
        calls: kinds of calls that are concerned: `search`, `page`, `read`, `export`, `put`, `delete`, `metadata`,
            or one of them on one kind of resource, such as `search Patient`.
        times: how often each fault is played at most; `None`: for ever.
        latency: seconds that each call takes at least.
        too_many_requests, unavailable: 429 and 503, with a Retry-After of `retry_after` seconds.
        retry_after_form: as a number of seconds, as a date, or missing.
        server_error: 500, with an OperationOutcome.
        slow: the call takes `slow_seconds` more.
        cut_off: the connection is closed in the middle of the body.
        cut_json: a complete answer whose JSON is cut off.
        html: an HTML page with status 200.
        gzip: a compressed body, where the caller accepts it.
        json_content_type: `application/json` instead of `application/fhir+json`.
        expired_page: a page link is answered by 410 from now on.
        several_patients_refused: `refusal_status` for a search that names more than one patient.
        repeated_page: `next` leads to the same entries once more, under another link, and on from there.
        looping_next: `next` leads back to the first page.
        empty_page: `empty_pages` pages without `entry` come in between.
        short_page: half of the entries that were asked for.
        missing_total, relative_next, other_parameter_order: of the Bundle and its links.
        next_on_another_port: `next` names `another_port`.
        outcome_among_matches: an OperationOutcome is an entry.
        include_among_matches: a resource of the same kind with `search.mode=include` is an entry.
        unstamped_export: resources in export files carry no `meta.lastUpdated` and no `meta.versionId`.
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
        """Refuse rates that are none.

        Raises:
            ValueError: for msgspec to pass on as a ValidationError.
        """
        for name in RATES:
            if not 0 <= (rate := getattr(self, name)) <= 1:
                raise ValueError(f"{name} is a rate from 0 to 1, and not {rate:g}")


class Drawn:
    """The faults that are in store for one call; they count as played when they are asked for."""

    def __init__(self, names: frozenset[str], order: random.Random | None, player: "Player") -> None:
        self._names = names
        self._player = player
        self.order = order

    def play(self, name: str) -> bool:
        """Whether the fault is to be played now; each fault is asked for at most once a call."""
        return name in self._names and self._player.take(name)


class Player:
    """Decides which calls meet which faults.

    A draw depends on the seed, on what is asked for and on how often it was asked for: so it is the same
    in whatever order calls come that run side by side.
    """

    def __init__(self, faults: Faults) -> None:
        self.set(faults)

    def set(self, faults: Faults) -> None:
        """Play these from now on, and count anew."""
        self.faults = faults
        self.played: Counter[str] = Counter()
        self._rates = {name: rate for name in RATES if (rate := getattr(faults, name)) > 0}
        self._asked: Counter[str] = Counter()

    def draw(self, kind: str, what: str) -> Drawn:
        """Draw the faults for a call."""
        if not self._rates or not self.concerns(kind):
            return Drawn(frozenset(), None, self)
        self._asked[what] += 1
        chance = random.Random(f"{self.faults.seed} {what} {self._asked[what]}")  # noqa: S311 - to be foreseen
        numbers = {name: chance.random() for name in RATES}
        return Drawn(frozenset(name for name, rate in self._rates.items() if numbers[name] < rate), chance, self)

    def take(self, name: str) -> bool:
        """Play a fault, unless it was played often enough."""
        if self.faults.times is not None and self.played[name] >= self.faults.times:
            return False
        self.played[name] += 1
        return True

    def concerns(self, kind: str) -> bool:
        """Whether faults are played on calls of a kind."""
        return kind in self.faults.calls or kind.partition(" ")[0] in self.faults.calls
