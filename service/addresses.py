"""Describes the servers of the settings for people: role, address and setting of each."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from config.settings import Settings


@dataclass(frozen=True)
class Server:
    """A server that a process needs.

    Attributes:
        role: the server's name for people, such as "Postgres".
        address: the address without credentials.
        hosts: names or addresses. It is enough if one of them resolves.
        setting: the variable with the address.
    """

    role: str
    address: str
    hosts: tuple[str, ...]
    setting: str

    def __str__(self) -> str:
        return f"{self.role} at {self.address}" if self.address else self.role


def postgres_server(settings: Settings, *, read_only: bool = False) -> Server:
    """The warehouse."""
    postgres = settings.postgres
    dsn = postgres.read_only_dsn if read_only else postgres.dsn
    setting = "WARDFLOW_POSTGRES__READ_ONLY_DSN" if read_only else "WARDFLOW_POSTGRES__DSN"
    return _at("Postgres", dsn.get_secret_value() if dsn else "", setting)


def store_server(settings: Settings) -> Server:
    """The object store."""
    return _at("the object store", settings.s3.url or "", "WARDFLOW_S3__URL")


def temporal_server(settings: Settings) -> Server:
    """The Temporal service."""
    return _at("Temporal", f"//{settings.temporal.address or ''}", "WARDFLOW_TEMPORAL__ADDRESS")


def api_server(settings: Settings) -> Server:
    """The API."""
    return _at("the API", settings.api.url or "", "WARDFLOW_API__URL")


def kafka_server(settings: Settings) -> Server:
    """Kafka's bootstrap servers."""
    places = [place.strip() for place in (settings.kafka.bootstrap_servers or "").split(",") if place.strip()]
    hosts = tuple(place.rpartition(":")[0].strip("[]") for place in places)
    return Server("Kafka", ", ".join(places), hosts, "WARDFLOW_KAFKA__BOOTSTRAP_SERVERS")


def _at(role: str, url: str, setting: str) -> Server:
    """Make a server from a URL. It gets no host if the URL has several hosts, or the folder of a socket."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    try:
        host = urlsplit(f"//{place}").hostname if "," not in place else None
    except ValueError:
        host = None
    return Server(role, place, (host,) if host else (), setting)
