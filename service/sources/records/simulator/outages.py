"""Retries queries while a server is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
from deltalake.exceptions import DeltaError

from library.warehouse.failures import DISCONNECTED

_AGAIN_AFTER = 1.0

_AWAY = (asyncpg.PostgresError, *DISCONNECTED, DeltaError)


async def retry_while_away[T](ask: Callable[[], Awaitable[T]], *, within: float) -> T:
    """Call a function again until the server answers.

    Args:
        ask: the function; it may be called more than once.
        within: seconds after which the error is raised.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return await ask()
        except _AWAY:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_AGAIN_AFTER)
