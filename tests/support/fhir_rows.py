"""Made-up patients and observations, loaded as the FHIR source loads them: without a server and without a run."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from library.contracts.loads import LoadResult
from library.objects.staged import upload
from library.objects.store import ObjectStore
from library.sources.fhir.contracts import SOURCE
from library.sources.fhir.staging import fhir_identity, stage_ndjson
from library.warehouse.loader import Loader
from library.warehouse.merging import LoadLimits
from library.warehouse.pool import Pool
from library.warehouse.sessions import Attempt
from service.worker.parts import CATALOGUE

STAMPED = datetime(2026, 1, 1, tzinfo=UTC)
_LIMITS = LoadLimits(lock=6, statement=120, idle_in_transaction=10, work_mem="64MB")

type Resource = Mapping[str, Any]


@dataclass(frozen=True)
class FhirRows:
    """Brings resources into the warehouse."""

    pool: Pool
    store: ObjectStore

    async def load(self, *resources: Resource | bytes, server: str = "hapi", run_id: str = "by hand") -> LoadResult:
        """Land, stage and load resources, or lines as they are."""
        lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in resources]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = folder / "landed"
            path.write_bytes(b"\n".join(lines))
            landed = self.store.land(SOURCE, path, content_type="application/fhir+ndjson")
            staged = stage_ndjson(path, folder, server=server, object_key=landed.key, stamped=STAMPED)
            request = upload(
                self.store,
                folder,
                staged.rows,
                identity=fhir_identity(landed, server),
                landed=landed,
                run_id=run_id,
                report=staged.report,
            )
        loader = Loader(self.pool, self.store, CATALOGUE, _LIMITS)
        return await loader.load(request, attempt=Attempt("by hand"), on_step=lambda _: None)


def patient(
    identity: str,
    family: str | None = "Everyperson",
    *given: str,
    zipcodes: Iterable[str] = ("02139",),
    gender: str = "female",
    born: str | None = "1974-12-25",
) -> dict[str, Any]:
    """A patient."""
    name = {"family": family, "given": list(given or ("Eve",))} if family else {}
    return {
        "resourceType": "Patient",
        "id": identity,
        "name": [name],
        "gender": gender,
        "address": [{"line": ["1 Main Street"], "postalCode": zipcode} for zipcode in zipcodes],
    } | ({"birthDate": born} if born else {})


def observation(
    identity: str,
    of: str,
    value: float | None = None,
    at: str | None = "2025-06-01T12:00:00Z",
    *,
    code: str = "8302-2",
    category: str = "vital-signs",
    components: Iterable[tuple[str, float]] = (),
) -> dict[str, Any]:
    """An observation of a patient; `at` `None`: it says no time."""

    def measured(code: str, value: float | None) -> dict[str, Any]:
        quantity = {} if value is None else {"valueQuantity": {"value": value, "unit": "cm"}}
        return {"code": {"coding": [{"system": "http://loinc.org", "code": code, "display": f"No. {code}"}]}} | quantity

    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "category": [{"coding": [{"code": category}]}],
        "subject": {"reference": f"Patient/{of}"},
        "effectiveDateTime": at,
        "component": [measured(*each) for each in components],
    } | measured(code, value)
