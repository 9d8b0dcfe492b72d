import asyncio
import socket

from service.listening import listen


async def test_a_connection_that_was_accepted_sends_without_delay() -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    opened = listen("127.0.0.1", 0)
    async with await asyncio.start_server(accept, sock=opened):
        _, writer = await asyncio.open_connection(*opened.getsockname())
        assert await accepted
        writer.close()
