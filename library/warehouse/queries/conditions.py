"""Conditions of a query, from those filters that were given."""

INTEGER = 2**31 - 1
"""The greatest value of an `integer`; the driver refuses what is beyond."""
BIGINT = 2**63 - 1
"""The greatest value of a `bigint`, likewise."""


class Conditions:
    """Collects conditions with their arguments: each filter that was given is one, and one that was not is none.

    A condition like `$1 IS NULL OR …` would keep Postgres from using an index.
    """

    def __init__(self) -> None:
        self.arguments: list[object] = []
        self._conditions: list[str] = []

    def add(self, condition: str, value: object | None) -> None:
        """Demand a condition of a value, whose place it has as `{}`; a value of `None` demands nothing."""
        if value is not None:
            self.arguments.append(value)
            self._conditions.append(condition.replace("{}", f"${len(self.arguments)}"))

    @property
    def where(self) -> str:
        """All of them, as SQL."""
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
