"""Clinics that post records: most of them rightly, some as nobody may."""

import asyncio
import secrets
import time
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from random import Random
from uuid import UUID, uuid4

import httpx

from library.access.audit import LOCAL, Audit
from library.access.tokens import Tokens
from library.access.users import Users
from library.contracts.streams import KafkaTurnedOff
from library.sources.records.apis import Api
from library.warehouse.pool import Pool
from service.sources.records.simulator.made_up import MADE, broken
from service.sources.records.simulator.outages import answered

_MOST_UNDER_WAY = 500
_TIMEOUT = 15.0
_SERVERS_RETURN = 120.0
_A_DAY = timedelta(days=1)
_OK, _TOO_MANY = 202, 429
_SERVERS_FAULT = 500


class Kind(StrEnum):
    """What is posted."""

    VALID = "valid"
    BROKEN = "broken"
    UNKNOWN_USER = "unknown user"
    NO_GRANT = "missing grant"


class Outcome(StrEnum):
    """What the clinic heard.

    Attributes:
        UNKNOWN: 5xx, a time-out, a lost connection: the record may be there all the same.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


_EXPECTED = {Kind.BROKEN: 422, Kind.UNKNOWN_USER: 401, Kind.NO_GRANT: 403}
"""The answer to what nobody may post; 429 and unknown outcomes are nobody's fault."""


@dataclass(frozen=True)
class Plan:
    """What to play.

    Attributes:
        rate: posts a second.
        users: clinics with every grant; one of them signs in with a password.
        bad: share of posts that are to be refused.
        duration: seconds.
    """

    rate: float
    users: int
    bad: float
    duration: float
    seed: int = 1


@dataclass
class Played:
    """What was posted, and what the clinics heard.

    Attributes:
        records: each record's outcome; each has a patient of its own.
        counts: by kind, outcome and status; 0: none came.
        surprises: answers that nobody should have got.
        milliseconds: of each answer that accepted.
    """

    records: dict[tuple[Api, UUID], Outcome] = field(default_factory=dict)
    counts: Counter[tuple[Kind, Outcome, int]] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def those(self, outcome: Outcome, api: Api) -> set[UUID]:
        """The patients of the records with an outcome."""
        return {patient for (of, patient), heard in self.records.items() if heard is outcome and of is api}


class Clinics:
    """Users made for one run, and disabled at its end."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._users, self._tokens = pool, Users(pool), Tokens(pool)
        self._names: list[str] = []
        self.granted: list[str] = []
        self.ungranted = ""

    async def open(self, count: int) -> None:
        """Make them."""
        mark = f"simulated-{secrets.token_hex(4)}"
        password = secrets.token_urlsafe(16)
        for number in range(count):
            name = f"{mark}-{number}"
            with_password = number == count - 1 and count > 1
            token = await self._make(name, password if with_password else None)
            for api in Api:
                await self._users.grant(name, api)
            self.granted.append(_basic(name, password) if with_password else f"Bearer {token}")
        self.ungranted = f"Bearer {await self._make(f'{mark}-without', None)}"

    async def close(self) -> None:
        """Let none of them in any more."""
        async with asyncio.TaskGroup() as group:
            for name in self._names:
                group.create_task(answered(partial(self._users.disable, name), within=_SERVERS_RETURN))

    async def _make(self, name: str, password: str | None) -> str:
        user_id = await self._users.create(name, password)
        self._names.append(name)
        _, token = await self._tokens.create(name, [], user_id=user_id, expires_at=datetime.now(UTC) + _A_DAY)
        await Audit(self._pool).record(LOCAL, "create_user", str(user_id), simulated=True)
        return token


async def refuse_without_kafka(http: httpx.AsyncClient, clinics: Clinics) -> None:
    """Ask the API, by a post without a record, whether it takes posts; this stores nothing.

    Raises:
        KafkaTurnedOff: at this API.
    """
    with suppress(httpx.TransportError, ValueError):
        answer = await http.post(f"/api_{Api.PATIENT}", headers={"Authorization": clinics.granted[0]}, timeout=_TIMEOUT)
        if answer.json().get("type") == KafkaTurnedOff.__name__:
            raise KafkaTurnedOff(f"at the API {http.base_url}".rstrip("/"))


async def play(plan: Plan, http: httpx.AsyncClient, clinics: Clinics) -> Played:
    """Post at the rate, whatever the answers; with very many under way it waits for some."""
    played, chance = Played(), Random(plan.seed)  # noqa: S311 - not for secrets
    began = time.monotonic()
    places = asyncio.Semaphore(_MOST_UNDER_WAY)
    async with asyncio.TaskGroup() as group:
        for number in range(int(plan.rate * plan.duration)):
            await asyncio.sleep(max(0.0, began + number / plan.rate - time.monotonic()))
            await places.acquire()
            kind = chance.choice(list(_EXPECTED)) if chance.random() < plan.bad else Kind.VALID
            task = group.create_task(_post(kind, http, clinics, chance, played))
            task.add_done_callback(lambda _: places.release())
    played.seconds = time.monotonic() - began
    return played


async def _post(kind: Kind, http: httpx.AsyncClient, clinics: Clinics, chance: Random, played: Played) -> None:
    api, patient_id = chance.choice(list(Api)), uuid4()
    record = MADE[api](patient_id, chance)
    if kind is Kind.BROKEN:
        record = broken(record, chance)
    who = {
        Kind.UNKNOWN_USER: f"Bearer wf_{secrets.token_urlsafe(32)}",
        Kind.NO_GRANT: clinics.ungranted,
    }.get(kind) or chance.choice(clinics.granted)
    began = time.perf_counter()
    try:
        answer = await http.post(f"/api_{api}", json=record, headers={"Authorization": who}, timeout=_TIMEOUT)
        status = answer.status_code
    except httpx.TransportError:
        status = 0
    outcome = _heard(status)
    played.records[(api, patient_id)] = outcome
    played.counts[(kind, outcome, status)] += 1
    if outcome is Outcome.ACCEPTED:
        played.milliseconds.append((time.perf_counter() - began) * 1_000)
    if outcome is not Outcome.UNKNOWN and status not in (_EXPECTED.get(kind, _OK), _TOO_MANY):
        played.surprises.append(f"{kind}: {status}")


def _heard(status: int) -> Outcome:
    if status == _OK:
        return Outcome.ACCEPTED
    return Outcome.UNKNOWN if status >= _SERVERS_FAULT or status == 0 else Outcome.REFUSED


def _basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"
