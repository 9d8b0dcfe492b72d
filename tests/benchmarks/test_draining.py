"""A worker that drains a backlog against its floor: the same rows read, decoded and merged in one bare loop."""

import os

import pytest

from config.settings import Settings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.benchmarks.drained_events import EVENTS, PARTITIONS, Backlog
from tests.benchmarks.measure import Report, in_turns, seconds
from tests.support.kafka import Kafka

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]

ROUNDS = int(os.environ.get("ROUNDS", "3"))


async def test_a_worker_drains_nearly_as_fast_as_the_bare_loop(
    settings: Settings, pool: Pool, store: ObjectStore, kafka: Kafka, report: Report
) -> None:
    topic = await kafka.make_topic("lab_results", partitions=PARTITIONS)
    named = kafka.settings.model_copy(update={"lab_results_topic": topic})
    backlog = Backlog(settings.model_copy(update={"kafka": named}), pool, store, kafka, topic)
    await backlog.fill()

    taken = await in_turns(ROUNDS, backlog.drained, backlog.floor)
    ours, floor = (min(each) for each in taken)
    assert await pool.fetchval("SELECT count(*) FROM records.floor") in (0, EVENTS)

    beside = await backlog.drained(archive=True)
    report.enter("… with the archive beside it", f"{beside / ours:.2f} x", parts=seconds(beside))
    two = await backlog.drained(processes=2)
    report.enter("… by two worker processes", f"{two / ours:.2f} x", parts=seconds(two))
    assert len(backlog.drainers) == 2
    await backlog.floor(emptied=False)
    assert await backlog.rows_as_of_the_floor() == EVENTS
    figure = report.ratio(
        f"drain {EVENTS:,} events of 300 bytes", ours, floor, at_most=1 / 0.9, of="the bare loop, without Temporal"
    )
    report.enter("events a second", f"{EVENTS / ours:,.0f}", parts=f"bare: {EVENTS / floor:,.0f}")
    assert figure.kept
