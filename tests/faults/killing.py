"""Whom of a running stack to kill, and doing it."""

import random
from collections.abc import Sequence

import psutil

from config.settings import Settings
from service.stack.state import read_state


def drawn_parts(parts: Sequence[str], count: int, drawn: random.Random) -> list[str]:
    """Whom to kill: in no order, and each as often as the others."""
    found: list[str] = []
    while len(found) < count:
        found += drawn.sample(parts, len(parts))
    return found[:count]


class Killed:
    """A part of a stack, killed; its supervisor starts it again."""

    def __init__(self, stack: Settings, part: str) -> None:
        self._folder, self._part = stack.stack.folder, part
        self._pid: int = read_state(self._folder)[part]["pid"]
        psutil.Process(self._pid).kill()

    def is_back(self) -> bool:
        """Whether another process has taken its place."""
        return bool(read_state(self._folder)[self._part].get("pid", self._pid) != self._pid)
