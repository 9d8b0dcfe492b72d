"""Idempotency keys: a request that is repeated with its key is carried out once, and answered the same."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from library.warehouse.pool import Pool

KEPT = timedelta(hours=24)
"""How long an answer can be had again."""

LEASE = timedelta(seconds=15)
"""How long a claim holds unless it is renewed: a process that died does not lock its keys for longer."""


@dataclass(frozen=True)
class Attempt:
    """A request that wants to be carried out under a key.

    Attributes:
        principal: whose key it is; the same key of another caller is another key.
        fingerprint: of all that makes the request what it is.
        claim: of this attempt alone.
    """

    principal: UUID
    key: str
    fingerprint: bytes
    claim: UUID = field(default_factory=uuid4)


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Claimed:
    """The attempt is the one that carries the request out."""


class Busy:
    """Another attempt is carrying it out."""


class Differs:
    """The key was used for another request."""


class IdempotencyKeys:
    """Claims keys, and keeps answers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, attempt: Attempt) -> Answer | Claimed | Busy | Differs:
        """Take a key, or learn what became of it.

        One statement decides, so of two attempts at once one is told `Claimed`. A claim whose process fell silent
        is taken over, and so is an answer that is too old.
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
            return Busy()  # none: given back a moment ago; whoever asks again finds it free
        if found["fingerprint"] != attempt.fingerprint:
            return Differs()
        return Answer(found["status"], found["headers"], found["body"])

    async def renew(self, attempt: Attempt) -> None:
        """Say that the request is still being carried out."""
        await self._pool.execute(
            "UPDATE access.idempotency SET claimed_at = now() WHERE principal = $1 AND key = $2 AND claim = $3",
            attempt.principal,
            attempt.key,
            attempt.claim,
        )

    async def keep(self, attempt: Attempt, answer: Answer) -> None:
        """Keep the answer for those who ask again."""
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

    async def give_back(self, attempt: Attempt) -> None:
        """Forget the key: nothing was done, so a repeat may try again."""
        await self._pool.execute(
            "DELETE FROM access.idempotency WHERE principal = $1 AND key = $2 AND claim = $3 AND status IS NULL",
            attempt.principal,
            attempt.key,
            attempt.claim,
        )

    async def remove_old(self) -> int:
        """Remove what is older than answers are kept; returns how many."""
        removed: int = await self._pool.fetchval(
            "WITH gone AS (DELETE FROM access.idempotency WHERE created_at < now() - $1::interval RETURNING 1) "
            "SELECT count(*) FROM gone",
            KEPT,
        )
        return removed
