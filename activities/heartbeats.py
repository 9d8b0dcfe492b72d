"""Helpers of activities: regular heartbeats, and work that runs at the same time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from temporalio import activity

_EVERY = 2.0
"""Seconds between two heartbeats."""
_AT_ONCE = 2
"""Two steps run at once: the one whose result is next, and the one after it."""


@asynccontextmanager
async def regular_heartbeats() -> AsyncIterator[None]:
    """Send heartbeats while the body waits for a thread, a child process or a server.

    A heartbeat says that the worker is alive; the body has its own time limit. The first one comes after two seconds,
    since most steps are done by then and each heartbeat is a write in Temporal.
    """
    task = asyncio.create_task(_beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def run_concurrently(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run `work` while the body runs, and wait for it at the end. It is cancelled if the body fails."""
    task = asyncio.create_task(work)
    try:
        yield
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    await task


async def one_ahead[T](steps: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T]:
    """Yield the results of steps in order. The next step runs while a result is used."""
    running: deque[asyncio.Task[T]] = deque()
    try:
        for step in steps:
            running.append(asyncio.create_task(step))
            if len(running) == _AT_ONCE:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _beat() -> None:
    while True:
        await asyncio.sleep(_EVERY)
        activity.heartbeat()
