"""References to immutable objects in the store."""

from datetime import datetime
from typing import Literal

from library.contracts.base import Contract


class ObjectRef(Contract):
    """An immutable object in the store, named by its content.

    Attributes:
        key: the object's name in the bucket. It contains the sha256, so the same bytes are one object. For a staged
            file in a folder: the file's name.
        size: bytes, uncompressed.
        sha256: of the uncompressed bytes, lower-case hexadecimal.
        content_type: the media type.
        landed_at: when a landed object was first stored (UTC, the store's clock). For NDJSON, whose bytes may be in
            the store already: when they came this time.
        compression: how the store keeps the bytes. Reading through the store returns them uncompressed.
    """

    key: str
    size: int
    sha256: str
    content_type: str
    landed_at: datetime | None = None
    compression: Literal["gzip"] | None = None
