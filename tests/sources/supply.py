"""What a source supplies to the suite: `SUPPLY` in `tests/sources/supplies/{source}.py`."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from tests.sources.environment import Sent, SourceEnvironment

SUPPLIES = "tests.sources.supplies"

type Rows = Mapping[str, int]
"""Rows by table; a table that is not named stays empty."""

type Send = Callable[[SourceEnvironment, bytes], Coroutine[Any, Any, Sent]]
"""Sends bytes in the way of this source, and waits until they are loaded or refused."""


@dataclass(frozen=True)
class Quarantined:
    """The good rows are loaded. The bad ones are rejections that say why.

    Attributes:
        rows: the rows that are stored afterwards.
        refused: the number of rejections.
    """

    rows: Rows
    refused: int = 1


@dataclass(frozen=True)
class RefusedWhole:
    """One bad row refuses all of them, with this type of error."""

    error: str


@dataclass(frozen=True)
class NoReload:
    """The source cannot load again what is loaded already. It says why."""

    reason: str


@dataclass(frozen=True)
class Supply:
    """One source's part of the suite.

    Attributes:
        send: sends any of these bytes.
        good: bytes that are loaded completely.
        rows: the rows that `good` leaves.
        bad: the bytes of `good` with one bad row added.
        bad_row: the result of sending `bad`.
        another_kind: bytes of another kind of file.
        another_kind_is: the type of the error that refuses `another_kind`.
        sentinels: texts of `good`, `bad` and `another_kind` that may be in tables, and nowhere else.
        reload: sends `good` again.
        streamed: whether the source uses Kafka. Then bytes that are sent again are newer, and are written again with
            equal values.
        send_bad: sends `bad`, where `send` would refuse all of it.
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
