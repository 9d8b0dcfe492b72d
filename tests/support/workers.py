"""Workers in this process, for as long as a test needs them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.worker.parts import Resources
from service.worker.workers import workers
from workflows.policies import QUEUES

_LEAVING = 10.0
"""Seconds, of which activities have the first to end in. A poll that meets the shutdown is answered a minute later only
(sdk-rust#1197), and temporalio 1.35 waits for it; `wardflow worker` does not either."""


@asynccontextmanager
async def serving(resources: Resources, queues: Sequence[str] = QUEUES) -> AsyncIterator[None]:
    """With workers of these queues, as one worker process has them; what they work with is closed behind them."""
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
