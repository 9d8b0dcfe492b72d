"""A server that goes away and comes back while others go on using it: a door before it that can be shut."""

import asyncio
from contextlib import suppress
from typing import Self


class Door:
    """Forwards connections to a server on this machine.

    Attributes:
        address: where to connect instead.
    """

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._listening_on = 0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def address(self) -> str:
        """Where to connect instead."""
        return f"127.0.0.1:{self._listening_on}"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shut()

    async def open(self) -> None:
        """Let connections through: for the first time, or again on the same port."""
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._listening_on)
            self._listening_on = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Break every connection and refuse new ones, as when the server was killed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def jam(self) -> None:
        """Keep connections and let nothing through, as when the server hangs."""
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, int(self._port))
        for pipe in (self._pipe(reader, there_writer), self._pipe(there_reader, writer)):
            task = asyncio.create_task(pipe)
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                while chunk := await reader.read(65_536):
                    await self._open.wait()
                    writer.write(chunk)
                    await writer.drain()
        finally:
            writer.transport.abort()
