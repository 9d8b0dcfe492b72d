"""Questions about partitions of topics: how far they are in the warehouse and in the lake."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Double,
    Text,
    and_,
    any_,
    case,
    cast,
    func,
    select,
)
from sqlalchemy import literal_column as literal
from sqlmodel import col

from library.contracts.drains import StreamPosition, StreamStatus
from library.contracts.lake import ArchiveState, ArchiveStatus
from library.contracts.scopes import Scope
from library.datasets.fields import table_of
from library.datasets.ingest import ArchivePosition, Load, StreamOffset
from library.warehouse.queries.columns import Column, columns
from library.warehouse.queries.filters import VALUE, ActiveFilters, Filter
from library.warehouse.queries.question import Question
from library.warehouse.queries.statement import AnySelect

_OFFSET = table_of(StreamOffset).c
_PLACE = table_of(ArchivePosition).c


def _of_topics(topic: ColumnElement[Any]) -> Filter:
    def condition(topics: BindParameter[Any]) -> ColumnElement[bool]:
        return topic == any_(cast(topics, ARRAY(Text)))

    return Filter("topics", list[str], VALUE, "Only of these topics.", internal=True, condition=condition, convert=list)


def _partitions(filters: ActiveFilters) -> AnySelect:
    """Partitions with their lag (records), their rate (records a second in the last five minutes) and freshness."""
    seconds = func.extract("epoch", func.now() - func.min(col(Load.started_at)))
    records = func.sum(cast(col(Load.report)["records"].astext, BigInteger))
    rates = (
        select(col(Load.scope), (records / func.greatest(seconds, 1)).label("rate"))
        .where(col(Load.committed_at) > func.now() - literal("interval '5 minutes'"), col(Load.object_key).is_(None))
        .group_by(col(Load.scope))
        .subquery("rates")
    )
    lag = func.greatest(_OFFSET.end_offset - _OFFSET.next_offset, 0)
    state = case((and_(_OFFSET.paused, _OFFSET.state == "draining"), "paused"), else_=_OFFSET.state)
    age = cast(func.extract("epoch", func.now() - _OFFSET.reached_at), Double)
    partition = _OFFSET.topic.op("||")("/").op("||")(cast(_OFFSET.partition, Text))
    return (
        select(
            *(_OFFSET[name] for name in StreamPosition.model_fields if name != "state"),
            state.label("state"),
            func.coalesce(lag, 0).label("lag"),
            cast(func.coalesce(rates.c.rate, 0), Double).label("rate"),
            case((lag > 0, age), (_OFFSET.reached_at.is_not(None), 0)).label("freshness"),
        )
        .select_from(StreamOffset)
        .outerjoin(rates, rates.c.scope == partition)
        .where(*filters.conditions())
    )


def _archived(filters: ActiveFilters) -> AnySelect:
    state = case((_PLACE.reason.is_(None), ArchiveState.ARCHIVING.value), else_=ArchiveState.STOPPED.value)
    return select(ArchivePosition, state.label("state")).where(*filters.conditions())


def _told(status: type[StreamStatus] | type[ArchiveStatus], *fields: str) -> tuple[Column, ...]:
    """Columns that the tables do not have, as the contract describes them."""
    shown = status.model_fields
    return tuple(Column(name, shown[name].annotation, shown[name].description) for name in fields)


STREAMS = Question(
    name="streams",
    about="Partitions of topics: how far the warehouse is.",
    scope=Scope.OPERATE,
    rows=_partitions,
    columns=(
        *columns(StreamOffset, *(name for name in StreamPosition.model_fields if name != "state")),
        *_told(StreamStatus, "state", "lag", "rate", "freshness"),
    ),
    item=StreamStatus,
    order=("topic", "partition"),
    parameters=(_of_topics(_OFFSET.topic),),
)

ARCHIVES = Question(
    name="archives",
    about="Partitions of topics: how far the lake is.",
    scope=Scope.OPERATE,
    rows=_archived,
    columns=(
        *columns(ArchivePosition, "topic", "partition", "incarnation", "next_offset"),
        *_told(ArchiveStatus, "state"),
        *columns(ArchivePosition, "reason", "updated_at"),
    ),
    item=ArchiveStatus,
    order=("topic", "partition"),
    parameters=(_of_topics(_PLACE.topic),),
)
