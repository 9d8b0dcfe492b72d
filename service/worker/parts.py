"""What a worker is made of: what activities are made with, and what each source brings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import JsonValue
from temporalio.client import Client

from activities.loads import LoadActivities
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
    """What activities are made with; what several sources share is made once."""

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
        """Of the transactions of loads."""
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
        """Loads what was staged."""
        return LoadActivities(self.pool, self.store, Loader(self.pool, self.store, CATALOGUE, self.limits), self.runs)

    def at_end(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call this when the worker ends."""
        self.closing.append(close)

    async def close(self) -> None:
        """Let go of what activities have opened, the last one first."""
        for close in reversed(self.closing):
            await close()


@dataclass(frozen=True)
class WorkerPart:
    """What a source brings to a worker, or what serves all of them.

    Attributes:
        activities: makes them, by queue; those of `workflows` are local ones.
        reports: by the workflow's name, what is added to the report of a run when it ends, given the id of its load.
        rates: by queue, activities a second at most, over all workers; Temporal holds that.
        schedules: of its workflows.
        upkeep: makes what forgets, each minute, what ended runs before a moment left behind; it returns how many
            objects went.
    """

    workflows: tuple[type, ...]
    activities: Callable[[Resources], ByQueue]
    reports: Mapping[str, Callable[[Pool, str], Awaitable[Mapping[str, JsonValue]]]] = field(default_factory=dict)
    rates: Mapping[str, Callable[[Settings], float]] = field(default_factory=dict)
    schedules: tuple[Scheduled, ...] = ()
    upkeep: Callable[[Resources], Forget] | None = None
