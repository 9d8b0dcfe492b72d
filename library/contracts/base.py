"""The base class of the types that cross a boundary."""

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """An immutable model. New fields need a default, so that stored payloads can still be read."""

    model_config = ConfigDict(frozen=True)
