"""The upkeep of each minute: what it looks for, and what it mended."""

from library.contracts.base import Contract


class KeepUp(Contract):
    """Input of the activity `keep_up`, in seconds.

    Attributes:
        stuck_after: how old a load's transaction must be before its COPY can count as stuck.
        stuck_for: how long its COPY must have received nothing; longer than a read from the store may take.
        abandoned_after: how old an open run must be before Temporal is asked about it.
        staged_for: how old a staged object must be before it counts as left behind.
        drains_for: how long the ledger keeps rows of drains; the rows that they loaded keep their place in the topic.
    """

    stuck_after: float = 60.0
    stuck_for: float = 31.0
    abandoned_after: float = 60.0
    staged_for: float = 7 * 24 * 3600.0
    drains_for: float = 30 * 24 * 3600.0


class UpkeepDone(Contract):
    """Counts of what was mended.

    Attributes:
        sessions_ended: loads whose process no longer fed them.
        runs_closed: runs whose workflow had ended without saying so.
        objects_removed: staged objects that no load took.
        keys_removed: idempotency keys that are a day old.
        drains_forgotten: rows of the ledger.
    """

    sessions_ended: int = 0
    runs_closed: int = 0
    objects_removed: int = 0
    keys_removed: int = 0
    drains_forgotten: int = 0
