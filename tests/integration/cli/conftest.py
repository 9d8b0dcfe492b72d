"""The commands, as somebody types them, on a database of their own."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from config.settings import Settings
from service.cli import app
from service.resources import warehouse_dsn
from tests.support.databases import named


@dataclass(frozen=True)
class Commands:
    """Calls commands; each has an event loop of its own, so they run in a thread."""

    environment: dict[str, str]

    async def call(self, *words: str) -> Result:
        """Call a command, whatever comes of it."""
        result = await asyncio.to_thread(CliRunner(env=self.environment).invoke, app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    async def done(self, *words: str) -> str:
        """Call a command that does what it should; what it printed."""
        result = await self.call(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def answer(self, *words: str) -> Any:
        """What a command answers to a script."""
        return json.loads(await self.done(*words, "--json"))


@pytest.fixture
def commands_with(settings: Settings) -> Callable[..., Commands]:
    """Commands that are told more settings."""
    dsn, reader = warehouse_dsn(settings), settings.postgres.read_only_dsn
    assert reader is not None
    told = {
        "STACK__FOLDER": str(settings.stack.folder),
        "POSTGRES__DSN": dsn,
        "POSTGRES__READ_ONLY_DSN": named(reader.get_secret_value(), dsn.rpartition("/")[2]),
        "WORKER__QUEUE_PREFIX": settings.worker.queue_prefix,
    }
    return lambda **more: Commands({f"WARDFLOW_{name}": value for name, value in (told | more).items()})


@pytest.fixture
def commands(commands_with: Callable[..., Commands]) -> Commands:
    """Commands on this test's database."""
    return commands_with()
