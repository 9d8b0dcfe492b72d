"""References to immutable objects in the store."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ObjectRef(BaseModel):
    """An immutable object in the store, named by its content.

    Attributes:
        key: the object's name in the bucket; it contains the sha256, so that the same bytes are one object.
        size: bytes.
        sha256: of the uncompressed bytes, lower-case hexadecimal.
        content_type: the media type.
        landed_at: when these bytes were first stored (UTC), by the store's clock.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    size: int
    sha256: str
    content_type: str
    landed_at: datetime
