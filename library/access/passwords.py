"""Passwords. Checks are slow on purpose and limited in number, so guessing cannot use up the machine."""

import asyncio
import base64
import hmac
import secrets
import time
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from library.contracts.errors import WardflowError

_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
"""RFC 9106's values for little memory, on one core, so that a check does not use all cores."""


def _random_text(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")


_DUMMY_HASH = (
    f"$argon2id$v=19$m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    f"${_random_text(_HASHER.salt_len)}${_random_text(_HASHER.hash_len)}"
)
"""Checked for unknown users, so that the time does not show whether a user exists. No password fits: it is random."""

_CACHE_SIZE = 10_000


class SignInsBusy(WardflowError):
    """Too many passwords wait to be checked in this process."""

    retryable = True
    default_advice = "Try again in a few seconds, or use a token, which is checked at once."


class Passwords:
    """Checks passwords in threads, and caches a correct one for a while as a keyed hash.

    Args:
        at_once: the most checks at the same time; each takes a core and 64 MB.
        waiting: the most checks that wait.
        remembered: seconds during which a correct password is not checked again. A changed password is always checked.
    """

    def __init__(self, *, at_once: int = 1, waiting: int = 32, remembered: float = 60.0) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._limit = at_once + waiting
        self._seconds = remembered
        self._key = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}
        self._running: dict[bytes, asyncio.Task[bool]] = {}

    def remembers(self, stored: str | None, password: str) -> bool:
        """Whether this password was correct for this hash a short time ago."""
        return stored is not None and self._until.get(self._mark(stored, password), 0.0) > time.monotonic()

    async def fits(self, stored: str | None, password: str, *, before: Callable[[], None] = lambda: None) -> bool:
        """Check a password. Callers with the same password at the same time share one check.

        Args:
            stored: the hash; `None` for an unknown user, which takes the same time.
            password: the password to check.
            before: called just before the check. Its errors are raised here.

        Raises:
            SignInsBusy: too many checks wait.
        """
        mark = self._mark(stored or _DUMMY_HASH, password)
        checking = self._running.get(mark)
        if checking is None:
            if len(self._running) >= self._limit:
                raise SignInsBusy("Too many passwords are being checked now.")
            checking = asyncio.create_task(self._check(stored, password, mark, before))
            self._running[mark] = checking
            checking.add_done_callback(lambda _: self._running.pop(mark))
        return await asyncio.shield(checking)

    async def _check(self, stored: str | None, password: str, mark: bytes, before: Callable[[], None]) -> bool:
        async with self._slots:
            before()
            correct = await asyncio.to_thread(_verified, stored or _DUMMY_HASH, password) and stored is not None
        if correct:
            now = time.monotonic()
            if len(self._until) >= _CACHE_SIZE:
                self._until = {each: until for each, until in self._until.items() if until > now}
            self._until[mark] = now + self._seconds
        return correct

    def _mark(self, stored: str, password: str) -> bytes:
        """A keyed hash. The key never leaves the process, so the hash does not help to guess the password."""
        return hmac.digest(self._key, stored.encode() + b"\0" + password.encode(errors="surrogatepass"), "sha256")


async def hashed(password: str) -> str:
    """The hash of a password, as it is stored."""
    return await asyncio.to_thread(_HASHER.hash, password)


def _verified(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
