"""Reading landed objects again that an older version of a reader has read."""

from library.contracts.base import Contract


class ObjectPlace(Contract):
    """The place of a landed object in the order of a reload.

    Attributes:
        key: the object's key.
        scope: the scope of its loads, such as a server.
    """

    key: str
    scope: str


class ReloadOlder(Contract):
    """Input of the workflow `reload-older`: all objects of a source that an older reader has read.

    Attributes:
        source: the source.
        after: the last object that was read; `None`: none was.
        objects: number of objects that were read.
        refused: number of objects among them that the reader refuses now, or that are missing or damaged.
        events: the workflow continues as new when its history has so many events.
    """

    source: str
    after: ObjectPlace | None = None
    objects: int = 0
    refused: int = 0
    events: int = 2_000


class ReloadObjects(Contract):
    """Input of the activity `reload_objects`: read the next objects, and load them."""

    run_id: str
    source: str
    after: ObjectPlace | None = None


class ObjectsReloaded(Contract):
    """What `reload_objects` did.

    Attributes:
        last: the last object; `None`: there was none left.
        objects, refused: as in `ReloadOlder`.
    """

    last: ObjectPlace | None = None
    objects: int = 0
    refused: int = 0


class FinishReload(Contract):
    """Input of the activity `finish_reload`."""

    run_id: str
    source: str
    objects: int
    refused: int
