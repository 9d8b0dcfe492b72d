"""The commands, as somebody types them, on a database of their own."""

from collections.abc import Callable

import pytest

from config.settings import Settings
from service.resources import warehouse_dsn
from tests.support.commands import Commands
from tests.support.databases import named


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
