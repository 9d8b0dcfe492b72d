"""The base of what crosses a boundary."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """Frozen, and evolved by adding fields with defaults."""

    model_config = ConfigDict(frozen=True)
