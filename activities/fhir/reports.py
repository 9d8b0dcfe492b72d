"""What the report of a run says about patients at other servers, and about rows that are outdated."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from pydantic import JsonValue

from library.sources.fhir.contracts import ELSEWHERE, FILE, OUTDATED, PATIENT_ELSEWHERE
from library.sources.fhir.lookups import ForeignBase, outdated, patient_elsewhere
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog

_MOST_NAMED = 10
"""Base URLs that a report names."""


async def report_more(pool: Pool, runs: RunLog, run_id: str, loads: Sequence[UUID]) -> dict[str, JsonValue]:
    """Count observations whose patient is at another server, and stored resources that are outdated.

    Returns:
        The entries of the report; none for what there is none of.
    """
    found = await _report_elsewhere(pool, runs, run_id, loads)
    if count := await outdated(pool, loads):
        found[OUTDATED] = count
        await runs.report(run_id, {OUTDATED: count})
    return found


async def _report_elsewhere(pool: Pool, runs: RunLog, run_id: str, loads: Sequence[UUID]) -> dict[str, JsonValue]:
    """Count observations whose patient is at another server, and say in the run's report at which ones.

    Base URLs come from rows, so they are stored in the run only.

    Returns:
        The entries of the report that may be in a history; empty if there are no such observations.
    """
    found = await patient_elsewhere(pool, loads)
    if not found:
        return {}
    bases: Counter[str] = Counter()
    for each in found:
        bases[each.base or "other"] += each.observations
    count: dict[str, JsonValue] = {PATIENT_ELSEWHERE: bases.total()}
    await runs.report(run_id, count | {ELSEWHERE: dict(bases.most_common(_MOST_NAMED))})
    await runs.warn_also(run_id, [_sentence(each) for each in found[:_MOST_NAMED] if each.base])
    return count


def _sentence(found: ForeignBase) -> str:
    one = found.observations == 1
    subject = f"{found.observations:,} observation{'' if one else 's'} refer{'s' if one else ''}"
    fact = f"{subject} to patients at {found.base}. No patient of {found.server} is joined to them."
    if found.server == FILE:
        return (
            f"{fact} If they are patients of a server of the settings, import the file with its name (--server), and "
            "list this address in own_bases of that server."
        )
    return (
        f"{fact} If this is an address of {found.server} itself, add it to fhir.servers.{found.server}.own_bases, "
        "restart, and import again."
    )
