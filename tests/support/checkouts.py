"""Copies of this checkout at other places, made of hard links."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.servers import CHECKOUT

PACKAGES = ("config", "library", "activities", "workflows", "service")
CONFINED = CHECKOUT / "tests" / "support" / "confined.py"
_LEFT_OUT = shutil.ignore_patterns(".git", ".wardflow", ".*_cache", ".coverage*", ".hypothesis", ".tests-*")
_WITHOUT_PACKAGES = shutil.ignore_patterns(".git", ".wardflow", ".*_cache", ".coverage*", ".hypothesis", ".venv")


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout, and how its commands are called.

    Attributes:
        folder: of the copy.
        environment: beside what every program needs.
        confinement: options of `tests/support/confined.py`.
        umask: of the commands.
        called_from: their working folder.
    """

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    confinement: Sequence[str] = ()
    umask: int = 0o022
    called_from: Path | None = None

    def wardflow(self, *words: str, wait: float = 110) -> subprocess.CompletedProcess[str]:
        """Call `.venv/bin/wardflow`."""
        return self.call(str(self.folder / ".venv" / "bin" / "wardflow"), *words, wait=wait)

    def call(self, *command: str, wait: float = 110) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end."""
        process = self.begin(*command)
        out, err = process.communicate(timeout=wait)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """Start a command."""
        python = str(CHECKOUT / ".venv" / "bin" / "python")
        return subprocess.Popen(  # noqa: S603 - our own commands
            [python, "-I", str(CONFINED), *self.confinement, *command] if self.confinement else command,
            cwd=self.called_from or self.folder,
            env={**_environment(), **self.environment},
            umask=self.umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )


def _environment() -> dict[str, str]:
    """Our own, with its ways to package sources, but without home folder, locale and settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("WARDFLOW_", "LC_", "PYTHON"))}
    return {name: value for name, value in ours.items() if name not in ("HOME", "LANG", "XDG_CACHE_HOME", "TMPDIR")}


def copy_checkout(folder: Path, *, installed: bool = True, closed: bool = False) -> Path:
    """Copy the checkout, with its packages or without; `closed`: folders have mode 0700."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        CHECKOUT,
        folder,
        symlinks=True,
        copy_function=_link,
        ignore=_LEFT_OUT if installed else _WITHOUT_PACKAGES,
    )
    for place in folder.glob(".venv/lib/python*/site-packages/_editable_impl_wardflow.pth"):
        place.unlink()  # it is linked, so that writing would change the original
        place.write_text(str(folder.resolve()), encoding="utf-8")
    if closed:
        for place in (folder, *(each for each in folder.rglob("*") if each.is_dir() and not each.is_symlink())):
            place.chmod(0o700)
    return folder


def copy_code(folder: Path) -> dict[str, str]:
    """Copy the code alone, which a test may change; return the environment in which Python takes that code."""
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, folder / package)
    for file in ("pyproject.toml", "Makefile", ".gitignore"):
        shutil.copy2(CHECKOUT / file, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    # The environment's own packages lead to the checkout that is tested: the copy comes before it.
    return {"PYTHONPATH": str(folder)}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)
