"""The upkeep: the input and the result of the clean-up that runs each minute."""

from library.contracts.base import Contract


class KeepUp(Contract):
    """Input of the activity `keep_up`, in seconds.

    Attributes:
        stuck_after: how old a load's transaction must be before its COPY can count as stuck.
        stuck_for: how long its COPY must have received no data. It is longer than a read from the store may take.
        abandoned_after: how old an open run must be before Temporal is asked about it.
        staged_for: how old a staged object must be before it is removed.
        drains_for: how long the ledger keeps rows of drains. Loaded rows keep their topic, partition and offset.
    """

    stuck_after: float = 60.0
    stuck_for: float = 31.0
    abandoned_after: float = 60.0
    staged_for: float = 7 * 24 * 3600.0
    drains_for: float = 30 * 24 * 3600.0


class UpkeepDone(Contract):
    """What the upkeep did, as counts.

    Attributes:
        sessions_ended: sessions of stuck loads that were ended.
        runs_closed: open runs whose workflow had ended.
        objects_removed: staged objects that no load used.
        keys_removed: idempotency keys that were a day old.
        drains_forgotten: rows of drains that were removed from the ledger.
    """

    sessions_ended: int = 0
    runs_closed: int = 0
    objects_removed: int = 0
    keys_removed: int = 0
    drains_forgotten: int = 0
