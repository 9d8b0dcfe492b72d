"""What a source, or what serves all of them, brings to the API."""

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
        routers: in the order of the OpenAPI document.
        largest_bodies: bytes of a body at most, by path, where a route takes more than others do.
    """

    routers: tuple[APIRouter, ...]
    largest_bodies: Callable[[Settings], Mapping[str, int]] = _as_others
