"""What the record API is held against: an endpoint that sends each body to Kafka, acks=all, and does nothing else.

No one is asked who they are, nothing is checked, keyed, logged or counted. Arguments: bootstrap servers, topic, port.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response


def main(servers: str, topic: str, port: int) -> None:
    """Serve until terminated."""
    producer: AIOKafkaProducer

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal producer
        producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
        await producer.start()
        yield
        await producer.stop()

    app = FastAPI(lifespan=lifespan)

    @app.post("/bare", status_code=202)
    async def bare(request: Request) -> Response:
        place = await producer.send_and_wait(topic, await request.body())
        return Response(b'{"partition": %d, "offset": %d}' % (place.partition, place.offset), 202)

    @app.get("/ready")
    async def ready() -> Response:
        return Response(b"ready")

    uvicorn.run(app, port=port, log_config=None, access_log=False, server_header=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
