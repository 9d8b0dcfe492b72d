"""Combines the look-ups of many callers: those that come during a query wait for the next query."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain

ANSWERED_WITHIN = 6.0
"""Seconds that a caller waits. A query has a shorter limit of its own, but with a frozen Postgres even its cancellation
does not end."""


class BatchedLookup[Key, Value]:
    """Looks up many keys with one query.

    A caller's key is always in a query that begins after the call. So this is no cache: a token that was revoked a
    moment ago is not found.

    Args:
        query: returns the values of some keys. A key that is missing in the result has no value.
    """

    def __init__(self, query: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._query = query
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """The value of a key, or `None`. Errors of the query are raised here.

        Raises:
            TimeoutError: there is no answer in time; the query continues.
        """
        answer: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run_queries())
        async with asyncio.timeout(ANSWERED_WITHIN):
            return await answer

    async def _run_queries(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                found = await self._query(list(batch))
            except asyncio.CancelledError:
                for answer in chain.from_iterable(batch.values()):
                    answer.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - every caller gets it
                for answer in chain.from_iterable(batch.values()):
                    if not answer.done():  # the caller may have been cancelled
                        answer.set_exception(error)
            else:
                for key, answers in batch.items():
                    for answer in answers:
                        if not answer.done():
                            answer.set_result(found.get(key))
