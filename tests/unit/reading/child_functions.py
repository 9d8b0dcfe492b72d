"""Functions that tests have run in a child, most of them badly behaved."""

import errno
import os
import signal
import sys
import time
from pathlib import Path

from library.sources.beds import contracts as beds
from library.sources.beds.reader import read_workbook


def echo(*values: object) -> list[object]:
    return list(values)


def organisations(path: str) -> int:
    return len(read_workbook(Path(path).read_bytes()).organisations)


def reject(kind: str) -> None:
    raise getattr(beds, kind)("It is wrong.", sheet="S", row=7, column="AB", advice="Make it right.")


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")


def fail() -> None:
    raise KeyError("the content of a cell")


def take_memory(size: int) -> int:
    return len(bytearray(size))


def take_memory_in_small_pieces() -> int:
    kept: list[bytes] = []
    while True:
        kept.append(bytes(100_000))


_KEPT: list[bytes] = []


def keep_much_memory() -> None:
    _KEPT.append(bytes(100 * 1024 * 1024))


def who() -> int:
    return os.getpid()


def loop() -> None:
    while True:
        pass


def sleep_without_an_alarm_clock(note: str) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    Path(note).write_text(str(os.getpid()))
    time.sleep(60)


def sleep(note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    time.sleep(60)


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getppid()


def abort() -> None:
    os.abort()


def leave() -> None:
    os._exit(0)


def babble() -> None:
    open_ones = Path("/proc/self/fd")
    caller = next(each for each in open_ones.iterdir() if each.is_symlink() and "socket" in str(each.readlink()))
    os.write(int(caller.name), b'{"value": [1, 2')
    os._exit(0)


def say(size: int) -> str:
    return "x" * size


def chatter() -> str:
    os.write(1, b"to standard output\n")
    os.write(2, b"to standard error\n")
    return "quiet"


def unspeakable() -> object:
    return object()


def imported() -> list[str]:
    return sorted({name.split(".")[0] for name in sys.modules})
