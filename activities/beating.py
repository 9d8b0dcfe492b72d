"""What goes on beside a step: heartbeats where it cannot beat itself, and small things that it need not wait for."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from temporalio import activity

_EVERY = 2.0
"""Seconds."""
_AT_ONCE = 2
"""The step whose result is waited for, and the one after it."""


@asynccontextmanager
async def beating() -> AsyncIterator[None]:
    """Beat by the clock while the body runs: in a thread, in a child process, in a server that thinks.

    The body has a time limit of its own; a beat says that the worker lives. The first one comes after a while: most
    steps are done by then, and each beat is a write of Temporal's.
    """
    task = asyncio.create_task(_beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def alongside(small: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something small while the body runs; it has ended afterwards, and is given up where the body fails."""
    task = asyncio.create_task(small)
    try:
        yield
    except BaseException:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    await task


async def one_ahead[T](steps: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T]:
    """Results of steps in their order; the next step is under way while a result is used."""
    under_way: deque[asyncio.Task[T]] = deque()
    try:
        for step in steps:
            under_way.append(asyncio.create_task(step))
            if len(under_way) == _AT_ONCE:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _beat() -> None:
    while True:
        await asyncio.sleep(_EVERY)
        activity.heartbeat()
