"""Kafka's jars: named with their hashes in `kafka.lock`, fetched once into a folder that all stacks of a user share.

`python -m service.stack.jars FOLDER [REPOSITORY]` fetches what is missing there: a process of its own, so that it can
be ended at any moment. `python -m service.stack.jars --lock` resolves the versions below anew and writes the lock.
"""

import fcntl
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from library.contracts.errors import WardflowError

LOCK = Path(__file__).with_name("kafka.lock")
WANTED = ("org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")
"""Resolved one by one: of several at once jgo would let the last one's POM manage the versions of all."""

VERSION = WANTED[0].rpartition(":")[2]
"""Of Kafka."""

_AT_ONCE = 4
_TIMEOUT = 30
"""Seconds without an answer after which the source of the jars counts as unreachable."""


class JarsUnavailable(WardflowError):
    """Kafka's jars are not on this machine and cannot be fetched."""

    default_advice = (
        "Connect the machine once, or name a Maven repository that it reaches by WARDFLOW_STACK__MAVEN_REPOSITORY, or "
        "a Kafka of your own by WARDFLOW_KAFKA__BOOTSTRAP_SERVERS, or go without by WARDFLOW_KAFKA__ENABLED=false."
    )


@dataclass(frozen=True)
class Jar:
    """One line of the lock.

    Attributes:
        coordinate: group:artifact:version.
        sha256: of the file, in hexadecimal.
    """

    coordinate: str
    sha256: str

    @property
    def file(self) -> str:
        """The name by which Maven knows the file."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked() -> tuple[Jar, ...]:
    """Every jar that the lock names, in its order, which is that of the class path."""
    lines = (line for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return tuple(Jar(*line.split()) for line in lines)


def choose_folder(wanted: Path | None, stack: Path) -> Path:
    """Choose where the jars are kept.

    Args:
        wanted: the folder that a setting names.
        stack: the stack's folder, which takes them where the user's cache folder cannot be used.
    """
    if wanted is not None:
        return wanted.expanduser().resolve()
    usual = _cache_folder()
    if usual is not None and (_can_write(usual) or not missing(usual, locked())):
        return usual
    return stack / "jars"


def _cache_folder() -> Path | None:
    """The folder for jars in this user's cache; `None` without a home folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():
        return cache / "wardflow" / "jars"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "wardflow" / "jars" if home.is_dir() else None


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def missing(folder: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Those that are not in the folder, or not with their bytes: 45 MB are hashed in 0.1 s."""
    return [jar for jar in jars if not _is_whole(folder / jar.file, jar)]


def fetch(folder: Path, repository: str | None = None) -> None:
    """Fetch what is missing; of several processes one does, and the others find it.

    Args:
        folder: made where it is missing.
        repository: a Maven repository instead of the one that jgo knows.

    Raises:
        JarsUnavailable: a jar cannot be had, or is not the one that the lock names.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle, ThreadPoolExecutor(_AT_ONCE) as threads:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for _ in threads.map(lambda jar: _fetch(jar, folder, repository), missing(folder, locked())):
            pass


def _fetch(jar: Jar, folder: Path, repository: str | None) -> None:
    # Imported where it is needed: jgo brings `requests`, and nearly every start finds the jars where they are.
    import requests
    from jgo.maven import MavenContext

    # jgo writes straight to the file's place and only warns of a wrong checksum: it gets a place of its own.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as draft:
        remote = {"repository": repository.rstrip("/")} if repository else None
        context = MavenContext(repo_cache=Path(draft), remote_repos=remote, timeout=_TIMEOUT)
        try:
            found = context.create_dependency(jar.coordinate).artifact.resolve()
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise JarsUnavailable(
                f"Kafka's jar {jar.coordinate} could not be fetched ({type(error).__name__})."
            ) from error
        if not _is_whole(found, jar):
            raise JarsUnavailable(
                f"What was fetched as Kafka's jar {jar.coordinate} is not what kafka.lock names: its SHA-256 differs.",
                advice="Do not use that source of jars. " + JarsUnavailable.default_advice,
            )
        found.replace(folder / jar.file)


def _is_whole(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def write_lock() -> None:
    """Resolve `WANTED` with all that they need, and write down what came: to be looked at before it is kept."""
    from jgo.maven import Dependency, MavenContext

    with tempfile.TemporaryDirectory() as draft:
        context = MavenContext(repo_cache=Path(draft), timeout=_TIMEOUT)
        found: dict[str, Dependency] = {}
        for coordinate in WANTED:
            asked, needed = context.resolver.resolve([context.create_dependency(coordinate)])
            for each in (*asked, *needed):
                if each.scope not in ("test", "provided"):
                    found.setdefault(f"{each.groupId}:{each.artifactId}", each)
        lines = [
            f"{name}:{each.version} {hashlib.sha256(each.artifact.resolve().read_bytes()).hexdigest()}"
            for name, each in sorted(found.items())
        ]
    heading = "# Apache Kafka and all that it needs: Maven coordinate and SHA-256. Written by `make lock`."
    LOCK.write_text("\n".join([heading, *lines]) + "\n")


def main() -> None:
    """Fetch, or write the lock."""
    if sys.argv[1:] == ["--lock"]:
        write_lock()
        return
    folder, *repository = sys.argv[1:]
    try:
        fetch(Path(folder), *repository)
    except JarsUnavailable as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
