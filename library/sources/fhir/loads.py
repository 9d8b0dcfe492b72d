"""Decides whether the bytes of a page or of an export's file are a new load, if they were loaded before.

For the ledger, bytes that were loaded once are loaded. If their resources have no time of their own, this is right only
as long as their rows are still stored. If other rows have replaced them, the source went back to an earlier state. Then
the same bytes are a new load, as of the later time. Exports state their own time and may come in any order, so a newer
export is always a new load.
"""

from datetime import datetime

from library.contracts.loads import LoadIdentity
from library.warehouse import ledger
from library.warehouse.pool import Pool

_STILL_THERE = """
    SELECT (SELECT count(*) FROM fhir.patient WHERE load_id = $1) +
           (SELECT count(*) FROM fhir.observation WHERE load_id = $1)
"""
_DATASETS = ("fhir.patient", "fhir.observation")


async def identity_as_of(
    pool: Pool, identity: LoadIdentity, at: datetime, *, in_any_order: bool = False
) -> LoadIdentity:
    """The identity of a load of bytes that a source sent at a time, by the source's clock.

    Args:
        pool: the warehouse.
        identity: the identity of the bytes, without a time.
        at: orders resources without a time of their own.
        in_any_order: whether data older than `at` may still come. Then the bytes are loaded again as of `at`, even if
            they change nothing now.
    """
    newest = await ledger.newest(pool, identity)
    if newest is None or "as_of" not in newest.report:
        return identity
    then = str(newest.report["as_of"])
    same = identity if newest.load_id == identity.load_id else identity.model_copy(update={"as_of": then})
    if at <= datetime.fromisoformat(then):
        return same
    again = identity.model_copy(update={"as_of": at.isoformat()})
    if in_any_order:
        return again
    # An unchanged row had lost to a newer one, so it does not have this load's id either.
    found = [counts for name in _DATASETS if (counts := newest.counts.get(name))]
    brought = sum(counts.inserted + counts.updated + counts.unchanged for counts in found)
    if await pool.fetchval(_STILL_THERE, newest.load_id) == brought:
        return same
    return again
