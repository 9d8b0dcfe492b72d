"""Starts drains at once, for a caller who waits. The schedule would start them within a minute."""

from collections.abc import Iterable

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.streams import DrainStarter
from config.settings import Settings
from library.contracts.drains import StreamPosition, StreamState
from workflows.policies import WORKFLOWS

_log = structlog.get_logger(__name__)


async def start_drains(client: Client, settings: Settings, positions: Iterable[StreamPosition]) -> None:
    """Start the drains of partitions that are neither paused nor stopped. Errors of Temporal are only logged."""
    starter = DrainStarter(client, settings.worker.queue_prefix, WORKFLOWS)
    try:
        for position in positions:
            if not position.paused and position.state is StreamState.DRAINING:
                await starter.start(position.topic, position.partition, resumed=True)
    except RPCError as error:
        _log.warning("drains not started", status=error.status.name)
