"""How Postgres carries statements out."""

import json
from collections.abc import Iterator
from typing import Any

from library.warehouse.pool import Connection, Pool


class Explaining:
    """A pool, or one connection, that tells how Postgres carried the last statement out."""

    def __init__(self, asked: Pool | Connection) -> None:
        self._asked = asked
        self.plan: dict[str, Any] = {}

    async def fetch(self, statement: str, *arguments: object) -> Any:
        await self.execute(statement, *arguments)
        return await self._asked.fetch(statement, *arguments)

    async def execute(self, statement: str, *arguments: object) -> None:
        """Carry a statement out, once: explaining it does."""
        text = await self._asked.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
        self.plan = json.loads(text)[0]["Plan"]

    def acquire(self) -> Any:
        return self._asked.acquire()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def touched(plan: dict[str, Any]) -> int:
    """Rows that scans gave, or threw away."""
    return sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if "Scan" in node["Node Type"] and "Relation Name" in node
    )
