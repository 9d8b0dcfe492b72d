"""The part of the API that a source adds, or that serves all sources."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter

from config.settings import Settings


def _as_others(_: Settings) -> Mapping[str, int]:
    return {}


@dataclass(frozen=True)
class ApiPart:
    """Routes.

    Attributes:
        routers: the routers, in the order of the OpenAPI document.
        largest_bodies: for each path that takes larger bodies than others, the most bytes of a body.
    """

    routers: tuple[APIRouter, ...]
    largest_bodies: Callable[[Settings], Mapping[str, int]] = _as_others
