"""The audit: who did what, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from library.access.gathered import BatchedLookup
from library.warehouse.pool import Pool

LOCAL = "local"
"""The actor of commands that run on the machine itself."""

UNKNOWN = "unknown"
"""The actor of requests without valid credentials."""


@dataclass(frozen=True, eq=False)
class RefusedRequest:
    """A request that was refused because of its caller's credentials or scopes.

    Attributes:
        actor: the caller's name in the audit.
        route: the route's template, never a URL with parameters.
    """

    actor: str
    method: str
    route: str
    status: int
    address: str


class Audit:
    """Adds rows to the audit. Rows are never changed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._refusals = BatchedLookup(self._write)

    async def record(self, actor: str, action: str, subject: str, **detail: Any) -> None:  # noqa: ANN401 - JSON values
        """Write an action with ids and parameters, but never patient data."""
        await self._pool.execute(
            "INSERT INTO access.audit (actor, action, subject, detail) VALUES ($1, $2, $3, $4)",
            actor,
            action,
            subject,
            detail,
        )

    async def refused(self, refusal: RefusedRequest) -> None:
        """Write a refused request. Many at once are written in one statement, since an attacker may send very many."""
        await self._refusals.get(refusal)

    async def _write(self, refusals: Sequence[RefusedRequest]) -> Mapping[RefusedRequest, None]:
        await self._pool.execute(
            "INSERT INTO access.audit (actor, action, subject, detail) "
            "SELECT actor, 'refused', subject, detail FROM unnest($1::text[], $2::text[], $3::jsonb[]) "
            "AS r (actor, subject, detail)",
            [each.actor for each in refusals],
            [f"{each.method} {each.route}" for each in refusals],
            [{"status": each.status, "address": each.address} for each in refusals],
        )
        return {}
