"""References to immutable objects in the store."""

from datetime import datetime
from typing import Literal

from library.contracts.base import Contract


class ObjectRef(Contract):
    """An immutable object in the store, named by its content.

    Attributes:
        key: the object's name in the bucket; it contains the sha256, so that the same bytes are one object. Of a staged
            file at hand: its name.
        size: bytes, uncompressed.
        sha256: of the uncompressed bytes, lower-case hexadecimal.
        content_type: the media type.
        landed_at: of a landed object: when these bytes were first stored (UTC), by the store's clock; of NDJSON, whose
            bytes may have been here before, when they came.
        compression: how the store keeps the bytes; whoever reads them through it does not notice.
    """

    key: str
    size: int
    sha256: str
    content_type: str
    landed_at: datetime | None = None
    compression: Literal["gzip"] | None = None
