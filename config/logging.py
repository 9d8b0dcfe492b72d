"""Logs to standard error: lines for people, or JSON for machines. They name runs, never patients."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

from config.sections import LogSettings

_FRAMES = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Traces without the frames' variables, which hold rows and passwords."""


class _Line:
    """A logger of structlog's that writes where the standard library's handler does, and past all of its machinery.

    That took three quarters of a line's time, and the API writes a line for each request.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write a line."""
        handler = next((each for each in logging.root.handlers if isinstance(each, logging.StreamHandler)), None)
        (handler.stream if handler else sys.stderr).write(line + "\n")

    debug = info = warning = error = critical = exception = msg


type _Event = MutableMapping[str, Any]
_LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()} | {"exception": logging.ERROR}


def _unless_quiet(_: Any, method: str, event: _Event) -> _Event:  # noqa: ANN401 - structlog's
    if not logging.root.isEnabledFor(_LEVELS[method]):
        raise structlog.DropEvent
    return event


def _json(event: Any, **_: Any) -> str:  # noqa: ANN401 - structlog's
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
    structlog.configure(
        processors=[_unless_quiet, *shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=_Line,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level)
    for chatty in ("httpx", "httpcore", "alembic", "urllib3", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
