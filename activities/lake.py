"""Activities of the lake. The work is in `library.lake`."""

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
    """Fill the bronze tables, and compact them.

    Attributes:
        connection: called when Kafka is needed, since a deployment may have no Kafka.
    """

    connection: Callable[[], Connection]
    storage: LakeStorage
    store: ObjectStore
    every: AppendEvery
    archives: Archives

    @activity.defn(name="archive_topic")
    async def archive_topic(self, request: ArchiveTopic) -> Archived:
        """Archive a topic for some minutes. A worker that shuts down appends what it has read."""
        archive = Archive(self.connection(), self.storage, request.topic, self.every)
        done = await archive.run(
            request.seconds,
            on_read=activity.heartbeat,
            must_end=activity.is_worker_shutdown,
            on_progress=self._store_position,
        )
        for gap in done.gaps:
            _log.error("records were removed before they were archived", topic=request.topic, **gap.model_dump())
        for partition, reason in done.stopped.items():
            _log.error("a partition is no longer archived", topic=request.topic, partition=partition, reason=reason)
        return done

    async def _store_position(self, done: Archived) -> None:
        """Store the archive's position for people. The archive continues even when the warehouse is away."""
        try:
            await self.archives.enter(done)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            _log.warning("the archive's position was not stored", topic=done.topic, error=type(error).__name__)

    @activity.defn(name="tidy_lake")
    async def tidy_lake(self, request: TidyLake) -> LakeTidied:
        """Compact and vacuum each table. Appends can run at the same time."""
        tables = []
        for topic in await asyncio.to_thread(self.store.folders, BRONZE):
            activity.heartbeat(topic)
            table = await asyncio.to_thread(BronzeTable.open, self.storage, topic)
            try:
                tables.append(await asyncio.to_thread(table.tidy, request.keep_hours))
            except LakeOvertaken:  # an earlier attempt still runs
                _log.warning("another process compacts the table", topic=topic)
        return LakeTidied(tables=tuple(tables))
