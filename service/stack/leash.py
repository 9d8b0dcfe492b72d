"""Becomes a server that ends when its supervisor does: `python -I -S leash.py PARENT SIGNAL USER COMMAND…`.

A `kill -9` of the supervisor gives it no chance to end its servers. Linux can: a process may ask for a signal at its
parent's death. That must be asked for between fork and exec. Python code at that place (`preexec_fn`) is unsafe in a
process with threads, so this program is started instead, asks, and becomes the server. The process id stays the same.

It also takes root's rights off Postgres, which refuses to run with them. The system user that it becomes could reach
neither a virtual environment under /root nor a data folder with mode 0700. The wheel's own way out is to open all those
folders to everybody; here the process keeps one single capability instead: to read whatever is in its way.

It imports nothing of Wardflow, to be quick: 50 ms.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522


def die_with(parent: int, signal_number: int) -> None:
    """Ask for a signal when the parent dies. It is bound to the thread that forked us: the supervisor's main thread."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("The supervisor died before its server had started.")


def become(user: int, group: int) -> None:
    """Give up root for a system user, keeping the right to pass folders that only root may enter."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    # Containers often give only the second one. With neither, all on the way must be open to it: exec will tell.
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        mask = 1 << capability
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        if libc.capset(header, effective_permitted_inheritable) == 0:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            return


def main() -> None:
    """Become the command."""
    parent, signal_number, user, *command = sys.argv[1:]
    if user:
        become(*map(int, user.split(":")))
    os.umask(0o077)
    if sys.platform == "linux":
        die_with(int(parent), int(signal_number))  # after `become`: a change of user clears the request
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
