"""Which user Postgres runs as: it refuses to run as root.

It imports nothing but the standard library and our errors, and runs on Python 3.8: `preflight.py` asks it before
anything is installed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from library.contracts.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

USER = "embedded_postgres"
"""The user that runs Postgres for root unless `WARDFLOW_STACK__USER` names another."""

LEASH = Path(__file__).with_name("leash.py")
_PROBE_SECONDS = 30
_UMASK_CLOSED = 0o055
"""Bits of a umask that keep other users from reading what is installed."""


@dataclass(frozen=True)
class Identity:
    """How Postgres is started.

    Attributes:
        leash: as `leash.py` takes it; empty: as our own user.
        owner: user and group of its files, outside of any namespace; `None`: the user that creates them.
        note: what people should know about it; empty where there is nothing to say.
    """

    leash: str = ""
    owner: tuple[int, int] | None = None
    note: str = ""


OURSELVES = Identity()

NAMESPACE_NOTE = "Postgres runs in a user namespace: it has no capabilities, but it owns the files of root."
USER_NOTE = "Postgres runs as the user {}, who can read every file of this machine: the folder of the stack is closed."
ADVICE = (
    "That is enough for a trial. For patient data, run Wardflow as a user of its own: `useradd --create-home wardflow`."
)


def choose(folder: Path, programs: Sequence[Path], wanted: str | None = None) -> Identity:
    """Choose as which user Postgres runs: for root another one, or a user namespace.

    Args:
        folder: the stack's folder; it exists.
        programs: the folders with all files of Postgres.
        wanted: the user that a setting names.

    Raises:
        ConfigurationError: this machine allows neither, or not the user that the setting names.
    """
    if os.geteuid() != 0:
        _refuse_another_user(wanted)
        return OURSELVES
    user = _find_or_make(wanted or USER)
    if user is not None and _reaches(_as_user(user), folder, programs):
        return _as_user(user)
    if wanted:
        raise _cannot_reach(wanted, folder, programs[0])
    if _reaches(_in_namespace(), folder, programs):
        return _in_namespace()
    raise _no_way(folder, programs[0])


def check_before_install(folder: Path, checkout: Path, wanted: str | None = None) -> None:
    """Check that `choose` will find an identity after the installation; nothing is changed.

    Args:
        folder: the stack's folder, or the nearest folder above it that exists.
        checkout: where the programs will be installed.
        wanted: the user that a setting names.

    Raises:
        ConfigurationError: this machine allows neither another user nor a user namespace.
    """
    if os.geteuid() != 0:
        _refuse_another_user(wanted)
        return
    name = wanted or USER
    user = _find(name)
    if user is None and name == USER and shutil.which("useradd"):
        user = pwd.struct_passwd((name, "", 65_534, 65_534, "", "", ""))  # any user but root: it owns nothing here
    readable = [checkout / "pyproject.toml"]
    closed = _umask() & _UMASK_CLOSED
    if user is not None and not closed and _reaches(_as_user(user), folder, readable):
        return
    if wanted and user is not None and closed:
        raise ConfigurationError(
            f"The umask {_umask():03o} closes what is installed to the user {wanted}, whom WARDFLOW_STACK__USER names.",
            advice="Run `umask 022` first, or take the setting away.",
        )
    if wanted:
        raise _cannot_reach(wanted, folder, checkout)
    if not _reaches(_in_namespace(), folder, readable):
        raise _no_way(folder, checkout)


def hand_over(data: Path, identity: Identity) -> None:
    """Give a cluster's files to the user that works on them now; Postgres must not run.

    A checkout can move to a place that the former user cannot reach, or out of one.
    """
    if identity.owner is None or (data.stat().st_uid, data.stat().st_gid) == identity.owner:
        return
    for path in (*data.rglob("*"), data):  # the folder comes last: until then an interrupted change is repeated
        os.chown(path, *identity.owner, follow_symlinks=False)


def _as_user(user: pwd.struct_passwd) -> Identity:
    note = USER_NOTE.format(user.pw_name)
    return Identity(f"user:{user.pw_uid}:{user.pw_gid}", (user.pw_uid, user.pw_gid), note)


def _in_namespace() -> Identity:
    # initdb looks its own user up by number, so it has to be one that this machine knows.
    shown = _find(USER) or next((each for each in pwd.getpwall() if each.pw_uid != 0), None)
    numbers = f"{shown.pw_uid}:{shown.pw_gid}" if shown else "65534:65534"
    return Identity(f"namespace:{numbers}", (os.geteuid(), os.getegid()), NAMESPACE_NOTE)


def _reaches(identity: Identity, folder: Path, programs: Sequence[Path]) -> bool:
    """Try it: a process of this identity writes below a private folder, and reads the programs."""
    try:
        with tempfile.TemporaryDirectory(prefix=".reach-", dir=folder) as private:
            own = Path(private, "own")
            own.mkdir(mode=0o700)
            if identity.owner:
                os.chown(own, *identity.owner)
            command = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), "9", identity.leash]
            tried = subprocess.run(  # noqa: S603 - the command is our own
                [*command, "--reach", str(own), *map(str, programs)],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROBE_SECONDS,
            )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _find_or_make(name: str) -> pwd.struct_passwd | None:
    if found := _find(name):
        return found
    if name == USER:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - the command is our own
        except (OSError, subprocess.CalledProcessError):
            return _find(name)  # another stack may have made it in this moment
    return _find(name)


def _refuse_another_user(wanted: str | None) -> None:
    if wanted and wanted != _own_name():
        raise ConfigurationError(
            f"WARDFLOW_STACK__USER names the user {wanted}, but only root can run Postgres as another user.",
            advice="Run Wardflow as root, or without that setting.",
        )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


def _cannot_reach(name: str, folder: Path, programs: Path) -> ConfigurationError:
    if _find(name) is None:
        return ConfigurationError(
            f"WARDFLOW_STACK__USER names the user {name}, who does not exist on this machine.",
            advice=f"Make the user (`useradd --system {name}`), or take the setting away.",
        )
    return ConfigurationError(
        f"WARDFLOW_STACK__USER names the user {name}, who cannot use {programs} and {folder}.",
        advice="Move them to a place that this user can enter and read, or take the setting away.",
    )


def _no_way(folder: Path, programs: Path) -> ConfigurationError:
    return ConfigurationError(
        "Postgres does not run as root: make a user (`useradd --create-home wardflow`) and run Wardflow as that user, "
        "from a checkout in its home folder; or move the checkout to a folder that other users can enter, and name "
        "the user for Postgres by WARDFLOW_STACK__USER.",
        advice=f"Other users cannot use {programs} or {folder}, and this machine does not allow user namespaces.",
    )
