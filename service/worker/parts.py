"""The parts of a worker: the resources of activities, and what each source adds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import JsonValue
from temporalio.client import Client

from activities.loads import LoadActivities
from activities.reloads import SourceReload
from activities.staging import Stager
from config.settings import Settings
from library.datasets.declaration import Catalogue
from library.objects.store import ObjectStore
from library.warehouse.loader import Loader
from library.warehouse.merging import LoadLimits
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.schedules import Scheduled
from service.sources import SOURCES

CATALOGUE = Catalogue([dataset for source in SOURCES for dataset in source.datasets])
"""Every dataset that can be loaded."""

type Forget = Callable[[datetime], Awaitable[int]]
type Activity = Callable[..., Any]
type ByQueue = Mapping[str, Sequence[Activity]]


@dataclass(frozen=True)
class Resources:
    """The resources from which activities are made. Resources that sources share are made once."""

    settings: Settings
    client: Client
    pool: Pool
    store: ObjectStore
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @cached_property
    def runs(self) -> RunLog:
        """Runs as users see them."""
        return RunLog(self.pool)

    @cached_property
    def limits(self) -> LoadLimits:
        """The limits of the transactions of loads."""
        postgres = self.settings.postgres
        return LoadLimits(
            lock=postgres.lock_timeout,
            statement=postgres.statement_timeout,
            idle_in_transaction=postgres.idle_in_transaction_timeout,
            work_mem=postgres.load_work_mem,
        )

    @cached_property
    def stager(self) -> Stager:
        """Reads landed objects."""
        readers = ThreadPoolExecutor(self.settings.worker.compute_slots, thread_name_prefix="stage")
        return Stager(self.pool, self.store, self.runs, readers)

    @cached_property
    def loads(self) -> LoadActivities:
        """Loads staged objects."""
        return LoadActivities(self.pool, self.store, Loader(self.pool, self.store, CATALOGUE, self.limits), self.runs)

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call this when the worker ends."""
        self.closing.append(close)

    async def close(self) -> None:
        """Close what activities have opened, the last one first."""
        for close in reversed(self.closing):
            await close()


@dataclass(frozen=True)
class WorkerPart:
    """The part of a worker that a source adds, or that serves all sources.

    Attributes:
        workflows: the workflow classes.
        activities: makes the activities of each queue; those of `workflows` are local activities.
        reports: for each workflow name, a function from the id of a load to what is added to its run's report.
        rates: for each queue, the activities that Temporal starts in a second at most, over all workers.
        schedules: the schedules of its workflows.
        reloads: for each source whose landed objects can be read again, how.
        upkeep: makes a function that removes what runs that ended before a moment left behind. It runs each minute
            and returns the number of removed objects.
    """

    workflows: tuple[type, ...]
    activities: Callable[[Resources], ByQueue]
    reports: Mapping[str, Callable[[Pool, str], Awaitable[Mapping[str, JsonValue]]]] = field(default_factory=dict)
    rates: Mapping[str, Callable[[Settings], float]] = field(default_factory=dict)
    schedules: tuple[Scheduled, ...] = ()
    reloads: Mapping[str, Callable[[Resources], SourceReload]] = field(default_factory=dict)
    upkeep: Callable[[Resources], Forget] | None = None
