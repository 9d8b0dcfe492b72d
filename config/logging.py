"""Logs to standard error, as lines for people or as JSON. They contain run ids, but never patient data."""

import logging
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any, TextIO

import msgspec
import structlog

from config.sections import LogSettings

_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Traces without local variables, which may contain rows and passwords."""


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`, unless another stream is set."""

    def __init__(self) -> None:
        self._other: TextIO | None = None
        super().__init__(sys.stderr)
        self._other = None

    @property
    def stream(self) -> TextIO:
        return self._other or sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        self._other = stream


class _LineWriter:
    """A structlog logger that writes lines directly to the handler's stream, without the `logging` module.

    The `logging` module took three quarters of a line's time, and the API writes a line for each request.
    """

    def __init__(self, handler: _StderrHandler, name: str = "") -> None:
        self.name = name
        self._handler = handler

    def msg(self, line: str) -> None:
        """Write a line."""
        self._handler.stream.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


type _LogEvent = MutableMapping[str, Any]
_LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()} | {"exception": logging.ERROR}


def _drop_below_level(_: object, method: str, event: _LogEvent) -> _LogEvent:
    if not logging.root.isEnabledFor(_LEVELS[method]):
        raise structlog.DropEvent
    return event


def _json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def configure_logging(settings: LogSettings) -> None:
    """Write the lines of structlog and of the `logging` module in the same format."""
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
    handler = _StderrHandler()
    structlog.configure(
        processors=[_drop_below_level, *shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=partial(_LineWriter, handler),
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
    # While a server is away these log a trace for each try. The process that waits logs one line instead.
    for silent in ("asyncpg.pool", "urllib3"):
        logging.getLogger(silent).setLevel(max(logging.ERROR, root.level))
    logging.getLogger("aiokafka").setLevel(max(logging.CRITICAL, root.level))
