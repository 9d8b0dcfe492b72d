"""The audit: who did what to what, and when."""

from typing import Any

from library.warehouse.pool import Pool

LOCAL = "local"
"""The actor of a command on the machine itself."""


class Audit:
    """Adds to the audit; nothing changes it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, actor: str, action: str, subject: str, **detail: Any) -> None:  # noqa: ANN401 - JSON values
        """Write down what was done; ids and parameters, never patient data."""
        await self._pool.execute(
            "INSERT INTO access.audit (actor, action, subject, detail) VALUES ($1, $2, $3, $4)",
            actor,
            action,
            subject,
            detail,
        )
