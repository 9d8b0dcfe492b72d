"""Decides by SQLSTATE, never by a text, whether a failure of the warehouse is transient."""

import asyncpg

from library.contracts.errors import LoadInterrupted, LoadRejected, WardflowError

_RETRYABLE = ("40001", "40P01", "55P03", "57P", "57014", "08", "53", "25P03", "25P04")
"""Serialization failure, deadlock, lock not available, operator intervention (57P01: terminated), cancelled,
connection, resources, idle-in-transaction time-out, transaction time-out."""

UNIQUE_VIOLATION = "23505"

MET_ANOTHER_LOAD = (UNIQUE_VIOLATION, "40001", "40P01", "55P03")
"""A conflict of two loads: unique violation, serialization failure, deadlock, lock not available."""

BAD_CELL = "22"
"""Class of data exceptions: a value does not fit its column."""

DISCONNECTED = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""A lost or refused connection; asyncpg's own errors among them (the last: ended while this process was frozen)."""


def sqlstate(error: BaseException | None) -> str:
    """The error's SQLSTATE, or an empty text if it has none."""
    return str(getattr(error, "sqlstate", None) or "")


def is_transient(error: BaseException) -> bool:
    """Whether a retry can succeed: a lost connection, a lock, a server that starts or stops."""
    return isinstance(error, DISCONNECTED) or sqlstate(error).startswith(_RETRYABLE)


def translate(error: Exception) -> WardflowError:
    """Translate an error of Postgres. Its text is left out if it could quote a row."""
    state = sqlstate(error)
    if is_transient(error):
        what = f"SQLSTATE {state}" if state else type(error).__name__
        return LoadInterrupted(f"The warehouse did not finish the load ({what}).")
    where = " ".join(
        part
        for part in (getattr(error, "schema_name", None), getattr(error, "table_name", None), constraint_name(error))
        if part
    )
    return LoadRejected(
        f"The warehouse refused the load: {type(error).__name__}, SQLSTATE {state or 'none'}"
        + (f", at {where}." if where else "."),
        advice="The dataset's declaration and its table disagree, or a constraint has no expectation: see its module.",
    )


def constraint_name(error: BaseException) -> str:
    """The constraint that was violated, or an empty text."""
    return str(getattr(error, "constraint_name", None) or "")
