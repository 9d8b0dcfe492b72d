"""`stack.json`: the current state and addresses of the stack, for people, scripts and `config.settings`."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from config.settings import Settings
from config.stack_file import SERVERS, is_without_kafka, plain
from service.stack.files import read_json, write_json
from service.stack.part import Entry

type State = dict[str, Entry]


class StackFile:
    """The file. Only the process that holds the folder's lock writes it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.state: State = {
            "wardflow": {
                "pid": os.getpid(),
                "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "version": version("wardflow"),
                "state": "starting",
            }
        }

    def become(self, state: Literal["starting", "running", "ending"]) -> None:
        """Set the state of the whole stack."""
        self.state["wardflow"]["state"] = state
        self.write()

    def put(self, entries: Mapping[str, Entry]) -> None:
        """Add or replace entries."""
        self.state |= entries
        self.write()

    def write(self) -> None:
        """Write the file."""
        write_json(self._file, self.state)

    def remove(self) -> None:
        """Remove the file, since the stack has ended."""
        self._file.unlink(missing_ok=True)


def read_state(folder: Path) -> State:
    """The content of `stack.json`; empty if there is none."""
    return {name: entry for name, entry in read_json(folder / "stack.json").items() if isinstance(entry, dict)}


def with_addresses(settings: Settings, state: State) -> Settings:
    """The settings with the addresses and credentials of a running stack."""
    told = {server.section: server.in_settings(state) for server in SERVERS if server.part in state}
    return _changed(settings, told)


def without_stale_addresses(settings: Settings, stale: State) -> Settings:
    """The settings without the addresses from the `stack.json` of a stack that was killed. Remove that file first.

    Otherwise a server that died with its supervisor would look like an external one, and would not be started.
    """
    fresh = Settings(stack=settings.stack)
    changed: dict[str, dict[str, Any]] = {}
    for server in SERVERS:
        had = plain(getattr(getattr(settings, server.section), server.address))
        if had == server.in_settings(stale).get(server.address):
            section = getattr(fresh, server.section)
            changed[server.section] = {name: getattr(section, name) for name in server.settings}
    if not settings.kafka.enabled and is_without_kafka(
        stale
    ):  # Kafka may have been turned off for the killed stack only
        changed["kafka"] = changed.get("kafka", {}) | {"enabled": fresh.kafka.enabled}
    return _changed(settings, changed)


def elsewhere(settings: Settings) -> State:
    """The entries of parts that settings name and this stack does not run. They have no process id and no log."""
    entries: State = {}
    for server in SERVERS:
        section = getattr(settings, server.section)
        if getattr(section, "enabled", True):  # of what is turned off, an address says nothing
            entries |= server.in_stack_file(section)
    return entries


def _changed(settings: Settings, told: Mapping[str, Mapping[str, Any]]) -> Settings:
    sections = {name: getattr(settings, name) for name in told}
    update = {name: type(each).model_validate(dict(each) | dict(told[name])) for name, each in sections.items()}
    return settings.model_copy(update=update)
