"""What one would write first: the SQLModel ORM behind a bare FastAPI route. The floor that ours is measured against."""

import os
import sys
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from library.sources.beds.datasets import Edition, EditionOrganisation, Occupancy

DSN = "WARDFLOW_BENCHMARK_DSN"
app = FastAPI()
engine = create_async_engine(os.environ[DSN].replace("postgresql://", "postgresql+asyncpg://"), pool_size=8)


class Item(BaseModel):
    """As `service.api.items.OccupancyItem`."""

    edition_id: UUID
    financial_year: str
    quarter: int
    period_end: date
    basis: str
    organisation_code: str
    organisation_name: str
    parent_code: str | None
    sector: str
    available: float
    occupied: float
    rate: float | None
    warnings: list[str]


class Items(BaseModel):
    """A page."""

    items: list[Item]


async def session() -> AsyncIterator[AsyncSession]:
    """A session for each request."""
    async with AsyncSession(engine) as made:
        yield made


@app.get("/occupancy", response_model=Items)
async def occupancy(database: Annotated[AsyncSession, Depends(session)], limit: int = 100) -> dict[str, Any]:
    """The first page of the newest edition of each quarter."""
    newest = (
        select(Edition.id)
        .distinct(col(Edition.period_end), col(Edition.basis))
        .order_by(
            col(Edition.period_end),
            col(Edition.basis),
            func.coalesce(Edition.revised, Edition.published).desc().nulls_last(),
            col(Edition.landed_at),
            col(Edition.id),
        )
    )
    statement = (
        select(Occupancy, Edition, EditionOrganisation)
        .join(Edition, col(Edition.id) == Occupancy.edition_id)
        .join(
            EditionOrganisation,
            (col(EditionOrganisation.edition_id) == Occupancy.edition_id)
            & (col(EditionOrganisation.organisation_code) == Occupancy.organisation_code),
        )
        .where(col(Edition.id).in_(newest))
        .order_by(
            col(Edition.period_end), col(Occupancy.edition_id), col(Occupancy.organisation_code), col(Occupancy.sector)
        )
        .limit(limit)
    )
    rows = (await database.exec(statement)).all()
    return {
        "items": [
            {
                **edition.model_dump(include={"financial_year", "quarter", "period_end", "basis"}),
                **row.model_dump(exclude={"warnings"}),
                "organisation_name": organisation.name,
                "parent_code": organisation.parent_code,
                "warnings": organisation.warnings + row.warnings,
            }
            for row, edition, organisation in rows
        ]
    }


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)
