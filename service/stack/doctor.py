"""Reports what runs, where, and what is wrong, for people and as JSON. It never raises because a server is down."""

import asyncio
import platform
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import asyncpg

from config.settings import Settings
from library.contracts.errors import WardflowError
from library.warehouse.archives import Archives
from library.warehouse.failures import DISCONNECTED
from library.warehouse.offsets import Offsets
from library.warehouse.server import PostgresTooOld, check_version
from service.resources import kafka_connection, topics, warehouse
from service.sources import STACK_PARTS
from service.stack import kafka, lock, own, postgres, s3, temporal
from service.stack.identity import ADVICE
from service.stack.part import Entry, Health
from service.stack.preflight import nearest_existing
from service.stack.runner import of_sources
from service.stack.state import State, elsewhere, read_state, with_addresses
from service.waiting import waiting_for

ANSWERS_WITHIN = 4.0
BOOTSTRAP_WITHIN = 8.0
DISK_NEEDED = 2 * 1024**3
PARTS = ("postgres", "s3", "temporal", "kafka", "worker", "api")
OURS = ("worker", "api", *STACK_PARTS)
"""Parts that the bootstrap does not need."""

_DRAIN_STOPPED = "Decide on an offset, then run `wardflow streams rewind TOPIC --partition NUMBER --to …`."
_ARCHIVE_STOPPED = "Its table has more records than the topic. Create the topic again, and the archive continues."

type BootstrapCheck = Callable[[Settings], list[str] | Awaitable[list[str]]]


@dataclass(frozen=True)
class PartReport:
    """The state of one part."""

    name: str
    state: Literal["running", "not answering", "not running", "turned off"]
    address: str = ""
    pid: int | None = None
    version: str = ""
    log: str = ""


@dataclass(frozen=True)
class Finding:
    """A problem or a note, and what to do about it."""

    message: str
    advice: str


@dataclass(frozen=True)
class Report:
    """The doctor's report. It contains no credentials.

    Attributes:
        stack: the state of the whole stack: `starting`, `running`, `ending`, or `not running`.
        pid: the supervisor's process id.
        notes: things that people should know, but that are no problems.
    """

    wardflow: str
    python: str
    stack: str
    pid: int | None
    folder: str
    logs: str
    disk_free_bytes: int
    parts: tuple[PartReport, ...]
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()


async def examine(settings: Settings, check_bootstrap: BootstrapCheck | None = None) -> Report:
    """Check all parts at the same time.

    Args:
        settings: the settings, as every command loads them.
        check_bootstrap: returns what is missing; `None`: `service.bootstrap.check`.
    """
    folder = settings.stack.folder.expanduser().resolve()
    supervisor = lock.holder(folder)
    recorded = read_state(folder)
    entries = elsewhere(settings) | recorded
    settings = with_addresses(settings, entries)
    # Import clients first: it can take seconds, and must not count as the time in which a server answers.
    for client in ("asyncpg", "httpx", "temporalio.client", "service.bootstrap"):
        import_module(client)
    # Parts of sources are expected only in an embedded stack.
    source_parts = () if supervisor is None else tuple(of_sources(settings))
    names = (*PARTS, *source_parts)
    results = await asyncio.gather(*(_examine_part(name, entries.get(name), settings) for name in names))
    parts = tuple(part for part, _ in results)
    free = shutil.disk_usage(nearest_existing(folder)).free
    problems = _stack_problems(folder, supervisor, recorded, entries)
    if entries:
        problems += [problem for _, problem in results if problem]
    if free < DISK_NEEDED:
        problems.append(
            Finding(
                f"Only {free / 1024**3:.1f} GiB are free on the disk of {folder}.",
                "Make room: a full disk stops Postgres and the object store.",
            )
        )
    if all(part.state in ("running", "turned off") for part in parts if part.name not in OURS):
        missing = await _bootstrap_problems(settings, check_bootstrap)
        problems += missing or await stopped(settings)
    return Report(
        wardflow=version("wardflow"),
        python=platform.python_version(),
        stack=recorded.get("wardflow", {}).get("state", "starting") if supervisor else "not running",
        pid=supervisor,
        folder=str(folder),
        logs=str(folder / "logs"),
        disk_free_bytes=free,
        parts=parts,
        problems=tuple(problems),
        notes=tuple(Finding(entry["note"], ADVICE) for entry in recorded.values() if "note" in entry),
    )


def _stack_problems(folder: Path, supervisor: int | None, recorded: State, entries: State) -> list[Finding]:
    if supervisor is None and recorded:
        return [
            Finding(
                f"The stack in {folder} was killed: there is a stack.json, but its supervisor does not run.",
                "`wardflow up --detach` cleans up and starts it again; `wardflow down` only cleans up.",
            )
        ]
    if not entries:
        return [
            Finding(
                "Nothing runs, and no setting names a server.",
                "Start everything with `wardflow up --detach`, or name servers with WARDFLOW_POSTGRES__DSN, "
                "WARDFLOW_TEMPORAL__ADDRESS, WARDFLOW_S3__URL and WARDFLOW_KAFKA__BOOTSTRAP_SERVERS.",
            )
        ]
    return []


async def _examine_part(name: str, entry: Entry | None, settings: Settings) -> tuple[PartReport, Finding | None]:
    if name == "kafka" and not settings.kafka.enabled:
        return PartReport(name, "turned off"), None
    if entry is None:
        advice = "Run `wardflow down`, then `wardflow up --detach`. The stack's log has the reason."
        return PartReport(name, "not running"), Finding(f"{name} is not running.", advice)
    address = _public(entry.get("address") or entry.get("bootstrap_servers") or entry["url"])
    try:
        with waiting_for(f"{name} at {address}", "it does not answer", seconds=ANSWERS_WITHIN):
            async with asyncio.timeout(ANSWERS_WITHIN):
                health = await _ask(name, entry, settings)
    except TimeoutError:
        health = Health(problem=f"{name} did not answer within {ANSWERS_WITHIN:.0f} seconds.")
    log = entry.get("log", "")
    report = PartReport(
        name=name,
        state="not answering" if health.problem else "running",
        address=address,
        pid=entry.get("pid"),
        version=health.version or entry.get("version", ""),
        log=log,
    )
    if not health.problem:
        return report, too_old(health.version) if name == "postgres" else None
    advice = (
        f"Read its log {log}."
        if log
        else "It is not part of this stack. Check the server, and the setting that names it."
    )
    return report, Finding(health.problem, advice)


def too_old(version: str) -> Finding | None:
    """The problem of a version of Postgres; `None` if it is new enough."""
    try:
        check_version(version)
    except PostgresTooOld as error:
        return Finding(error.message, error.advice)
    return None


def _ask(name: str, entry: Entry, settings: Settings) -> Awaitable[Health]:
    match name:
        case "postgres":
            return postgres.health(entry["url"])
        case "temporal":
            return temporal.health(settings)
        case "s3":
            return s3.health(entry["url"])
        case "kafka":
            return kafka.health(kafka_connection(settings))
        case _:
            return own.health(entry["health_url"])


async def _bootstrap_problems(settings: Settings, check: BootstrapCheck | None) -> list[Finding]:
    try:
        if check is None:
            check = _bootstrap_check()
        async with asyncio.timeout(BOOTSTRAP_WITHIN):
            # In a thread, since `check` may block. An asynchronous `check` returns an awaitable.
            found: Any = await asyncio.to_thread(check, settings)
            if isinstance(found, Awaitable):
                found = await found
    except WardflowError as error:
        return [Finding(f"The bootstrap could not be checked: {error.message}", error.advice)]
    except Exception as error:  # noqa: BLE001 - the report must be complete in spite of any error
        return [
            Finding(
                f"The bootstrap could not be checked: {type(error).__name__}: {error}",
                "Run `wardflow migrate`. Its error has more details.",
            )
        ]
    return [Finding(each, "Run `wardflow migrate`. It can be run at any time, and repeatedly.") for each in found]


async def stopped(settings: Settings) -> list[Finding]:
    """The stopped partitions, which need a decision. Paused partitions are no problem."""
    if not settings.kafka.enabled:
        return []
    declared = topics(settings)
    try:
        async with asyncio.timeout(ANSWERS_WITHIN), warehouse(settings, size=1) as pool:
            drains = await Offsets(pool).of(feed.topic for feed in declared.drained)
            archives = await Archives(pool).status(declared, {})
    except (WardflowError, asyncpg.PostgresError, *DISCONNECTED) as error:
        return [Finding(f"Streams cannot be checked ({type(error).__name__}).", "Try again in a moment.")]
    return [
        Finding(f"The {what} of {each.topic}/{each.partition} has stopped: {each.reason}", advice)
        for what, found, advice in (("drain", drains, _DRAIN_STOPPED), ("archive", archives, _ARCHIVE_STOPPED))
        for each in found
        if each.state == "stopped"
    ]


def _bootstrap_check() -> BootstrapCheck:
    check: BootstrapCheck = import_module("service.bootstrap").check
    return check


def _public(address: str) -> str:
    """An address without credentials."""
    url = urlsplit(address)
    return address if url.username is None else f"{url.hostname}:{url.port or 5432}{url.path}"
