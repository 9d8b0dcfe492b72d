"""Loading made-up rows in tests: from Python values through the real staging, store and loader."""

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from library.contracts.loads import LoadIdentity, LoadRequest, LoadResult, StagedObject
from library.contracts.objects import ObjectRef
from library.datasets.declaration import Catalogue, Dataset
from library.objects.staged import upload
from library.objects.store import ObjectStore
from library.staging.files import Staging
from library.warehouse.loader import Loader, OnStep
from library.warehouse.merging import LoadLimits
from library.warehouse.pool import Pool
from library.warehouse.sessions import Attempt
from tests.support.made_up import BED, CATALOGUE, READING, WARD, BedRow, ReadingRow, WardRow

LIMITS = LoadLimits(lock=6, statement=60, idle_in_transaction=2, work_mem="64MB")

type Row = Sequence[Any]


@dataclass(frozen=True)
class Family:
    """A ward's row with its beds'."""

    ward: Row
    beds: Sequence[Row] = ()


@dataclass
class MadeUpSource:
    """Stages and loads rows of the made-up datasets."""

    pool: Pool
    store: ObjectStore
    catalogue: Catalogue = CATALOGUE
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def loader(self) -> Loader:
        """A loader of its own for each call."""
        return Loader(self.pool, self.store, self.catalogue, LIMITS)

    def landed(self, content: bytes = b"") -> ObjectRef:
        """A landed object; without content, one that no other call gets."""
        content = content or f"{id(self)} {next(self._numbers)}".encode()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "landed"
            path.write_bytes(content)
            return self.store.land("made_up", path, content_type="text/plain")

    def readings(self, *rows: Row, landed: ObjectRef | None = None, version: int = 1, reload: int = 0) -> LoadRequest:
        """Readings, each a row of its columns; a short row is filled with nulls."""

        def stage(staging: Staging) -> None:
            for line, row in enumerate(rows, start=1):
                staging.add(READING, ReadingRow(*row), line=line, raw=repr(row).encode())

        return self.staged([READING], stage, landed or self.landed(), version, reload)

    def wards(self, *families: Family, landed: ObjectRef | None = None, version: int = 1) -> LoadRequest:
        """Wards with their beds."""

        def stage(staging: Staging) -> None:
            for line, family in enumerate(families, start=1):
                staging.add(WARD, WardRow(*family.ward), line=line, raw=b"ward")
                for bed in family.beds:
                    staging.add(BED, BedRow(family.ward[0], *bed), line=line, parent=line, raw=b"bed")

        return self.staged([WARD, BED], stage, landed or self.landed(), version, 0)

    def written(self, dataset: Dataset, csv: bytes, rows: int) -> LoadRequest:
        """A staged object with just these bytes, as no encoder of ours would write them."""
        landed = self.landed()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "staged.csv"
            path.write_bytes(csv)
            ref = self.store.put("staged/by-hand", path, content_type="text/csv")
        return LoadRequest(
            identity=LoadIdentity(source="made_up", sha256=landed.sha256, reader_version=1),
            landed=landed,
            staged=(StagedObject(dataset=dataset.name, object=ref, rows=rows),),
            run_id="by hand",
        )

    async def load(
        self, request: LoadRequest, *, attempt: Attempt | None = None, on_step: OnStep = lambda _: None
    ) -> LoadResult:
        """Load it."""
        owner = hashlib.sha256(request.run_id.encode()).hexdigest()[:8]
        return await self.loader.load(request, attempt=attempt or Attempt(owner), on_step=on_step)

    async def table(self, dataset: Dataset, *columns: str) -> list[tuple[Any, ...]]:
        """What is stored, ordered by key."""
        names = ", ".join(columns or (column.name for column in dataset.columns))
        rows = await self.pool.fetch(f"SELECT {names} FROM {dataset.name} ORDER BY {', '.join(dataset.key)}")
        return [tuple(row) for row in rows]

    async def rejections(self) -> list[Mapping[str, Any]]:
        """What was refused, by dataset and line."""
        return [dict(row) for row in await self.pool.fetch("SELECT * FROM ingest.rejection ORDER BY dataset, line, id")]

    def staged(
        self,
        datasets: Sequence[Dataset],
        stage: Callable[[Staging], None],
        landed: ObjectRef,
        version: int = 1,
        reload: int = 0,
    ) -> LoadRequest:
        """What a function stages, in the store."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with Staging(folder, datasets) as staging:
                stage(staging)
            number = next(self._numbers)
            return upload(
                self.store,
                folder,
                staging.rows,
                identity=LoadIdentity(source="made_up", sha256=landed.sha256, reader_version=version, reload=reload),
                landed=landed,
                run_id=f"run {number}",
                report={"number": number},
            )
