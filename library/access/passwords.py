"""Passwords: slow to check on purpose, a few at once, so that nobody can use up the machine by guessing."""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from library.contracts.errors import WardflowError

_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
"""RFC 9106's figures for little memory, on one core: a check may not take all of a machine's."""

_NOBODYS = _HASHER.hash(secrets.token_urlsafe(32))
"""What a password is held against where there is none: an unknown user costs the same time as a known one."""

_REMEMBERED_AT_MOST = 10_000


class SignInsBusy(WardflowError):
    """More passwords are waiting to be checked than this process takes on."""

    retryable = True
    default_advice = "Try again in a few seconds, or use a token: it is checked at once."


class Passwords:
    """Checks passwords in threads, and remembers a right one for a while as a keyed hash.

    Args:
        at_once: checks that may run side by side; each takes a core and 64 MB.
        waiting: checks that may wait for their turn.
        remembered: seconds for which a right password need not be checked again; a new one counts at once.
    """

    def __init__(self, *, at_once: int = 1, waiting: int = 32, remembered: float = 60.0) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self._seconds = remembered
        self._key = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}
        self._under_way: dict[bytes, asyncio.Task[bool]] = {}

    def remembers(self, stored: str | None, password: str) -> bool:
        """Whether this password was found right for this hash a moment ago."""
        return stored is not None and self._until.get(self._mark(stored, password), 0.0) > time.monotonic()

    async def fits(self, stored: str | None, password: str, *, before: Callable[[], None] = lambda: None) -> bool:
        """Check a password; callers that ask the same at once share one check.

        Args:
            stored: its hash; `None`: there is none, which takes as long to find out.
            password: as given.
            before: called when the turn has come; what it raises is raised here.

        Raises:
            SignInsBusy: too many are waiting.
        """
        mark = self._mark(stored or _NOBODYS, password)
        checking = self._under_way.get(mark)
        if checking is None:
            if len(self._under_way) >= self._most:
                raise SignInsBusy("Too many passwords are being checked at this moment.")
            checking = asyncio.create_task(self._check(stored, password, mark, before))
            self._under_way[mark] = checking
            checking.add_done_callback(lambda _: self._under_way.pop(mark))
        return await asyncio.shield(checking)

    async def _check(self, stored: str | None, password: str, mark: bytes, before: Callable[[], None]) -> bool:
        async with self._slots:
            before()
            right = await asyncio.to_thread(_verified, stored or _NOBODYS, password) and stored is not None
        if right:
            now = time.monotonic()
            if len(self._until) >= _REMEMBERED_AT_MOST:
                self._until = {each: until for each, until in self._until.items() if until > now}
            self._until[mark] = now + self._seconds
        return right

    def _mark(self, stored: str, password: str) -> bytes:
        """Nothing that leaks of it can be guessed back: the key never leaves the process's memory."""
        return hmac.digest(self._key, stored.encode() + b"\0" + password.encode(errors="surrogatepass"), "sha256")


async def hashed(password: str) -> str:
    """What is stored of a password."""
    return await asyncio.to_thread(_HASHER.hash, password)


def _verified(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
