"""The servers of the settings, for people: role, public address and setting of each."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from config.settings import Settings


@dataclass(frozen=True)
class Server:
    """A server that a process needs.

    Attributes:
        role: what it is for, as in "Postgres".
        address: without credentials.
        hosts: names or addresses; one that resolves is enough.
        setting: the variable that names it.
    """

    role: str
    address: str
    hosts: tuple[str, ...]
    setting: str

    def __str__(self) -> str:
        return f"{self.role} at {self.address}" if self.address else self.role


def postgres_server(settings: Settings, *, read_only: bool = False) -> Server:
    """Where the warehouse is."""
    postgres = settings.postgres
    dsn = postgres.read_only_dsn if read_only else postgres.dsn
    setting = "WARDFLOW_POSTGRES__READ_ONLY_DSN" if read_only else "WARDFLOW_POSTGRES__DSN"
    return _at("Postgres", dsn.get_secret_value() if dsn else "", setting)


def store_server(settings: Settings) -> Server:
    """Where objects are."""
    return _at("the object store", settings.s3.url or "", "WARDFLOW_S3__URL")


def temporal_server(settings: Settings) -> Server:
    """Where runs are orchestrated."""
    return _at("Temporal", f"//{settings.temporal.address or ''}", "WARDFLOW_TEMPORAL__ADDRESS")


def api_server(settings: Settings) -> Server:
    """Where the API is."""
    return _at("the API", settings.api.url or "", "WARDFLOW_API__URL")


def kafka_server(settings: Settings) -> Server:
    """Where Kafka's first brokers are."""
    places = [place.strip() for place in (settings.kafka.bootstrap_servers or "").split(",") if place.strip()]
    hosts = tuple(place.rpartition(":")[0].strip("[]") for place in places)
    return Server("Kafka", ", ".join(places), hosts, "WARDFLOW_KAFKA__BOOTSTRAP_SERVERS")


def _at(role: str, url: str, setting: str) -> Server:
    """The hosts of a Postgres URL; none where it has several, or the folder of a socket."""
    place = urlsplit(url).netloc.rpartition("@")[2]
    try:
        host = urlsplit(f"//{place}").hostname if "," not in place else None
    except ValueError:
        host = None
    return Server(role, place, (host,) if host else (), setting)
