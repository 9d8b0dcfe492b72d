"""The audit: who did what to what, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from library.access.gathered import Gathered
from library.warehouse.pool import Pool

LOCAL = "local"
"""The actor of a command on the machine itself."""

UNKNOWN = "unknown"
"""The actor whose credentials did not count."""


@dataclass(frozen=True, eq=False)
class Refusal:
    """A request that was not carried out since its caller may not have it.

    Attributes:
        actor: as in the audit.
        route: its template, never an address with parameters.
    """

    actor: str
    method: str
    route: str
    status: int
    address: str


class Audit:
    """Adds to the audit; nothing changes it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._refusals = Gathered(self._write)

    async def record(self, actor: str, action: str, subject: str, **detail: Any) -> None:  # noqa: ANN401 - JSON values
        """Write down what was done; ids and parameters, never patient data."""
        await self._pool.execute(
            "INSERT INTO access.audit (actor, action, subject, detail) VALUES ($1, $2, $3, $4)",
            actor,
            action,
            subject,
            detail,
        )

    async def refused(self, refusal: Refusal) -> None:
        """Write down a refusal; many at once are written together, since whoever is refused may go on trying."""
        await self._refusals.get(refusal)

    async def _write(self, refusals: Sequence[Refusal]) -> Mapping[Refusal, None]:
        await self._pool.execute(
            "INSERT INTO access.audit (actor, action, subject, detail) "
            "SELECT actor, 'refused', subject, detail FROM unnest($1::text[], $2::text[], $3::jsonb[]) "
            "AS r (actor, subject, detail)",
            [each.actor for each in refusals],
            [f"{each.method} {each.route}" for each in refusals],
            [{"status": each.status, "address": each.address} for each in refusals],
        )
        return {}
