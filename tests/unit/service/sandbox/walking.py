"""Walking through pages as a naive caller does, by `next` alone."""

from typing import Any

import httpx

type Bundle = dict[str, Any]


def next_of(page: Bundle) -> str | None:
    return next((link["url"] for link in page["link"] if link["relation"] == "next"), None)


def ids(page: Bundle) -> list[str]:
    return [entry["resource"]["id"] for entry in page.get("entry", [])]


def walk(client: httpx.Client, url: str, **parameters: str | int) -> list[Bundle]:
    """The pages of a search, at most a hundred."""
    pages = [client.get(url, params=parameters or None).raise_for_status().json()]
    while (following := next_of(pages[-1])) and len(pages) < 100:
        pages.append(client.get(following).raise_for_status().json())
    return pages


def walked_ids(client: httpx.Client, url: str, **parameters: str | int) -> list[str]:
    return [each for page in walk(client, url, **parameters) for each in ids(page)]
