"""Whether a part is there is asked once at a time, however many ask, and each of them is told."""

import asyncio
from contextlib import suppress
from typing import Self

import pytest

from config.settings import KafkaSettings, Settings
from library.contracts.streams import KafkaUnavailable
from service import readiness
from service.readiness import Probe, kafka_probe, probed, shared


class SlowCluster:
    """A cluster that answers only once it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.count = 1
        self.answers = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.asked += 1
        await self.answers.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def brokers(self) -> int:
        return self.count


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> SlowCluster:
    made = SlowCluster()
    monkeypatch.setattr(readiness, "Cluster", lambda _: made)
    return made


@pytest.fixture
def probe(cluster: SlowCluster) -> Probe:  # noqa: ARG001 - what it asks
    return shared(kafka_probe(Settings(kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))))


async def test_many_at_once_share_a_question_and_the_next_one_puts_its_own(cluster: SlowCluster, probe: Probe) -> None:
    many = [asyncio.ensure_future(probe()) for _ in range(100)]
    await asyncio.sleep(0)
    cluster.answers.set()
    await asyncio.gather(*many)
    assert cluster.asked == 1
    await probe()
    assert cluster.asked == 2


async def test_who_gives_up_takes_the_answer_from_nobody_else(cluster: SlowCluster, probe: Probe) -> None:
    first, second = asyncio.ensure_future(probe()), asyncio.ensure_future(probe())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    cluster.answers.set()
    await second
    assert (first.cancelled(), cluster.asked) == (True, 1)


async def test_everybody_is_told_what_is_wrong(cluster: SlowCluster, probe: Probe) -> None:
    cluster.count = 0
    cluster.answers.set()
    found = await asyncio.gather(probe(), probe(), probe(), return_exceptions=True)
    assert [type(each) for each in found] == [KafkaUnavailable] * 3
    assert cluster.asked == 1


async def test_what_nobody_waits_for_any_more_is_not_logged(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(readiness, "_PROBE_TIMEOUT", 0.01)
    for _ in range(2):  # asyncio would tell of the first one's error when the second one takes its place
        assert await probed({"kafka": probe}) == {"kafka": "unavailable: TimeoutError"}
        await asyncio.sleep(0.05)
    assert caplog.text == ""


async def test_a_part_that_not_even_a_cancellation_ends_keeps_the_page_waiting_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thawed = asyncio.Event()

    async def frozen() -> None:
        while not thawed.is_set():
            with suppress(asyncio.CancelledError):
                await thawed.wait()

    monkeypatch.setattr(readiness, "_PROBE_TIMEOUT", 0.01)
    async with asyncio.timeout(5):
        assert await probed({"postgres": shared(frozen)}) == {"postgres": "unavailable: TimeoutError"}
    thawed.set()
