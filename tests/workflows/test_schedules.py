"""Schedules as `wardflow migrate` makes them."""

from datetime import timedelta

import pytest_asyncio
from temporalio.client import Client

from config.settings import Settings
from service.schedules import Scheduled
from service.temporal import connect
from workflows.upkeep import UpkeepWorkflow


@pytest_asyncio.fixture
async def client(settings: Settings) -> Client:
    return await connect(settings)


async def test_a_schedule_that_somebody_has_paused_stays_paused_and_follows_new_settings(
    settings: Settings, client: Client
) -> None:
    handle = client.get_schedule_handle(settings.worker.queue_prefix + "often")
    try:
        await Scheduled("often", UpkeepWorkflow.run, timedelta(hours=1)).make(client, settings)
        await handle.pause(note="an operator looks into it")
        await Scheduled("often", UpkeepWorkflow.run, timedelta(hours=2)).make(client, settings)
        schedule = (await handle.describe()).schedule
        assert schedule.state.paused
        assert schedule.state.note == "an operator looks into it"
        assert [interval.every for interval in schedule.spec.intervals] == [timedelta(hours=2)]
    finally:
        await handle.delete()
