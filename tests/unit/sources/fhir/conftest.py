"""The client is tried on the same web server as downloads."""

from tests.unit.web.conftest import server

__all__ = ["server"]
