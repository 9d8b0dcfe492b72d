"""The activities of the lake: thin over `library.lake`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog
from temporalio import activity

from library.contracts.lake import Archived, ArchiveTopic, LakeOvertaken, LakeTidied, TidyLake
from library.lake.archive import AppendEvery, Archive
from library.lake.bronze import BronzeTable
from library.lake.storage import BRONZE, LakeStorage
from library.objects.store import ObjectStore
from library.streams.connection import Connection
from library.warehouse.archives import Archives
from library.warehouse.failures import DISCONNECTED

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LakeActivities:
    """Fills the bronze tables and looks after them.

    Attributes:
        connection: asked for when it is needed: a deployment may do without Kafka.
    """

    connection: Callable[[], Connection]
    storage: LakeStorage
    store: ObjectStore
    every: AppendEvery
    archives: Archives

    @activity.defn(name="archive_topic")
    async def archive_topic(self, wanted: ArchiveTopic) -> Archived:
        """Append what a topic has and gets, for some minutes; a worker that is told to stop appends what it has."""
        archive = Archive(self.connection(), self.storage, wanted.topic, self.every)
        done = await archive.go_on(
            wanted.seconds, progress=activity.heartbeat, ending=activity.is_worker_shutdown, standing=self._enter
        )
        for gap in done.gaps:
            _log.error("records were gone before they were archived", topic=wanted.topic, **gap.model_dump())
        for partition, reason in done.stopped.items():
            _log.error("a partition is not archived any more", topic=wanted.topic, partition=partition, reason=reason)
        return done

    async def _enter(self, done: Archived) -> None:
        """Say where the archive stands. It needs nothing of the warehouse, and goes on where that is away."""
        try:
            await self.archives.enter(done)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            _log.warning("the archive's position was not taken down", topic=done.topic, error=type(error).__name__)

    @activity.defn(name="tidy_lake")
    async def tidy_lake(self, wanted: TidyLake) -> LakeTidied:
        """Compact and vacuum each table, while it is appended to."""
        tables = []
        for topic in await asyncio.to_thread(self.store.folders, BRONZE):
            activity.heartbeat(topic)
            table = await asyncio.to_thread(BronzeTable.open, self.storage, topic)
            try:
                tables.append(await asyncio.to_thread(table.tidy, wanted.keep_hours))
            except LakeOvertaken:  # an earlier attempt is at it still
                _log.warning("table is being compacted by another process", topic=topic)
        return LakeTidied(tables=tuple(tables))
