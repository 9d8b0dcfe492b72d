"""Landed objects whose newest load is by an older reader, or by one with other settings."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Integer, Text, and_, bindparam, cast, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB, distinct_on

from library.contracts.reloads import ObjectPlace
from library.datasets.fields import table_of
from library.datasets.ingest import Load
from library.warehouse.pool import Pool
from library.warehouse.queries.statement import Statement

OTHERS = ""
"""Stands for scopes that are not named."""

_LOAD = table_of(Load).c


class OlderLoad(NamedTuple):
    """The newest load of a landed object in a scope. Size and sha256 are of the uncompressed bytes."""

    object_key: str
    scope: str
    object_sha256: str
    object_size: int

    @property
    def place(self) -> ObjectPlace:
        """Its place in the order of a reload."""
        return ObjectPlace(key=self.object_key, scope=self.scope)


def _older() -> Statement:
    newest = (
        select(*(_LOAD[name] for name in OlderLoad._fields), _LOAD.reader_version, _LOAD.reader_settings)
        .ext(distinct_on(_LOAD.object_key, _LOAD.scope))
        .where(
            _LOAD.source == bindparam("of_source", type_=Text),
            tuple_(_LOAD.object_key, _LOAD.scope)
            > tuple_(bindparam("after_key", type_=Text), bindparam("after_scope", type_=Text)),
        )
        .order_by(_LOAD.object_key, _LOAD.scope, _LOAD.reader_version.desc(), _LOAD.committed_at.desc())
        .subquery("newest")
    )
    version = bindparam("version", type_=Integer)
    settings = cast(bindparam("settings"), JSONB)
    wanted = func.coalesce(settings[newest.c.scope].astext, settings[bindparam("any_other", type_=Text)].astext, "")
    return Statement(
        select(*(newest.c[name] for name in OlderLoad._fields))
        .where(
            or_(
                newest.c.reader_version < version,
                and_(newest.c.reader_version == version, newest.c.reader_settings != wanted),
            )
        )
        .order_by(newest.c.object_key, newest.c.scope)
        .limit(bindparam("most", type_=BigInteger))
    )


_OLDER = _older()


async def older_loads(
    pool: Pool,
    source: str,
    version: int,
    settings: Mapping[str, str],
    *,
    after: ObjectPlace | None = None,
    most: int,
) -> Sequence[OlderLoad]:
    """The next objects of a source that an older reader has read, in the order of their keys.

    Args:
        pool: the warehouse.
        source: the source.
        version: of the source's present reader.
        settings: by scope, the digest of the reader's settings, if it has one; by `OTHERS`, that of all other scopes.
        after: the last object before them.
        most: maximum number of objects.
    """
    place = after or ObjectPlace(key="", scope="")
    rows = await _OLDER.fetch(
        pool,
        of_source=source,
        version=version,
        settings=dict(settings),
        any_other=OTHERS,
        after_key=place.key,
        after_scope=place.scope,
        most=most,
    )
    return [OlderLoad(*row) for row in rows]
