"""All questions that the warehouse is asked by name."""

from importlib import import_module

from library.access import questions as access
from library.warehouse.queries.quarantine import REJECTIONS
from library.warehouse.queries.question import Question
from library.warehouse.queries.runs import RUNS
from library.warehouse.queries.streams import ARCHIVES, STREAMS
from service.sources import SOURCES


def all_questions() -> dict[str, Question]:
    """The questions of all sources, and of runs, refused rows, streams and access, by their names."""
    found: list[Question] = [RUNS, REJECTIONS, STREAMS, ARCHIVES, *access.QUESTIONS]
    for source in SOURCES:
        found += import_module(f"library.sources.{source.name}.questions").QUESTIONS
    return {each.name: each for each in found}
