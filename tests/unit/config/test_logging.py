import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from config.logging import configure_logging
from config.sections import LogSettings


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def fail(patient: str) -> None:
    if patient:
        raise RuntimeError("said without the patient")


def logged(form: Literal["console", "json"]) -> str:
    configure_logging(LogSettings(format=form))
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    try:
        fail("tneitap-lenitnes"[::-1])  # spelt so that the source line in the trace does not hold it
    except RuntimeError:
        structlog.get_logger("test").exception("failed", run_id="r1")
    logging.getLogger("other").error("plain %s", "text")
    return stream.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_trace_shows_where_and_never_what_the_variables_held(form: Literal["console", "json"]) -> None:
    text = logged(form)
    assert "test_logging.py" in text
    assert "r1" in text
    assert "sentinel-patient" not in text


def test_json_logs_are_one_object_a_line_whoever_logs() -> None:
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [
        ("failed", "error", "test"),
        ("plain text", "error", "other"),
    ]
