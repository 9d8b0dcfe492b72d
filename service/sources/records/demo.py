"""The demo of records: clinics post, and accepted records are queryable a moment later."""

import httpx

from config.settings import Settings
from service.addresses import postgres_server
from service.cli.demonstrating import Demonstrated, LookAt, Typed
from service.cli.output import out, table
from service.resources import warehouse
from service.sources.records.commands import show, show_verdicts
from service.sources.records.simulator.records import Clinics, SimulationPlan, play
from service.sources.records.simulator.verifying import in_warehouse, verify
from service.waiting import waiting_for

PLAN = SimulationPlan(rate=25, users=3, bad=0.2, duration=4)
_WITHIN = 30.0


async def demonstrate(settings: Settings) -> Demonstrated:
    """Post records, drain them, and compare the stored rows with the answers."""
    if not settings.kafka.enabled:
        out.print("Records were left out: Kafka is turned off (WARDFLOW_KAFKA__ENABLED=false).")
        return Demonstrated(agrees=True)
    async with (
        warehouse(settings, size=2) as pool,
        httpx.AsyncClient(base_url=settings.api.url or "", trust_env=False) as http,
    ):
        clinics = Clinics(pool)
        try:
            with waiting_for(postgres_server(settings), "users are made for the clinics"):
                await clinics.open(PLAN.users)
            played = await play(PLAN, http, clinics)
        finally:
            await clinics.close()
        show(played)
        with waiting_for("the accepted records to be in the warehouse", seconds=_WITHIN):
            verdict = await verify("warehouse", played, in_warehouse(pool), within=_WITHIN, once=True)
        show_verdicts([verdict])
        await _statistics(settings, http)
    return Demonstrated(verdict.holds and not played.surprises)


def look_at(settings: Settings, typed: Typed) -> LookAt:
    """Commands and routes to try next."""
    if not settings.kafka.enabled:
        return {}
    return {
        "Post records": (
            f"{typed.wardflow} simulate records --rate 50 --duration 20 --verify",
            f"{typed.wardflow} streams list      lag, rate and state of each partition",
        )
    }


async def _statistics(settings: Settings, http: httpx.AsyncClient) -> None:
    token = (settings.stack.folder / "token").read_text().strip()
    answer = await http.get("/records/statistics", headers={"Authorization": f"Bearer {token}"})
    found = answer.raise_for_status().json()
    lines = table("GET /records/statistics", "")
    for by in ("gender", "language"):
        shares = (f"{each['value']} {each['patients']}" for each in found[f"patients_by_{by}"])
        lines.add_row(f"patients by {by}", ", ".join(shares))
    lines.add_row("most frequent diagnosis", found["most_frequent_diagnosis"]["description"])
    lines.add_row("distinct laboratory tests", str(found["distinct_laboratory_tests"]))
    lines.add_row("most common test", found["most_common_test"]["lab_name"])
    out.print(lines)
