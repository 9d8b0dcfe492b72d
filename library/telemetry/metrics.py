"""This program's own metrics, for Prometheus. Labels are sources, datasets and outcomes, never ids or texts."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from library.contracts.errors import WardflowError
from library.contracts.loads import DatasetCounts, LoadOutcome, LoadRequest, LoadResult

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)

ROWS = Counter(
    "wardflow_rows_total", "Rows of committed loads, by what became of them.", ("source", "dataset", "outcome")
)
LOADS = Counter(
    "wardflow_loads_total", "Loads, by how they ended; an error's type is an outcome.", ("source", "outcome")
)
LOAD_SECONDS = Histogram(
    "wardflow_load_seconds", "From the call of the loader to its end.", ("source",), buckets=_SECONDS
)
LOADED_BYTES = Counter("wardflow_loaded_bytes_total", "Bytes of staged objects that were committed.", ("source",))
STAGE_SECONDS = Histogram(
    "wardflow_stage_seconds", "From a landed object to its staged rows.", ("source",), buckets=_SECONDS
)
STAGED_BYTES = Counter("wardflow_staged_bytes_total", "Bytes of landed objects that were read.", ("source",))

_OUTCOMES = ("rejected", "repeated", "inserted", "updated", "unchanged", "deleted")


@contextmanager
def observe_load(request: LoadRequest) -> Iterator[Callable[[LoadResult], None]]:
    """Measure a load. The caller passes the result to the function that it gets."""
    source = request.identity.source
    began = time.monotonic()

    def observed(result: LoadResult) -> None:
        LOADS.labels(source, result.outcome).inc()
        if result.outcome is LoadOutcome.ALREADY_LOADED:
            return
        LOADED_BYTES.labels(source).inc(sum(entry.object.size for entry in request.staged))
        count_rows(source, result.counts)

    try:
        yield observed
    except WardflowError as error:
        LOADS.labels(source, type(error).__name__).inc()
        raise
    finally:
        LOAD_SECONDS.labels(source).observe(time.monotonic() - began)


def count_rows(source: str, by_dataset: Mapping[str, DatasetCounts]) -> None:
    """Count the rows of a committed load by outcome."""
    for dataset, counts in by_dataset.items():
        for outcome in _OUTCOMES:
            ROWS.labels(source, dataset, outcome).inc(getattr(counts, outcome))


@contextmanager
def observe_stage(source: str, size: int) -> Iterator[None]:
    """Measure the reading of a landed object; `size` is in bytes."""
    with STAGE_SECONDS.labels(source).time():
        yield
    STAGED_BYTES.labels(source).inc(size)
