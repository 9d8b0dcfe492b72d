"""Logs to standard error: lines for people, or JSON for machines. They name runs, never patients."""

import logging
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any, TextIO

import msgspec
import structlog

from config.sections import LogSettings

_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Traces without the frames' variables, which hold rows and passwords."""


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes where `sys.stderr` points at the moment, unless it is told another stream."""

    def __init__(self) -> None:
        self._told: TextIO | None = None
        super().__init__(sys.stderr)
        self._told = None

    @property
    def stream(self) -> TextIO:
        return self._told or sys.stderr

    @stream.setter
    def stream(self, told: TextIO) -> None:
        self._told = told


class _Line:
    """A logger of structlog's that writes where the standard library's handler does, and past all of its machinery.

    That took three quarters of a line's time, and the API writes a line for each request.
    """

    def __init__(self, handler: _StandardError, name: str = "") -> None:
        self.name = name
        self._handler = handler

    def msg(self, line: str) -> None:
        """Write a line."""
        self._handler.stream.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


type _Event = MutableMapping[str, Any]
_LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()} | {"exception": logging.ERROR}


def _unless_quiet(_: object, method: str, event: _Event) -> _Event:
    if not logging.root.isEnabledFor(_LEVELS[method]):
        raise structlog.DropEvent
    return event


def _json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def configure_logging(settings: LogSettings) -> None:
    """Send structlog's and the standard library's records the same way."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.types.Processor] = (
        [structlog.processors.ExceptionRenderer(_FRAMES), structlog.processors.JSONRenderer(_json)]
        if settings.format == "json"
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = _StandardError()
    structlog.configure(
        processors=[_unless_quiet, *shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=partial(_Line, handler),
        cache_logger_on_first_use=True,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level)
    for chatty in ("httpx", "httpcore", "alembic", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # Lines and traces for each try while a server is away, which whoever needs it says in a sentence.
    for silent in ("asyncpg.pool", "urllib3"):
        logging.getLogger(silent).setLevel(max(logging.ERROR, root.level))
    logging.getLogger("aiokafka").setLevel(max(logging.CRITICAL, root.level))
