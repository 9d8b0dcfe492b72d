"""What a source supplies, so that the suite can try it: `tests/sources/supplies/{source}.py` holds one as `SUPPLY`."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from tests.sources.house import House, Sent

SUPPLIES = "tests.sources.supplies"

type Rows = Mapping[str, int]
"""Rows by table; a table that is not named stays empty."""

type Send = Callable[[House, bytes], Coroutine[Any, Any, Sent]]
"""Sends bytes the way this source is sent to, and waits until they are loaded or refused."""


@dataclass(frozen=True)
class Quarantined:
    """The good rows are loaded. The bad ones are rejections that say why.

    Attributes:
        rows: that are there afterwards.
        refused: rejections.
    """

    rows: Rows
    refused: int = 1


@dataclass(frozen=True)
class RefusedWhole:
    """One bad row refuses all of them, with this type of error."""

    error: str


@dataclass(frozen=True)
class NoReload:
    """The source has no way to load again what is loaded already, and why."""

    reason: str


@dataclass(frozen=True)
class Supply:
    """One source's part of the suite.

    Attributes:
        send: the way in for all these bytes.
        good: what is loaded as a whole.
        rows: that `good` leaves.
        bad: the same with one bad row among the good ones.
        bad_row: what comes of `bad`.
        another_kind: bytes of another kind of file.
        another_kind_is: the type of the error that refuses them.
        sentinels: texts out of `good`, `bad` and `another_kind` that may stand in tables, and nowhere else.
        reload: the way in for `good` once more.
        streamed: whether it comes by Kafka: then what is sent again is newer, and written again with equal values.
        send_bad: the way in for `bad`, where `send` would let nothing of it in.
    """

    send: Send
    good: bytes
    rows: Rows
    bad: bytes
    bad_row: Quarantined | RefusedWhole
    another_kind: bytes
    another_kind_is: str
    sentinels: frozenset[str]
    reload: Send | NoReload
    streamed: bool = False
    send_bad: Send | None = None


def supply_of(source: str) -> Supply | None:
    """A source's supply, if it has one."""
    name = f"{SUPPLIES}.{source}"
    return cast(Supply, import_module(name).SUPPLY) if find_spec(name) else None
