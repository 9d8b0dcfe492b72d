"""Sockets that our own servers listen on, and a server that leaves signals to its process."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class SignallessServer(uvicorn.Server):
    """Leaves signals alone: uvicorn by itself ends its process by the signal that it has got, after all is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Listen; port 0 is any free one.

    Answers are sent without delay: asyncio sets this only on sockets that it has opened itself, and without it
    an answer of more than one write waits 40 ms for the caller's acknowledgement.
    """
    opened = socket.create_server((host, port))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
    return opened
