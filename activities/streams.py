"""Activities of streams: drain a partition for a minute, and keep all drains and archives running."""

from dataclasses import dataclass

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.loads import this_attempt
from library.contracts.base import Contract
from library.contracts.drains import DrainDone, DrainOutcome, DrainTopic, KeepDrains, KeptDrains
from library.contracts.errors import ConfigurationError, WardflowError
from library.contracts.lake import ArchiveTopic
from library.streams.control import Streams
from library.streams.drain import Drain

_log = structlog.get_logger(__name__)
_DRAIN = "drain-topic"
_ARCHIVE = "archive-topic"


@dataclass(frozen=True)
class DrainStarter:
    """Starts one drain workflow for each partition, and one archive workflow for each topic.

    Attributes:
        prefix: the beginning of the deployment's queue names and workflow ids.
        queue: the queue of workflows.
    """

    client: Client
    prefix: str
    queue: str

    async def start(self, topic: str, partition: int, *, resumed: bool = False) -> None:
        """Start a partition's drain, unless it runs already.

        Args:
            topic: the topic's name.
            partition: the partition's number.
            resumed: tell a running drain to check the partition once more. It may be about to end, since it just found
                the partition paused.
        """
        request = DrainTopic(topic=topic, partition=partition)
        await self._start(_DRAIN, request, f"drain-{topic}-{partition}", signal="resume" if resumed else None)

    async def archive(self, topic: str) -> None:
        """Start a topic's archive, unless it runs already."""
        await self._start(_ARCHIVE, ArchiveTopic(topic=topic), f"archive-{topic}")

    async def _start(self, workflow: str, request: Contract, name: str, *, signal: str | None = None) -> None:
        await self.client.start_workflow(
            workflow,
            request,
            id=self.prefix + name,
            task_queue=self.prefix + self.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal=signal,
        )


@dataclass(frozen=True)
class StreamActivities:
    """Load records from Kafka into the warehouse.

    Attributes:
        drain, streams: `None` if no Kafka is set.
    """

    drain: Drain | None
    streams: Streams | None
    starter: DrainStarter

    @activity.defn(name="drain_partition")
    async def drain_partition(self, request: DrainTopic) -> DrainDone:
        """Drain for up to a minute. A worker that shuts down finishes the current batch."""
        if self.drain is None:
            raise ConfigurationError("This worker has no Kafka.", advice="Set WARDFLOW_KAFKA__BOOTSTRAP_SERVERS.")
        done = await self.drain.run(
            request,
            run_id=activity.info().workflow_run_id or "",
            attempt=this_attempt(),
            heartbeat=activity.heartbeat,
            must_end=activity.is_worker_shutdown,
        )
        if done.records or done.outcome is not DrainOutcome.TIME:
            _log.info("drained", topic=request.topic, partition=request.partition, **done.model_dump(mode="json"))
        return done

    @activity.defn(name="keep_drains")
    async def keep_drains(self, _: KeepDrains) -> KeptDrains:
        """Start the missing drains (one for each partition in Kafka) and the missing archives."""
        if self.streams is None:
            return KeptDrains()
        archives = await self.streams.to_archive(_log_skipped)  # first, since archives do not need the warehouse
        for topic in archives:
            await self.starter.archive(topic)
        partitions = await self.streams.to_drain(_log_skipped)
        for topic, partition in partitions:
            await self.starter.start(topic, partition)
        return KeptDrains(partitions=len(partitions), archives=len(archives))


def _log_skipped(topic: str, error: WardflowError) -> None:
    _log.warning("a topic is skipped for a minute", topic=topic, error=type(error).__name__, why=error.message)
