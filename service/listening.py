"""Opens the sockets of this program's servers, and a server that does not handle signals."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class SignallessServer(uvicorn.Server):
    """Does not handle signals. uvicorn would end the process with the signal after the server has stopped."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Open a socket; port 0 is any free port.

    TCP_NODELAY is set, as asyncio sets it only on sockets that it opens itself. Without it, an answer of more than one
    write waits 40 ms for the caller's acknowledgement.
    """
    opened = socket.create_server((host, port))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
    return opened
