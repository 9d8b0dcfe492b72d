"""FHIR resources for tests, and what the reader makes of them."""

import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from library.contracts.loads import LoadRequest, LoadResult
from library.contracts.objects import ObjectRef
from library.datasets.declaration import Catalogue, Dataset
from library.objects.staged import upload
from library.objects.store import ObjectStore
from library.sources.fhir.datasets import DATASETS
from library.sources.fhir.reading import DEFAULTS, ReaderSettings
from library.sources.fhir.staging import fhir_identity, stage_ndjson
from library.warehouse.loader import Loader
from library.warehouse.pool import Pool
from library.warehouse.sessions import Attempt
from tests.support.warehouse import LIMITS

CASES = Path(__file__).parents[1] / "data" / "cases"
HL7 = Path(__file__).parents[1] / "data" / "fhir" / "hl7"
LANDED = datetime(2026, 3, 1, 12, tzinfo=UTC)

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Rows:
    """What a reading left: rows by table, each as its cells that are not null; what it refused, and what it says."""

    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    refused: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any] = field(default_factory=dict)
    strange: str = ""

    @property
    def patient(self) -> Mapping[str, Any]:
        """The only patient."""
        (row,) = self.tables["patient"]
        return row

    @property
    def observation(self) -> Mapping[str, Any]:
        """The only observation."""
        (row,) = self.tables["observation"]
        return row

    @property
    def components(self) -> Sequence[Mapping[str, Any]]:
        """All components."""
        return self.tables["observation_component"]

    @property
    def reasons(self) -> list[str]:
        """Why the rows were refused."""
        return [str(row["reasons"]) for row in self.refused]


def resource(kind: str, **elements: object) -> dict[str, Any]:
    """A resource with an id, as JSON has it."""
    return {"resourceType": kind, "id": "1", **elements}


def observation(**elements: object) -> dict[str, Any]:
    """An observation with an id."""
    return resource("Observation", **elements)


def example(name: str) -> dict[str, Any]:
    """One of HL7's examples."""
    found: dict[str, Any] = json.loads((HL7 / f"{name}.json").read_bytes())
    return found


def case(name: str) -> bytes:
    """The only file of a case from the field, by the beginning of its path in `tests/data/cases`."""
    (path,) = CASES.glob(f"{name}*")
    return path.read_bytes()


def read(*resources: Mapping[str, Any], reading: ReaderSettings = DEFAULTS) -> Rows:
    """The rows of resources."""
    return read_lines(b"\n".join(json.dumps(each).encode() for each in resources), reading=reading)


def read_lines(ndjson: bytes, *, reading: ReaderSettings = DEFAULTS) -> Rows:
    """The rows of NDJSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "landed").write_bytes(ndjson)
        staged = stage_ndjson(
            folder / "landed", folder, server="here", object_key="landed/fhir/x", stamped=LANDED, reading=reading
        )
        tables = {table: _rows(folder / f"fhir.{table}.csv") for table in ("patient", "observation")}
        tables["observation_component"] = _rows(folder / "fhir.observation_component.csv")
        tables["refused_version"] = _rows(folder / "fhir.refused_version.csv")
        assert {f"fhir.{name}": len(rows) for name, rows in tables.items()} == staged.rows
        refused = _rows(folder / "rejections.csv") if (folder / "rejections.csv").exists() else []
        return Rows(tables, refused, staged.report, staged.strange)


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, quoting=csv.QUOTE_NOTNULL)
        return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]


@dataclass
class FhirSource:
    """Lands, stages and loads NDJSON through the real store and the real loader, as the activities do."""

    pool: Pool
    store: ObjectStore
    _numbers: Any = field(default_factory=lambda: count(1))

    def landed(self, *resources: Mapping[str, Any]) -> ObjectRef:
        """A landed object with these resources."""
        return self.landed_lines(b"".join(json.dumps(each).encode() + b"\n" for each in resources))

    def landed_lines(self, ndjson: bytes) -> ObjectRef:
        """A landed object with these bytes."""
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "landed"
            path.write_bytes(ndjson)
            return self.store.land("fhir", path, content_type="application/fhir+ndjson", compress=True)

    def staged(
        self,
        landed: ObjectRef,
        *,
        server: str = "here",
        stamped: datetime = LANDED,
        reload: int = 0,
        reading: ReaderSettings = DEFAULTS,
    ) -> LoadRequest:
        """What is to be loaded of it."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self.store.download(landed, folder / "landed")
            staged = stage_ndjson(
                folder / "landed", folder, server=server, object_key=landed.key, stamped=stamped, reading=reading
            )
            return upload(
                self.store,
                folder,
                staged.rows,
                identity=fhir_identity(landed, server, reading, reload=reload),
                landed=landed,
                run_id=f"run {next(self._numbers)}",
                report=staged.report,
            )

    async def load(self, *resources: Mapping[str, Any], **how: Any) -> LoadResult:
        """Load resources as one landed object."""
        return await self.load_request(self.staged(self.landed(*resources), **how))

    async def load_request(self, request: LoadRequest) -> LoadResult:
        """Load what was staged."""
        loader = Loader(self.pool, self.store, Catalogue(DATASETS), LIMITS)
        return await loader.load(request, attempt=Attempt("testfhir"))

    async def table(self, dataset: Dataset, *columns: str) -> list[tuple[Any, ...]]:
        """What is stored, ordered by key."""
        order = ", ".join(dataset.key)
        rows = await self.pool.fetch(f"SELECT {', '.join(columns)} FROM {dataset.name} ORDER BY {order}")
        return [tuple(row) for row in rows]
