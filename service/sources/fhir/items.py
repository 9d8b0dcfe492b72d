"""The answer about a zip code."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

_AT = "2026-11-21T10:15:30+00:00"


class LastImport(BaseModel):
    """The last import of a zip code that ended well."""

    run_id: str
    imported_at: datetime = Field(examples=[_AT])
    counts: dict[str, Any] = Field(
        description="What the run brought. Where it found nothing new: what the newest import that did has brought."
    )


class ZipcodeOnServer(BaseModel):
    """What came of a zip code from a server."""

    server: str = Field(examples=["hapi"])
    patients: int = Field(examples=[12])
    observations: int = Field(description="Of these patients.", examples=[2000])
    last_import: LastImport | None = Field(description="Null before the first import has ended.")


class Zipcode(BaseModel):
    """What is there of a zip code."""

    zipcode: str = Field(examples=["02139"])
    patients: int = Field(examples=[12])
    observations: int = Field(examples=[2000])
    servers: list[ZipcodeOnServer]
