"""Downloads Kafka's jars once into a folder that all stacks of a user share. `kafka.lock` has their names and hashes.

`python -m service.stack.jars FOLDER [REPOSITORY]` downloads missing jars. It is a process of its own, so that it can be
ended at any moment. `python -m service.stack.jars --lock` resolves the versions below again, and writes the lock.
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
"""Resolved one by one. With several at once, jgo would take all versions from the last one's POM."""

VERSION = WANTED[0].rpartition(":")[2]
"""Kafka's version."""

_AT_ONCE = 4
_TIMEOUT = 30
"""Time-out of the repository, in seconds."""


class JarsUnavailable(WardflowError):
    """Kafka's jars are not on this machine and cannot be downloaded."""

    default_advice = (
        "Connect the machine to the network once, or name a Maven repository that it reaches with "
        "WARDFLOW_STACK__MAVEN_REPOSITORY, or your own Kafka with WARDFLOW_KAFKA__BOOTSTRAP_SERVERS, or turn Kafka "
        "off with WARDFLOW_KAFKA__ENABLED=false."
    )


@dataclass(frozen=True)
class Jar:
    """One line of the lock.

    Attributes:
        coordinate: group:artifact:version.
        sha256: the file's hash, in hexadecimal.
    """

    coordinate: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name in Maven."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked() -> tuple[Jar, ...]:
    """All jars of the lock, in its order, which is the order of the class path."""
    lines = (line for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return tuple(Jar(*line.split()) for line in lines)


def choose_folder(requested: Path | None, stack: Path) -> Path:
    """Choose the folder of the jars.

    Args:
        requested: the folder that a setting names.
        stack: the stack's folder, which is used if the user's cache folder cannot be used.
    """
    if requested is not None:
        return requested.expanduser().resolve()
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
    """The jars that are missing in the folder or have a wrong hash. Hashing all 45 MB takes 0.1 s."""
    return [jar for jar in jars if not _is_whole(folder / jar.file, jar)]


def fetch(folder: Path, repository: str | None = None) -> None:
    """Download missing jars. If several processes call this, one downloads and the others wait.

    Args:
        folder: the folder of the jars; it is created if missing.
        repository: a Maven repository instead of jgo's default.

    Raises:
        JarsUnavailable: a jar cannot be downloaded, or its hash is wrong.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle, ThreadPoolExecutor(_AT_ONCE) as threads:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for _ in threads.map(lambda jar: _fetch(jar, folder, repository), missing(folder, locked())):
            pass


def _fetch(jar: Jar, folder: Path, repository: str | None) -> None:
    # Imported here, since jgo imports `requests`, and nearly every start finds all jars.
    import requests
    from jgo.maven import MavenContext

    # jgo only warns of a wrong checksum, so it downloads to a temporary folder, and the hash is checked here.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as draft:
        remote = {"repository": repository.rstrip("/")} if repository else None
        context = MavenContext(repo_cache=Path(draft), remote_repos=remote, timeout=_TIMEOUT)
        try:
            found = context.create_dependency(jar.coordinate).artifact.resolve()
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise JarsUnavailable(
                f"Kafka's jar {jar.coordinate} could not be downloaded ({type(error).__name__})."
            ) from error
        if not _is_whole(found, jar):
            raise JarsUnavailable(
                f"The downloaded jar {jar.coordinate} has another SHA-256 than kafka.lock states.",
                advice="Do not use this repository. " + JarsUnavailable.default_advice,
            )
        found.replace(folder / jar.file)


def _is_whole(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def write_lock() -> None:
    """Resolve `WANTED` with all dependencies, and write the lock. Check the result before you commit it."""
    from jgo.maven import Dependency, MavenContext

    with tempfile.TemporaryDirectory() as draft:
        context = MavenContext(repo_cache=Path(draft), timeout=_TIMEOUT)
        found: dict[str, Dependency] = {}
        for coordinate in WANTED:
            requested, needed = context.resolver.resolve([context.create_dependency(coordinate)])
            for each in (*requested, *needed):
                if each.scope not in ("test", "provided"):
                    found.setdefault(f"{each.groupId}:{each.artifactId}", each)
        lines = [
            f"{name}:{each.version} {hashlib.sha256(each.artifact.resolve().read_bytes()).hexdigest()}"
            for name, each in sorted(found.items())
        ]
    heading = "# Apache Kafka and all that it needs: Maven coordinate and SHA-256. Written by `make lock`."
    LOCK.write_text("\n".join([heading, *lines]) + "\n")


def main() -> None:
    """Download the jars, or write the lock."""
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
