"""Tokens and users as the warehouse has them."""

from collections.abc import Sequence

from asyncpg import Record

from library.access.questions import TOKENS, USERS
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_rows


async def all_tokens(pool: Pool) -> Sequence[Record]:
    return await fetch_rows(pool, TOKENS.ask())


async def all_users(pool: Pool) -> Sequence[Record]:
    return await fetch_rows(pool, USERS.ask())
