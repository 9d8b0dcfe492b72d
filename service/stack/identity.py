"""Chooses the user that Postgres runs as, since Postgres refuses to run as root.

It imports only the standard library and `library.contracts.errors`, and runs on Python 3.8, since `preflight.py` calls
it before anything is installed.
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
"""The user that runs Postgres for root, unless `WARDFLOW_STACK__USER` names another."""

LEASH = Path(__file__).with_name("leash.py")
_PROBE_SECONDS = 30
_UMASK_CLOSED = 0o055
"""The bits of a umask that forbid other users to read installed files."""


@dataclass(frozen=True)
class Identity:
    """The user as which Postgres is started.

    Attributes:
        leash: the argument of `leash.py`; empty: the current user.
        owner: user and group of its files, outside of any namespace; `None`: the user that creates them.
        note: a note for people; may be empty.
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


def choose(folder: Path, programs: Sequence[Path], requested: str | None = None) -> Identity:
    """Choose the user for Postgres. For root it is another user, or a user namespace.

    Args:
        folder: the stack's folder, which exists.
        programs: the folders with all files of Postgres.
        requested: the user that a setting names.

    Raises:
        ConfigurationError: neither is possible on this machine, or the user of the setting cannot be used.
    """
    if os.geteuid() != 0:
        _refuse_another_user(requested)
        return OURSELVES
    user = _find_or_make(requested or USER)
    if user is not None and _reaches(_as_user(user), folder, programs):
        return _as_user(user)
    if requested:
        raise _cannot_reach(requested, folder, programs[0])
    if _reaches(_in_namespace(), folder, programs):
        return _in_namespace()
    raise _no_way(folder, programs[0])


def check_before_install(folder: Path, checkout: Path, requested: str | None = None) -> None:
    """Check that `choose` will find a user after the installation. Nothing is changed.

    Args:
            folder: the stack's folder, or the nearest existing folder above it.
            checkout: the folder where the programs will be installed.
            requested: the user that a setting names.

    Raises:
        ConfigurationError: this machine allows neither another user nor a user namespace.
    """
    if os.geteuid() != 0:
        _refuse_another_user(requested)
        return
    name = requested or USER
    user = _find(name)
    if user is None and name == USER and shutil.which("useradd"):
        user = pwd.struct_passwd((name, "", 65_534, 65_534, "", "", ""))  # stands for a user who owns no files here
    readable = [checkout / "pyproject.toml"]
    closed = _umask() & _UMASK_CLOSED
    if user is not None and not closed and _reaches(_as_user(user), folder, readable):
        return
    if requested and user is not None and closed:
        raise ConfigurationError(
            f"With the umask {_umask():03o}, the user {requested} of WARDFLOW_STACK__USER cannot read installed files.",
            advice="Run `umask 022` first, or remove the setting.",
        )
    if requested:
        raise _cannot_reach(requested, folder, checkout)
    if not _reaches(_in_namespace(), folder, readable):
        raise _no_way(folder, checkout)


def hand_over(data: Path, identity: Identity) -> None:
    """Change the owner of a cluster's files to the user that runs Postgres now. Postgres must not run.

    The user changes when a checkout is moved to a place that the former user cannot read, or away from one.
    """
    if identity.owner is None or (data.stat().st_uid, data.stat().st_gid) == identity.owner:
        return
    for path in (*data.rglob("*"), data):  # the folder comes last, so an interrupted change is done again
        os.chown(path, *identity.owner, follow_symlinks=False)


def _as_user(user: pwd.struct_passwd) -> Identity:
    note = USER_NOTE.format(user.pw_name)
    return Identity(f"user:{user.pw_uid}:{user.pw_gid}", (user.pw_uid, user.pw_gid), note)


def _in_namespace() -> Identity:
    # initdb looks up its own user by number, so the user must exist on this machine.
    shown = _find(USER) or next((each for each in pwd.getpwall() if each.pw_uid != 0), None)
    numbers = f"{shown.pw_uid}:{shown.pw_gid}" if shown else "65534:65534"
    return Identity(f"namespace:{numbers}", (os.geteuid(), os.getegid()), NAMESPACE_NOTE)


def _reaches(identity: Identity, folder: Path, programs: Sequence[Path]) -> bool:
    """Check with a process of this identity that it can write in a private folder and read the programs."""
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
            return _find(name)  # another stack may have created it at the same moment
    return _find(name)


def _refuse_another_user(requested: str | None) -> None:
    if requested and requested != _own_name():
        raise ConfigurationError(
            f"WARDFLOW_STACK__USER names the user {requested}, but only root can run Postgres as another user.",
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
            advice=f"Create the user (`useradd --system {name}`), or remove the setting.",
        )
    return ConfigurationError(
        f"WARDFLOW_STACK__USER names the user {name}, who cannot use {programs} and {folder}.",
        advice="Move them to a place that this user can enter and read, or remove the setting.",
    )


def _no_way(folder: Path, programs: Path) -> ConfigurationError:
    return ConfigurationError(
        "Postgres does not run as root: make a user (`useradd --create-home wardflow`) and run Wardflow as that user, "
        "from a checkout in its home folder; or move the checkout to a folder that other users can enter, and name "
        "the user for Postgres with WARDFLOW_STACK__USER.",
        advice=f"Other users cannot use {programs} or {folder}, and this machine does not allow user namespaces.",
    )
