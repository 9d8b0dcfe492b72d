"""The demo of fhir: the patients of a zip code, as loaded and as the sandbox has them."""

import json
from urllib.parse import urlsplit

import httpx

from config.settings import Settings
from library.contracts.errors import WardflowError
from library.sources.fhir.questions import ZIPCODES
from library.warehouse.queries.pages import fetch_rows
from service.cli.demonstrating import Demonstrated, LookAt, Typed
from service.cli.following import follow
from service.cli.output import DONE, FAILED, out, table
from service.resources import warehouse
from service.sources.fhir.commands import show, zipcode_wanted
from service.waiting import waiting_for

ZIPCODE = "01906"
SERVER = "sandbox"

_A_PAGE = 1_000


class SandboxSilent(WardflowError):
    """The sandbox does not answer."""

    default_advice = "`wardflow doctor` says what is wrong."


async def demonstrate(settings: Settings) -> Demonstrated:
    """Import a zip code, and show the loaded numbers beside those of the server."""
    base = settings.fhir.sandbox_url
    if base is None:
        out.print("No patients: the stack runs without its FHIR sandbox (WARDFLOW_STACK__FHIR_SANDBOX).")
        return Demonstrated(agrees=True)
    followed = await follow(settings, [zipcode_wanted(ZIPCODE, SERVER)])
    show(followed)
    with waiting_for(f"the FHIR sandbox at {urlsplit(base).netloc}", "it is asked what it has"):
        patients, observations = await _served(base)
    async with warehouse(settings, size=1) as pool:
        rows = await fetch_rows(pool, ZIPCODES.ask(zipcode=ZIPCODE, server=SERVER))
    found = (rows[0]["patients"], rows[0]["observations"]) if rows else (0, 0)
    agrees = found == (patients, observations) and patients > 0
    lines = table("zip code", "patients: found>", "at the server>", "observations: found>", "at the server>", "")
    numbers = (found[0], patients, found[1], observations)
    lines.add_row(ZIPCODE, *(f"{number:,}" for number in numbers), DONE if agrees else FAILED)
    out.print()
    out.print(lines)
    return Demonstrated(agrees and all(each.completed for each in followed))


def look_at(settings: Settings, typed: Typed) -> LookAt:
    """Commands and routes to try next."""
    if settings.fhir.sandbox_url is None:
        return {}
    return {
        "REST": (
            f'{typed.curl} "{typed.api}/patients?zipcode={ZIPCODE}"      and /patients/ID/observations',
            f"{typed.curl} -H 'Content-Type: application/json' \\",
            f'    -d \'{{"zipcodes": ["02302"]}}\' "{typed.api}/zipcodes"',
        ),
        "More patients": (f"{typed.wardflow} import zipcode 00000 02302 02114",),
    }


async def _served(base: str) -> tuple[int, int]:
    """Ask the server for the numbers of the zip code's patients and of their observations."""
    try:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            patients = await _found(client, f"{base}/Patient?address-postalcode={ZIPCODE}&_count={_A_PAGE}")
            ids = ",".join(each["id"] for each in patients)
            return len(patients), len(await _found(client, f"{base}/Observation?patient={ids}&_count={_A_PAGE}"))
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        raise SandboxSilent(f"The FHIR sandbox does not answer ({type(error).__name__}).") from None


async def _found(client: httpx.AsyncClient, following: str | None) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    while following:
        answer = (await client.get(following)).raise_for_status()
        bundle = answer.json()
        found += [entry["resource"] for entry in bundle.get("entry", ())]
        following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return found
