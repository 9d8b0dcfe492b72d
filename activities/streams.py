"""Activities of streams: drain a partition for a minute, and keep every drain and archive under way."""

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
    """Starts drains, one workflow a partition, and archives, one a topic, wherever it is started from.

    Attributes:
        prefix: of the deployment's queues and workflow ids.
        queue: of workflows.
    """

    client: Client
    prefix: str
    queue: str

    async def start(self, topic: str, partition: int, *, resumed: bool = False) -> None:
        """Start a partition's drain, or leave the one that is under way.

        Args:
            topic: of the partition.
            partition: its number.
            resumed: have the one that is under way look once more before it ends: it may just have found its
                partition paused.
        """
        asked = DrainTopic(topic=topic, partition=partition)
        await self._start(_DRAIN, asked, f"drain-{topic}-{partition}", signal="resume" if resumed else None)

    async def archive(self, topic: str) -> None:
        """Start a topic's archive, or leave the one that is under way."""
        await self._start(_ARCHIVE, ArchiveTopic(topic=topic), f"archive-{topic}")

    async def _start(self, workflow: str, asked: Contract, name: str, *, signal: str | None = None) -> None:
        await self.client.start_workflow(
            workflow,
            asked,
            id=self.prefix + name,
            task_queue=self.prefix + self.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal=signal,
        )


@dataclass(frozen=True)
class StreamActivities:
    """From Kafka into the warehouse.

    Attributes:
        drain, streams: `None` where no Kafka is set.
    """

    drain: Drain | None
    streams: Streams | None
    starter: DrainStarter

    @activity.defn(name="drain_partition")
    async def drain_partition(self, asked: DrainTopic) -> DrainDone:
        """Drain for up to a minute; a worker that is told to stop ends after the batch that it is at."""
        if self.drain is None:
            raise ConfigurationError("This worker knows no Kafka.", advice="Set WARDFLOW_KAFKA__BOOTSTRAP_SERVERS.")
        done = await self.drain.run(
            asked,
            run_id=activity.info().workflow_run_id or "",
            attempt=this_attempt(),
            beat=activity.heartbeat,
            ending=activity.is_worker_shutdown,
        )
        if done.records or done.outcome is not DrainOutcome.TIME:
            _log.info("drained", topic=asked.topic, partition=asked.partition, **done.model_dump(mode="json"))
        return done

    @activity.defn(name="keep_drains")
    async def keep_drains(self, _: KeepDrains) -> KeptDrains:
        """Start what is missing: the drain of every partition that Kafka lists, and every topic's archive."""
        if self.streams is None:
            return KeptDrains()
        archives = await self.streams.to_archive(_left_out)  # first: the lake needs nothing of the warehouse
        for topic in archives:
            await self.starter.archive(topic)
        partitions = await self.streams.to_drain(_left_out)
        for topic, partition in partitions:
            await self.starter.start(topic, partition)
        return KeptDrains(partitions=len(partitions), archives=len(archives))


def _left_out(topic: str, error: WardflowError) -> None:
    _log.warning("a topic is left out for a minute", topic=topic, error=type(error).__name__, why=error.message)
