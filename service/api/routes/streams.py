"""`/streams`: positions of topics in the warehouse and in the lake; pause, resume and rewind drains."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from config.servers import TOPIC
from library.contracts.drains import StreamPosition, StreamStatus, StreamUnknown
from library.contracts.lake import ArchiveStatus
from library.contracts.scopes import Scope
from library.streams.control import Streams, Target
from library.warehouse.queries.parameters import BIGINT, INTEGER, Moment
from service.api.context import ApiContext, Context
from service.api.idempotent import Idempotent
from service.api.security import Caller, needs
from service.drains import start_drains
from service.resources import streams

router = APIRouter(prefix="/streams", tags=["streams"], route_class=Idempotent)
Topic = Annotated[str, InPath(pattern=TOPIC, description="Its name in the cluster.", examples=["patient"])]


_UNKNOWN = StreamUnknown("There is no topic of this name that is drained into the warehouse.")
"""The example of an unknown topic."""


class StreamList(BaseModel):
    """Every partition of the topics that feed the warehouse, and of those that go to the lake."""

    items: list[StreamStatus]
    archives: list[ArchiveStatus]


class Positions(BaseModel):
    """The partitions that were meant, as they are now."""

    items: list[StreamPosition]


class Rewind(BaseModel):
    """Where to: just one of an offset, a time and an end."""

    model_config = ConfigDict(extra="forbid")

    offset: StrictInt | None = Field(default=None, ge=0, le=BIGINT, description="Of the next record to load.")
    time: Moment | None = Field(default=None, description="The first record from this time on (with a zone).")
    to: Literal["earliest", "latest"] | None = Field(default=None, examples=["earliest"])
    partition: StrictInt | None = Field(default=None, ge=0, le=INTEGER, description="Only this one; all unless set.")

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(each is not None for each in (self.offset, self.time, self.to)) != 1:
            raise ValueError("give just one of offset, time and to")
        return self

    @property
    def target(self) -> Target:
        """Whichever was given."""
        found: int | datetime | Literal["earliest", "latest"] | None = self.offset
        if found is None:
            found = self.time if self.time is not None else self.to
        assert found is not None  # noqa: S101 - the validator holds it
        return found


class WholeTopic(BaseModel):
    """The body of what steers a whole topic: none, or an empty object."""

    model_config = ConfigDict(extra="forbid")


@router.get("", **needs(Scope.OPERATE))
async def list_streams(api: ApiContext) -> StreamList:
    """Lag, rate, freshness, state and reason of each partition; and how far each is in the lake."""
    drains, archives = await _streams(api).overview()
    return StreamList(items=drains, archives=archives)


@router.post("/{topic}/pause", **needs(Scope.OPERATE, 400, _UNKNOWN, 413))
async def pause(topic: Topic, api: ApiContext, caller: Caller, _: WholeTopic | None = None) -> Positions:
    """Pause a topic. Loaded rows stay; new records wait in Kafka."""
    steering = _streams(api)
    await api.audit.record(str(caller.token_id), "pause_stream", topic)
    return Positions(items=await steering.pause(topic))


@router.post("/{topic}/resume", **needs(Scope.OPERATE, 400, _UNKNOWN, 413))
async def resume(topic: Topic, api: ApiContext, caller: Caller, _: WholeTopic | None = None) -> Positions:
    """Resume a paused topic at the offset where it was paused."""
    steering = _streams(api)
    await api.audit.record(str(caller.token_id), "resume_stream", topic)
    resumed = await steering.resume(topic)
    await start_drains(api.starter.client, api.settings, resumed)
    return Positions(items=resumed)


@router.post("/{topic}/rewind", **needs(Scope.OPERATE, 400, _UNKNOWN, 413))
async def rewind(topic: Topic, body: Rewind, api: ApiContext, caller: Caller) -> Positions:
    """Load records again from an offset or a time. A corrected decoder may change their rows."""
    steering = _streams(api)
    await api.audit.record(str(caller.token_id), "rewind_stream", topic)
    rewound = await steering.rewind(topic, body.target, body.partition)
    await start_drains(api.starter.client, api.settings, rewound)
    return Positions(items=rewound)


def _streams(api: Context) -> Streams:
    return streams(api.settings, api.pool)
