"""Heartbeats of a step that works where it cannot beat: in a thread, in a child process, in a server that thinks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

_EVERY = 2.0
"""Seconds."""


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Beat by the clock while the body runs, which has a time limit of its own: it says that the worker lives."""
    task = asyncio.create_task(_beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(_EVERY)
