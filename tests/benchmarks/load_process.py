"""A process that does one load and says how much memory it took: `python -m tests.benchmarks.load_process`."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import SecretStr

from config.servers import PostgresSettings
from config.settings import Settings, StackSettings
from library.contracts.loads import LoadRequest
from library.warehouse.loader import Loader
from library.warehouse.pool import create_pool
from library.warehouse.sessions import Attempt
from service.resources import object_store, warehouse_dsn
from service.worker import workers  # noqa: F401 - a worker's base holds all that a worker imports
from tests.benchmarks.staged_readings import limits
from tests.support.made_up import CATALOGUE, READING

_LOOK_EVERY = 0.005


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Looks at this process's resident memory all the while; the list's only item is the most that was seen."""
    this, over = psutil.Process(), threading.Event()
    most = [this.memory_info().rss]

    def look() -> None:
        while not over.wait(_LOOK_EVERY):
            most[0] = max(most[0], this.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        over.set()
        looking.join()


async def main() -> None:
    """Read what to load from standard input, and say what it took."""
    asked = json.load(sys.stdin)
    settings = Settings(
        environment="test",
        postgres=PostgresSettings(dsn=SecretStr(asked["dsn"])),
        stack=StackSettings(folder=Path(asked["folder"])),
    )
    pool, store = await create_pool(warehouse_dsn(settings), size=4), object_store(settings)
    await asyncio.to_thread(store.bucket_exists)
    base = psutil.Process().memory_info().rss
    with peak_memory() as peak:
        loader = Loader(pool, store, CATALOGUE, limits(settings))
        result = await loader.load(LoadRequest.model_validate(asked["request"]), attempt=Attempt("benchmrk"))
    print(json.dumps({"base": base, "peak": peak[0], "inserted": result.counts[READING.name].inserted}))  # noqa: T201
    await pool.close()
    store.close()


if __name__ == "__main__":
    asyncio.run(main())
