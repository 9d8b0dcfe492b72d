"""Starts a server that ends when its supervisor ends, by becoming that server.

Use: `python -I -S leash.py PARENT SIGNAL IDENTITY COMMAND…`.

A supervisor that is killed (`kill -9`) cannot end its servers. Linux can: a process can request a signal for its
parent's death. It must do so between fork and exec. Python code at that place (`preexec_fn`) is unsafe in a process
with threads. So this program is started, requests the signal, and becomes the server. The process id stays the same.

It also changes the identity of Postgres, which refuses to run as root. `IDENTITY` is one of

- empty: the server runs as the caller;
- `user:UID:GID`: it runs as another user of this machine, and keeps the right to read folders of root;
- `namespace:UID:GID`: it runs as this user in a user namespace. Outside of it, it is root without capabilities.

With `--reach FOLDER PATH…` instead of a command it exits with 0 if this identity can write into the folder and read all
of the paths, and with 1 if not.

It imports nothing of Wardflow and runs on Python 3.8. So it starts in 50 ms, and works before anything is installed.
"""

import ctypes
import os
import sys

REACH = "--reach"
CANNOT_REACH = 1

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000


def die_with(parent: int, signal_number: int) -> None:
    """Request a signal for the death of the parent: of the thread that forked, the supervisor's main thread."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit("The supervisor died before its server had started.")


def become(identity: str) -> None:
    """Change to an identity of the form in the module's docstring.

    Raises:
        OSError: the machine does not allow it.
    """
    kind, user, group = identity.split(":")
    {"user": become_user, "namespace": enter_namespace}[kind](int(user), int(group))


def become_user(user: int, group: int) -> None:
    """Change from root to another user, but keep the right to read every file."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    # Containers often grant only the second one. Without both, the user must have access to all folders of the path.
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        mask = 1 << capability
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        if libc.capset(header, effective_permitted_inheritable) == 0:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            return


def enter_namespace(user: int, group: int) -> None:
    """Enter a user namespace as another user. `exec` then drops all capabilities."""
    own_user, own_group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "user namespaces are not allowed here")
    lines = {"setgroups": "deny", "uid_map": f"{user} {own_user} 1", "gid_map": f"{group} {own_group} 1"}
    for name, line in lines.items():
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes 20 ms to import
            file.write(line)


def can_write(folder: str) -> bool:
    """Whether this identity can create a file in the folder."""
    try:
        with open(f"{folder}/reached", "w", encoding="ascii"):  # noqa: PTH123 - as above
            return True
    except OSError:
        return False


def can_read(path: str) -> bool:
    """Whether this identity can read a file, or all files in a folder.

    It uses `access`, which ignores capabilities, as the programs of Postgres do when they look for each other.
    """
    if not os.access(path, os.R_OK):
        return False
    if not os.path.isdir(path):  # noqa: PTH112 - as above
        return True
    if not os.access(path, os.X_OK):
        return False
    with os.scandir(path) as entries:
        return all(can_read(entry.path) for entry in entries if not entry.is_symlink())


def main() -> None:
    """Change the identity, request the signal, and become the command."""
    parent, signal_number, identity, *command = sys.argv[1:]
    if identity:
        become(identity)
    if command[0] == REACH:
        _, folder, *paths = command
        sys.exit(0 if can_write(folder) and all(map(can_read, paths)) else CANNOT_REACH)
    os.umask(0o077)
    if sys.platform == "linux":
        die_with(int(parent), int(signal_number))  # after `become`, since a change of the user clears the request
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
