"""Cleans up after imports that ended before their last step."""

import asyncio
from datetime import datetime

from library.objects.store import ObjectStore
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.links import LINKS, run_of


async def forget_ended(imports: FhirImports, store: ObjectStore, before: datetime) -> int:
    """Remove the searches and the page links of ended imports.

    Returns:
        The number of objects that were removed.
    """
    await imports.forget_closed()
    open_runs = await imports.open_runs()

    def remove() -> int:
        found = store.keys_older_than(LINKS, before)
        return store.remove(key for key in found if run_of(key) not in open_runs)

    return await asyncio.to_thread(remove)
