"""Idempotency keys: a request that is sent twice with one key is executed once, with the same answer."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from library.warehouse.pool import Pool

KEPT = timedelta(hours=24)
"""How long an answer is stored."""

LEASE = timedelta(seconds=15)
"""How long a claim is valid without renewal. So a process that died does not lock its keys for longer."""


@dataclass(frozen=True)
class KeyedRequest:
    """A request with an idempotency key.

    Attributes:
        principal: the id of the caller. The same key of another caller is another key.
        fingerprint: a hash of the request: route, parameters and body.
        claim: a random id of this attempt.
    """

    principal: UUID
    key: str
    fingerprint: bytes
    claim: UUID = field(default_factory=uuid4)


@dataclass(frozen=True)
class StoredAnswer:
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


class Claimed:
    """This request must be executed."""


class Busy:
    """The same request is being executed by another attempt."""


class Differs:
    """The key was used for a different request."""


class IdempotencyKeys:
    """Claims keys, and stores answers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, attempt: KeyedRequest) -> StoredAnswer | Claimed | Busy | Differs:
        """Claim a key, or return the state of the earlier request with it.

        One statement decides, so only one of two requests at once is `Claimed`. A claim that was not renewed, and an
        answer that is too old, are taken over.
        """
        taken = await self._pool.fetchval(
            """
            INSERT INTO access.idempotency AS i (principal, key, fingerprint, claim, claimed_at, created_at)
            VALUES ($1, $2, $3, $4, now(), now())
            ON CONFLICT (principal, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, claim = excluded.claim, claimed_at = now(), created_at = now(),
                status = NULL, headers = NULL, body = NULL
            WHERE i.created_at < now() - $5::interval
               OR (i.status IS NULL AND i.claimed_at < now() - $6::interval AND i.fingerprint = excluded.fingerprint)
            RETURNING true
            """,
            attempt.principal,
            attempt.key,
            attempt.fingerprint,
            attempt.claim,
            KEPT,
            LEASE,
        )
        if taken:
            return Claimed()
        found = await self._pool.fetchrow(
            "SELECT fingerprint, status, headers, body FROM access.idempotency WHERE principal = $1 AND key = $2",
            attempt.principal,
            attempt.key,
        )
        if found is None or (found["status"] is None and found["fingerprint"] == attempt.fingerprint):
            return Busy()  # no row: the key was given back a moment ago, so the next retry can claim it
        if found["fingerprint"] != attempt.fingerprint:
            return Differs()
        return StoredAnswer(found["status"], found["headers"], found["body"])

    async def renew(self, attempt: KeyedRequest) -> None:
        """Renew the claim while the request is executed."""
        await self._pool.execute(
            "UPDATE access.idempotency SET claimed_at = now() WHERE principal = $1 AND key = $2 AND claim = $3",
            attempt.principal,
            attempt.key,
            attempt.claim,
        )

    async def keep(self, attempt: KeyedRequest, answer: StoredAnswer) -> None:
        """Store the answer for retries."""
        await self._pool.execute(
            "UPDATE access.idempotency SET status = $4, headers = $5, body = $6 "
            "WHERE principal = $1 AND key = $2 AND claim = $3",
            attempt.principal,
            attempt.key,
            attempt.claim,
            answer.status,
            answer.headers,
            answer.body,
        )

    async def give_back(self, attempt: KeyedRequest) -> None:
        """Remove the claim, since nothing was done. A retry can claim the key again."""
        await self._pool.execute(
            "DELETE FROM access.idempotency WHERE principal = $1 AND key = $2 AND claim = $3 AND status IS NULL",
            attempt.principal,
            attempt.key,
            attempt.claim,
        )

    async def remove_old(self) -> int:
        """Remove keys that are older than `KEPT`, and return their number."""
        removed: int = await self._pool.fetchval(
            "WITH gone AS (DELETE FROM access.idempotency WHERE created_at < now() - $1::interval RETURNING 1) "
            "SELECT count(*) FROM gone",
            KEPT,
        )
        return removed
