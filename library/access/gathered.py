"""Many callers' questions asked as one: what is asked while a question is under way waits for the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain


class Gathered[Key, Value]:
    """Asks for many keys at once.

    Nobody is handed what was found before they asked: a caller's key is in a question that is put after the call. So
    this is no cache, and what was revoked a moment ago is revoked.

    Args:
        ask: finds what there is for some keys; a key that it does not answer has no value.
    """

    def __init__(self, ask: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._ask = ask
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def get(self, key: Key) -> Value | None:
        """What there is for a key, from now on; raises what asking raised."""
        answer: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def _ask_all(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                found = await self._ask(list(asked))
            except asyncio.CancelledError:
                for answer in chain.from_iterable(asked.values()):
                    answer.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - everybody who asked is told
                for answer in chain.from_iterable(asked.values()):
                    if not answer.done():  # whoever asked may have gone
                        answer.set_exception(error)
            else:
                for key, answers in asked.items():
                    for answer in answers:
                        if not answer.done():
                            answer.set_result(found.get(key))
