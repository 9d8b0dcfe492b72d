"""FHIR resources for tests, and what the reader makes of them."""

import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from library.sources.fhir.staging import stage_ndjson

HL7 = Path(__file__).parents[1] / "data" / "fhir" / "hl7"
LANDED = datetime(2026, 3, 1, 12, tzinfo=UTC)

csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Rows:
    """What a reading left: rows by table, each as its cells that are not null; and what it refused."""

    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    refused: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any] = field(default_factory=dict)

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


def read(*resources: Mapping[str, Any]) -> Rows:
    """The rows of resources."""
    return read_lines(b"\n".join(json.dumps(each).encode() for each in resources))


def read_lines(ndjson: bytes) -> Rows:
    """The rows of NDJSON."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "landed").write_bytes(ndjson)
        staged = stage_ndjson(folder / "landed", folder, server="here", object_key="landed/fhir/x", stamped=LANDED)
        tables = {table: _rows(folder / f"fhir.{table}.csv") for table in ("patient", "observation")}
        tables["observation_component"] = _rows(folder / "fhir.observation_component.csv")
        assert {f"fhir.{name}": len(rows) for name, rows in tables.items()} == staged.rows
        refused = _rows(folder / "rejections.csv") if (folder / "rejections.csv").exists() else []
        return Rows(tables, refused, staged.report)


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, quoting=csv.QUOTE_NOTNULL)
        return [{name: cell for name, cell in row.items() if cell is not None} for row in rows]
