"""Runs a command with the limits of a stricter machine.

Use: `python confined.py [--another-user] [--no-ipv6] … COMMAND`.

--another-user  run in a user namespace, not as root, and without capabilities
--noexec-tmp=FOLDER  `/tmp` is an empty file system from which no program runs; this folder stays where it is
--no-ipv6       the kernel does not support IPv6
--no-namespaces no process may make a user namespace, as in most containers

It needs no privileges: each option is a namespace or a filter of its own process. It imports only the standard library.
"""

import ctypes
import os
import platform
import struct
import sys
from itertools import takewhile

LIBC = ctypes.CDLL(None, use_errno=True)
SOCKET, UNSHARE = {"x86_64": (41, 272), "aarch64": (198, 97)}[platform.machine()]
"""Numbers of two system calls."""
AF_INET6, EPERM, EAFNOSUPPORT = 10, 1, 97

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000
CALL, FIRST_ARGUMENT = 0, 16
"""Where the filter's input has the number of the system call, and its first argument."""
MS_NOEXEC, MS_BIND, MS_REC = 8, 4096, 16384


def must(result: int) -> None:
    """Raise the error of a call of libc that failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter_namespace(flags: int, shown_as: int) -> None:
    """Enter a user namespace that shows our own user under another number."""
    user, group = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWUSER | flags)
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{shown_as} {user} 1"),
        ("gid_map", f"{shown_as} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - one write, no more
            file.write(line)


def forbid_programs_in_tmp(kept: str) -> None:
    """Hide `/tmp` behind an empty file system that runs no programs; a folder stays."""
    folder = os.open(kept, os.O_RDONLY)
    must(LIBC.mount(b"tmpfs", b"/tmp", b"tmpfs", MS_NOEXEC, b"mode=1777"))
    os.makedirs(kept, exist_ok=True)  # noqa: PTH103 - pathlib is slow to import
    must(LIBC.mount(f"/proc/self/fd/{folder}".encode(), kept.encode(), None, MS_BIND | MS_REC, None))
    os.close(folder)


def fail(call: int, error: int, argument: int | None = None) -> None:
    """Let a system call fail from now on; `argument`: only with this first argument."""
    test = [] if argument is None else [(LOAD, 0, 0, FIRST_ARGUMENT), (JUMP_IF_EQUAL, 0, 1, argument)]
    steps = [(LOAD, 0, 0, CALL), (JUMP_IF_EQUAL, 0, len(test) + 1, call), *test]
    steps += [(RETURN, 0, 0, FAIL_WITH | error), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    must(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    must(LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program))


def main() -> None:
    """Confine this process, then become the command."""
    words = sys.argv[1:]
    confinements = list(takewhile(lambda word: word.startswith("--"), words))
    command = words[len(confinements) :]
    if kept := next((word.partition("=")[2] for word in confinements if word.startswith("--noexec-tmp=")), None):
        enter_namespace(os.CLONE_NEWNS, shown_as=0)
        forbid_programs_in_tmp(kept)
    if "--another-user" in confinements and os.geteuid() == 0:
        enter_namespace(0, shown_as=1000)
    if "--no-ipv6" in confinements:
        fail(SOCKET, EAFNOSUPPORT, AF_INET6)
    if "--no-namespaces" in confinements:
        fail(UNSHARE, EPERM)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
