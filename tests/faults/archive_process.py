"""An archive of one topic, to be killed: `python -m tests.faults.archive_process TOPIC`; servers by the environment."""

import asyncio
import sys

from config.settings import Settings
from library.contracts.errors import WardflowError
from library.lake.archive import AppendEvery, Archive
from service.resources import kafka_connection, lake_storage


async def main(topic: str) -> None:
    """Archive until killed, as the workflow's attempts do."""
    settings = Settings()
    archive = Archive(kafka_connection(settings), lake_storage(settings), topic, AppendEvery(seconds=0.05))
    while True:
        try:
            done = await archive.run(0.5)
        except WardflowError as error:
            print(type(error).__name__, flush=True)  # noqa: T201 - the test reads it
        else:
            print(done.records, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
