"""Cleans up after imports that ended before their last step."""

import asyncio
from datetime import UTC, datetime, timedelta

from library.objects.store import ObjectStore
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.links import LINKS, run_of


async def forget_ended(imports: FhirImports, store: ObjectStore, keep_for: timedelta, before: datetime) -> int:
    """Remove the searches and the page links of ended imports.

    Args:
        imports: the imports.
        store: has the links.
        keep_for: failed imports keep theirs for so long, since they can be repeated from a step.
        before: links that are younger stay.

    Returns:
        The number of objects that were removed.
    """
    since = datetime.now(UTC) - keep_for
    await imports.forget(since)
    repeatable = await imports.repeatable_runs(since)

    def remove() -> int:
        found = store.keys_older_than(LINKS, before)
        return store.remove(key for key in found if run_of(key) not in repeatable)

    return await asyncio.to_thread(remove)
