"""Tasks that run at the same time as a step, and steps that begin one ahead."""

import asyncio
from contextlib import aclosing

import pytest
from temporalio.testing import ActivityEnvironment

from activities import heartbeats
from activities.heartbeats import one_ahead, run_concurrently


class Steps:
    """Steps that say when they begin, and end when they are let."""

    def __init__(self, count: int) -> None:
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.ends = [asyncio.Event() for _ in range(count)]

    async def take(self, number: int) -> int:
        self.begun.append(number)
        try:
            await self.ends[number].wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        return number


async def test_results_come_in_their_order_with_one_step_under_way() -> None:
    steps = Steps(4)
    for end in steps.ends:
        end.set()
    seen = []
    async with aclosing(one_ahead(steps.take(number) for number in range(4))) as ahead:
        async for result in ahead:
            await asyncio.sleep(0)
            seen.append((result, len(steps.begun)))
    assert seen == [(0, 2), (1, 3), (2, 4), (3, 4)]


async def test_a_step_under_way_is_cancelled_when_nobody_wants_its_result() -> None:
    steps = Steps(3)
    steps.ends[0].set()
    async with aclosing(one_ahead(steps.take(number) for number in range(3))) as ahead:
        assert await anext(ahead) == 0
    assert (steps.begun, steps.cancelled) == ([0, 1], [1])


async def test_the_error_of_a_step_comes_at_its_turn() -> None:
    async def failing() -> int:
        raise KeyError("second")

    async def good(number: int) -> int:
        return number

    async with aclosing(one_ahead([good(1), failing()])) as ahead:
        assert await anext(ahead) == 1
        with pytest.raises(KeyError, match="second"):
            await anext(ahead)


async def test_what_is_done_alongside_has_ended_with_the_body() -> None:
    steps = Steps(1)

    async def small() -> None:
        await steps.take(0)

    async with run_concurrently(small()):
        asyncio.get_running_loop().call_later(0.05, steps.ends[0].set)
    assert steps.ends[0].is_set()


async def test_the_error_of_the_body_counts_and_what_is_done_alongside_is_given_up() -> None:
    steps = Steps(1)

    async def small() -> None:
        try:
            await steps.take(0)
        finally:
            raise ConnectionError

    with pytest.raises(ZeroDivisionError):
        async with run_concurrently(small()):
            await asyncio.sleep(0)
            raise ZeroDivisionError
    assert steps.cancelled == [0]


async def test_a_step_that_is_soon_over_never_beats_and_a_longer_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "_EVERY", 0.2)
    environment = ActivityEnvironment()
    beats: list[object] = []
    enough = asyncio.Event()

    def heard(*_: object) -> None:
        beats.append(None)
        if len(beats) == 2:
            enough.set()

    environment.on_heartbeat = heard

    async def short() -> None:
        async with heartbeats.regular_heartbeats():
            await asyncio.sleep(0)

    async def long() -> None:
        async with heartbeats.regular_heartbeats():
            await enough.wait()

    await environment.run(short)
    assert beats == []
    await asyncio.wait_for(environment.run(long), 10)
