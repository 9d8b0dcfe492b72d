"""Made-up records, and the API in front of a broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from config.sections import RecordSettings
from config.settings import Settings
from library.access.tokens import Tokens
from library.access.users import Users
from library.contracts.scopes import Scope
from library.sources.records.apis import Api
from library.warehouse.pool import Pool
from tests.support.api import api_here

PASSWORD = "correct horse battery"  # noqa: S105 - of users that live for a test


def patient(patient_id: UUID | None = None, **other: Any) -> dict[str, Any]:
    return {
        "patient_id": str(patient_id or uuid4()),
        "gender": "Female",
        "date_of_birth": "1970-03-21 14:05:09.123",
        "race": "White",
        "marital_status": "Single",
        "language": "English",
        "population_percentage_below_poverty": 12.5,
    } | other


def admission(patient_id: UUID | None = None, **other: Any) -> dict[str, Any]:
    return {
        "patient_id": str(patient_id or uuid4()),
        "admission_id": 1,
        "admission_start_date": "3/21/2004",
        "admission_end_date": "3/25/2004",
        "primary_diagnosis_code": "J45.909",
        "primary_diagnosis_description": "Unspecified asthma, uncomplicated",
    } | other


def lab_result(patient_id: UUID | None = None, **other: Any) -> dict[str, Any]:
    return {
        "patient_id": str(patient_id or uuid4()),
        "admission_id": 1,
        "lab_name": "METABOLIC: GLUCOSE",
        "lab_value": 98.6,
        "lab_units": "mg/dL",
        "lab_date_time": "2004-03-22 08:15:00.000",
    } | other


MAKERS = {Api.PATIENT: patient, Api.ADMISSIONS: admission, Api.LAB_RESULTS: lab_result}


@dataclass(frozen=True)
class Clinic:
    """Posts records to the API."""

    http: httpx.AsyncClient
    pool: Pool

    @property
    def users(self) -> Users:
        return Users(self.pool)

    async def user(self, name: str = "clinic", *grants: Api, password: str | None = None) -> dict[str, str]:
        """Make a user; returns headers with a token."""
        user_id = await self.users.create(name, password)
        for api in grants:
            await self.users.grant(name, api)
        _, token = await Tokens(self.pool).create(name, [], user_id=user_id)
        return {"Authorization": f"Bearer {token}"}

    async def bearing(self, *scopes: Scope) -> dict[str, str]:
        """Headers of somebody with these scopes."""
        _, token = await Tokens(self.pool).create("test", scopes)
        return {"Authorization": f"Bearer {token}"}

    async def post(self, api: Api, records: Any, headers: dict[str, str], **options: Any) -> httpx.Response:
        """Post one record or several."""
        return await self.http.post(f"/api_{api}", json=records, headers=headers, **options)

    async def refusals(self) -> list[tuple[str, str, int]]:
        """Actor, subject and status of each refusal in the audit."""
        rows = await self.pool.fetch("SELECT * FROM access.audit WHERE action = 'refused' ORDER BY id")
        return [(row["actor"], row["subject"], row["detail"]["status"]) for row in rows]


@asynccontextmanager
async def clinic(settings: Settings, pool: Pool, **records: Any) -> AsyncIterator[Clinic]:
    """The API in this process; options are settings of records."""
    async with api_here(settings.model_copy(update={"records": RecordSettings(**records)})) as http:
        yield Clinic(http, pool)
