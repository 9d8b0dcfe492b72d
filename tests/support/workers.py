"""Workers in this process, for as long as a test needs them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.worker.parts import Resources
from service.worker.workers import workers
from workflows.policies import QUEUES

_LEAVING = 10.0
"""Seconds that a worker has for its shutdown; activities must end in the first of them. Temporal answers an open poll
only after a minute (sdk-rust#1197), and temporalio 1.35 waits for it. `wardflow worker` does not wait either."""


@asynccontextmanager
async def serving(resources: Resources, queues: Sequence[str] = QUEUES) -> AsyncIterator[None]:
    """Run the workers of these queues in this process. At the end they are stopped and the resources closed."""
    made = workers(resources, queues)
    running = [asyncio.create_task(each.run()) for each in made]
    try:
        yield
    finally:
        told = [asyncio.create_task(each.shutdown()) for each in made]
        _, late = await asyncio.wait(running, timeout=_LEAVING)
        for each in (*late, *told):
            each.cancel()
        await asyncio.gather(*late, *told, return_exceptions=True)
        await resources.close()
    for each in running:
        if each not in late:
            each.result()
