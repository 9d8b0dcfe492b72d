"""The worker process: opens what it needs, polls its queues, and stops in order after SIGTERM or SIGINT."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterable, Sequence

import structlog
from temporalio.runtime import LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import Worker

from config.settings import Settings
from library.contracts.errors import ConfigurationError
from service.addresses import store_server
from service.readiness import parts
from service.resources import object_store, warehouse
from service.temporal import connect
from service.waiting import resolved
from service.worker.health import HealthServer, health_app
from service.worker.parts import Resources
from service.worker.workers import workers
from workflows.policies import LOAD, QUEUES, STREAMS

_log = structlog.get_logger(__name__)


_DRAINS_AT_ONCE = 4
"""Number of batches whose transactions run at the same time, before others wait for a connection."""

_LEAVING = 3.0
"""Seconds after the graceful time in which a worker must end its connection to Temporal."""


async def run_worker(settings: Settings, queues: Sequence[str]) -> None:
    """Serve queues until SIGTERM or SIGINT; running activities then get the graceful time to finish.

    Raises:
        ConfigurationError: a queue is not known, or something that the worker needs is not set.
    """
    if unknown := sorted(set(queues) - set(QUEUES)):
        raise ConfigurationError(f"No such queues: {', '.join(unknown)}.", advice=f"There are {', '.join(QUEUES)}.")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sdk_metrics = f"127.0.0.1:{_free_port()}"
    client = await connect(settings, runtime=_runtime(sdk_metrics))
    store = object_store(settings)
    await resolved(store_server(settings))
    # A load needs two connections: its own, and one that watches it. With one for each load, none would watch.
    # A drain has a connection only during a batch's transaction.
    loads = (settings.worker.load_slots if LOAD in queues else 0) + (_DRAINS_AT_ONCE if STREAMS in queues else 0)
    connections = settings.postgres.pool_size + 2 * loads
    async with warehouse(settings, size=connections, name="wardflow worker") as pool:
        resources = Resources(settings, client, pool, store)
        made = workers(resources, queues)
        drains = STREAMS in queues and settings.kafka.enabled
        app = health_app(
            parts(settings, pool, store, client, kafka=drains),
            lambda: not stop.is_set() and all(each.is_running for each in made),
            f"http://{sdk_metrics}/metrics",
            optional=() if set(queues) == {STREAMS} else ("kafka",),  # the other queues do not need Kafka
        )
        page = HealthServer(app, settings.worker.host, settings.worker.port)
        serving = asyncio.create_task(page.serve())
        _log.info("worker started", queues=list(queues), port=page.port)
        if drains and settings.kafka.bootstrap_servers is None:
            _log.warning("no Kafka is known: nothing is drained", setting="WARDFLOW_KAFKA__BOOTSTRAP_SERVERS")
        try:
            await _run_until(stop, serving, made, settings.worker.graceful_shutdown + _LEAVING)
        finally:
            page.stop()
            await serving
            await resources.close()
            store.close()
    _log.info("worker ended")


async def _run_until(stop: asyncio.Event, serving: asyncio.Task[None], made: Iterable[Worker], seconds: float) -> None:
    """Run workers until the stop event, or until a worker or the health page fails. Stop within some seconds.

    All workers start at the same time and stop at the same time, so each has the whole graceful time.
    """
    running = [asyncio.create_task(_until(stop, each)) for each in made]
    told = asyncio.create_task(stop.wait())
    await asyncio.wait([told, serving, *running], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    _, late = await asyncio.wait(running, timeout=seconds)
    if late:
        # Temporal does not accept these results, and reports no error. They are lost, and their steps run again.
        _log.warning("worker left without having been let go", seconds=seconds)
        os._exit(0)
    for each in running:
        each.result()


async def _until(stop: asyncio.Event, worker: Worker) -> None:
    async with worker:
        await stop.wait()


def _runtime(metrics_address: str) -> Runtime:
    return Runtime(
        telemetry=TelemetryConfig(
            metrics=PrometheusConfig(bind_address=metrics_address),
            logging=LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR")),
        )
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
