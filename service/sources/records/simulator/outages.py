"""Servers that are away for a while: what is asked of them is asked again."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
from deltalake.exceptions import DeltaError

from library.warehouse.failures import DISCONNECTED

_AGAIN_AFTER = 1.0

_AWAY = (asyncpg.PostgresError, *DISCONNECTED, DeltaError)


async def answered[T](ask: Callable[[], Awaitable[T]], *, within: float) -> T:
    """What a server answers as soon as it does.

    Args:
        ask: may be called more than once.
        within: seconds; the failure after them is raised as it is.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return await ask()
        except _AWAY:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_AGAIN_AFTER)
