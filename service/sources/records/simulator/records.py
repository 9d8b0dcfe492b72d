"""Simulates clinics that post records. Some posts are invalid on purpose."""

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
from service.sources.records.simulator.made_up import MAKERS, broken
from service.sources.records.simulator.outages import retry_while_away

_MOST_UNDER_WAY = 500
_TIMEOUT = 15.0
_SERVERS_RETURN = 120.0
_A_DAY = timedelta(days=1)
_OK, _TOO_MANY = 202, 429
_SERVERS_FAULT = 500


class PostKind(StrEnum):
    """The kind of a post: valid, or the reason why it must be refused."""

    VALID = "valid"
    BROKEN = "broken"
    UNKNOWN_USER = "unknown user"
    NO_GRANT = "missing grant"


class PostOutcome(StrEnum):
    """The answer to a post.

    Attributes:
        UNKNOWN: status 5xx, a time-out or a lost connection. The record may be stored.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


_EXPECTED = {PostKind.BROKEN: 422, PostKind.UNKNOWN_USER: 401, PostKind.NO_GRANT: 403}
"""The HTTP status for a rejected post. Status 429 and unknown outcomes are accepted, too."""


@dataclass(frozen=True)
class SimulationPlan:
    """What to simulate.

    Attributes:
        rate: posts a second.
        users: the number of clinics with all grants. One of them signs in with a password.
        bad: the share of posts that must be refused.
        duration: seconds.
    """

    rate: float
    users: int
    bad: float
    duration: float
    seed: int = 1


@dataclass
class SimulationResult:
    """The posts and their answers.

    Attributes:
        records: the outcome of each record. Each record has its own patient.
        counts: posts by kind, outcome and status; status 0: no answer.
        surprises: answers that are not expected.
        milliseconds: the times of accepted posts.
    """

    records: dict[tuple[Api, UUID], PostOutcome] = field(default_factory=dict)
    counts: Counter[tuple[PostKind, PostOutcome, int]] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def those(self, outcome: PostOutcome, api: Api) -> set[UUID]:
        """The patients of the records with an outcome."""
        return {patient for (of, patient), heard in self.records.items() if heard is outcome and of is api}


class Clinics:
    """The users of one simulation. They are disabled at its end."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._users, self._tokens = pool, Users(pool), Tokens(pool)
        self._names: list[str] = []
        self.granted: list[str] = []
        self.ungranted = ""

    async def open(self, count: int) -> None:
        """Create the users."""
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
        """Disable the users."""
        async with asyncio.TaskGroup() as group:
            for name in self._names:
                group.create_task(retry_while_away(partial(self._users.disable, name), within=_SERVERS_RETURN))

    async def _make(self, name: str, password: str | None) -> str:
        user_id = await self._users.create(name, password)
        self._names.append(name)
        _, token = await self._tokens.create(name, [], user_id=user_id, expires_at=datetime.now(UTC) + _A_DAY)
        await Audit(self._pool).record(LOCAL, "create_user", str(user_id), simulated=True)
        return token


async def refuse_without_kafka(http: httpx.AsyncClient, clinics: Clinics) -> None:
    """Check with an empty post whether the API accepts posts. Nothing is stored.

    Raises:
        KafkaTurnedOff: Kafka is turned off at this API.
    """
    with suppress(httpx.TransportError, ValueError):
        answer = await http.post(f"/api_{Api.PATIENT}", headers={"Authorization": clinics.granted[0]}, timeout=_TIMEOUT)
        if answer.json().get("type") == KafkaTurnedOff.__name__:
            raise KafkaTurnedOff(f"at the API {http.base_url}".rstrip("/"))


async def play(plan: SimulationPlan, http: httpx.AsyncClient, clinics: Clinics) -> SimulationResult:
    """Post at the given rate. When too many posts wait for an answer, wait for some of them."""
    played, chance = SimulationResult(), Random(plan.seed)  # noqa: S311 - not for secrets
    began = time.monotonic()
    places = asyncio.Semaphore(_MOST_UNDER_WAY)
    async with asyncio.TaskGroup() as group:
        for number in range(int(plan.rate * plan.duration)):
            await asyncio.sleep(max(0.0, began + number / plan.rate - time.monotonic()))
            await places.acquire()
            kind = chance.choice(list(_EXPECTED)) if chance.random() < plan.bad else PostKind.VALID
            task = group.create_task(_post(kind, http, clinics, chance, played))
            task.add_done_callback(lambda _: places.release())
    played.seconds = time.monotonic() - began
    return played


async def _post(
    kind: PostKind, http: httpx.AsyncClient, clinics: Clinics, chance: Random, played: SimulationResult
) -> None:
    api, patient_id = chance.choice(list(Api)), uuid4()
    record = MAKERS[api](patient_id, chance)
    if kind is PostKind.BROKEN:
        record = broken(record, chance)
    who = {
        PostKind.UNKNOWN_USER: f"Bearer wf_{secrets.token_urlsafe(32)}",
        PostKind.NO_GRANT: clinics.ungranted,
    }.get(kind) or chance.choice(clinics.granted)
    began = time.perf_counter()
    try:
        answer = await http.post(f"/api_{api}", json=record, headers={"Authorization": who}, timeout=_TIMEOUT)
        status = answer.status_code
    except httpx.TransportError:
        status = 0
    outcome = _outcome(status)
    played.records[(api, patient_id)] = outcome
    played.counts[(kind, outcome, status)] += 1
    if outcome is PostOutcome.ACCEPTED:
        played.milliseconds.append((time.perf_counter() - began) * 1_000)
    if outcome is not PostOutcome.UNKNOWN and status not in (_EXPECTED.get(kind, _OK), _TOO_MANY):
        played.surprises.append(f"{kind}: {status}")


def _outcome(status: int) -> PostOutcome:
    if status == _OK:
        return PostOutcome.ACCEPTED
    return PostOutcome.UNKNOWN if status >= _SERVERS_FAULT or status == 0 else PostOutcome.REFUSED


def _basic(name: str, password: str) -> str:
    return f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"
