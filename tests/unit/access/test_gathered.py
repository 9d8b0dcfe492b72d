"""A look-up without an answer times out for waiting callers. Later callers get the next answer."""

import asyncio
from collections.abc import Sequence

import pytest

from library.access import gathered
from library.access.gathered import BatchedLookup


async def test_who_waits_for_a_frozen_server_is_told_in_time_and_a_later_caller_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathered, "ANSWERED_WITHIN", 0.05)
    thawed = asyncio.Event()

    async def query(keys: Sequence[str]) -> dict[str, int]:
        await thawed.wait()
        return dict.fromkeys(keys, 1)

    lookup = BatchedLookup(query)
    answers = await asyncio.gather(*(lookup.get("key") for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [TimeoutError] * 3
    thawed.set()
    assert await lookup.get("key") == 1
