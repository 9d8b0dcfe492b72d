"""The names that the beds source gives to what workbooks call in many ways."""

from collections.abc import Sequence
from typing import Literal, get_args

Basis = Literal["overnight", "day_only"]
Sector = Literal["total", "general_and_acute", "learning_disabilities", "maternity", "mental_illness"]
ParentKind = Literal["strategic_health_authority", "area_team", "region"]

BASES: tuple[Basis, ...] = get_args(Basis)
SECTORS: tuple[Sector, ...] = get_args(Sector)
PARENT_KINDS: tuple[ParentKind, ...] = get_args(ParentKind)


def one_of(column: str, names: Sequence[str]) -> str:
    """Return the SQL condition that a column has one of these names."""
    return f"{column} IN ({', '.join(repr(name) for name in names)})"
