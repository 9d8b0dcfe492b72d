"""Makes the conditions of a query from the given filters."""

INTEGER = 2**31 - 1
"""The greatest value of an `integer`. The driver refuses greater ones."""
BIGINT = 2**63 - 1
"""The greatest value of a `bigint`, likewise."""


class Conditions:
    """Collects the conditions of the given filters, with their arguments.

    A condition like `$1 IS NULL OR …` would keep Postgres from using an index.
    """

    def __init__(self) -> None:
        self.arguments: list[object] = []
        self._conditions: list[str] = []

    def add(self, condition: str, value: object | None) -> None:
        """Add a condition with `{}` in place of the value. A value of `None` adds nothing."""
        if value is not None:
            self.arguments.append(value)
            self._conditions.append(condition.replace("{}", f"${len(self.arguments)}"))

    @property
    def where(self) -> str:
        """The WHERE clause; empty without conditions."""
        return f"WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
