"""Which load a page or a file of an export is, where its bytes were here before.

The ledger calls bytes loaded that were loaded once. Where resources do not say when they were changed, that holds as
long as what they brought is still there. Where something else has taken its place, the source has gone back to what it
was: then the same bytes are a load again, as of the later time. Exports say themselves as of when they are, and may be
brought in in any order: of them, whatever is newer is a load.
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
    """The identity of a load of bytes that a source gave at a time, by its own clock.

    Args:
        pool: the warehouse.
        identity: of the bytes, whenever they came.
        at: orders what does not say itself when it was changed.
        in_any_order: whether what is older than `at` may still come: then that the bytes hold as of `at` has to be
            written, though they change nothing now.
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
    # What was unchanged had lost to something newer, and is not there either.
    found = [counts for name in _DATASETS if (counts := newest.counts.get(name))]
    brought = sum(counts.inserted + counts.updated + counts.unchanged for counts in found)
    if await pool.fetchval(_STILL_THERE, newest.load_id) == brought:
        return same
    return again
