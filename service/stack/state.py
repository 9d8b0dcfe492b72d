"""`stack.json`: the current state and addresses of the stack, for people, scripts and `config.settings`."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, SecretStr

from config.settings import Settings
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
    sections: dict[str, BaseModel] = {}
    update: dict[str, object]
    if postgres := state.get("postgres"):
        update = {"dsn": SecretStr(postgres["url"]), "read_only_dsn": _secret(postgres["read_only_url"])}
        sections["postgres"] = settings.postgres.model_copy(update=update)
    if temporal := state.get("temporal"):
        update = {"address": temporal["address"], "namespace": temporal["namespace"]}
        update["ui_url"] = state.get("temporal_ui", {}).get("url")
        sections["temporal"] = settings.temporal.model_copy(update=update)
    if s3 := state.get("s3"):
        update = {"url": s3["url"], "bucket": s3["bucket"]}
        update |= {name: _secret(s3[name]) for name in ("access_key", "secret_key")}
        sections["s3"] = settings.s3.model_copy(update=update)
    if kafka := state.get("kafka"):
        update = {"bootstrap_servers": kafka["bootstrap_servers"]}
        sections["kafka"] = settings.kafka.model_copy(update=update)
    return settings.model_copy(update=sections)


def without_stale_addresses(settings: Settings, stale: State) -> Settings:
    """The settings without the addresses from the `stack.json` of a stack that was killed. Remove that file first.

    Otherwise a server that died with its supervisor would look like an external one, and would not be started.
    """
    fresh = Settings(stack=settings.stack)
    sections: dict[str, BaseModel] = {}
    update: dict[str, object]
    if _text(settings.postgres.dsn) == stale.get("postgres", {}).get("url"):
        update = {"dsn": fresh.postgres.dsn, "read_only_dsn": fresh.postgres.read_only_dsn}
        sections["postgres"] = settings.postgres.model_copy(update=update)
    if settings.temporal.address == stale.get("temporal", {}).get("address"):
        update = {"address": fresh.temporal.address, "ui_url": fresh.temporal.ui_url}
        sections["temporal"] = settings.temporal.model_copy(update=update)
    if settings.s3.url == stale.get("s3", {}).get("url"):
        update = {"url": fresh.s3.url, "access_key": fresh.s3.access_key, "secret_key": fresh.s3.secret_key}
        sections["s3"] = settings.s3.model_copy(update=update)
    if settings.kafka.bootstrap_servers == stale.get("kafka", {}).get("bootstrap_servers"):
        update = {"bootstrap_servers": fresh.kafka.bootstrap_servers}
        sections["kafka"] = settings.kafka.model_copy(update=update)
    is_off_by_file = not settings.kafka.enabled and "kafka" not in stale and bool(stale)
    if is_off_by_file:  # Kafka may have been turned off for the killed stack only
        sections["kafka"] = settings.kafka.model_copy(update={"enabled": fresh.kafka.enabled})
    return settings.model_copy(update=sections)


def elsewhere(settings: Settings) -> State:
    """The entries of parts that settings name and this stack does not run. They have no process id and no log."""
    entries: State = {}
    if settings.postgres.dsn:
        read_only = _text(settings.postgres.read_only_dsn)
        entries["postgres"] = {"url": _text(settings.postgres.dsn), "read_only_url": read_only}
    if settings.temporal.address:
        entries["temporal"] = {"address": settings.temporal.address, "namespace": settings.temporal.namespace}
        if settings.temporal.ui_url:
            entries["temporal_ui"] = {"url": settings.temporal.ui_url}
    if settings.s3.url:
        entries["s3"] = {
            "url": settings.s3.url,
            "bucket": settings.s3.bucket,
            "access_key": _text(settings.s3.access_key),
            "secret_key": _text(settings.s3.secret_key),
        }
    if settings.kafka.enabled and settings.kafka.bootstrap_servers:
        entries["kafka"] = {"bootstrap_servers": settings.kafka.bootstrap_servers}
    return entries


def _secret(text: str | None) -> SecretStr | None:
    return SecretStr(text) if text else None


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
