"""`wardflow demo`: the stack, sample data of every source, and what came of them beside what they say."""

import time
from urllib.parse import urlsplit

import typer

from config.servers import CHECKOUT
from config.settings import Settings
from library.contracts.runs import RunState
from service.cli.demo.beds import show_beds
from service.cli.demo.fhir import ZIPCODE, show_patients
from service.cli.demo.records import post_records
from service.cli.ingest import Outcome
from service.cli.output import err, errors_as_sentences, load_settings, out, path_to_type, run
from service.cli.stack import start_in_background
from service.stack.state import read_state

app = typer.Typer(add_completion=False)


@app.command()
def demo() -> None:
    """Start the stack, bring in workbooks, a zip code's patients and posted records; show what came of them."""
    began = time.monotonic()
    with errors_as_sentences(), err.status("Starting the stack"):
        start_in_background(load_settings(), write=err.print)
    up_after = time.monotonic() - began

    async def main(settings: Settings) -> tuple[list[Outcome], bool]:
        outcomes, beds_agree = await show_beds(settings)
        out.print()
        patients_agree = await show_patients(settings)
        records_agree = await post_records(settings)
        return outcomes, beds_agree and patients_agree and records_agree

    outcomes, agrees = run(main)
    _what_next(load_settings(), outcomes, up_after, time.monotonic() - began)
    complete = all(outcome.state == RunState.COMPLETED for outcome in outcomes)
    raise typer.Exit(0 if complete and agrees else 1)


def _what_next(settings: Settings, outcomes: list[Outcome], up_after: float, seconds: float) -> None:
    read_only = urlsplit(settings.postgres.read_only_dsn.get_secret_value() if settings.postgres.read_only_dsn else "")
    sql = f"postgresql://{read_only.username}@{read_only.hostname}:{read_only.port}{read_only.path}"
    wardflow = path_to_type(CHECKOUT / ".venv" / "bin" / "wardflow")
    workbooks = path_to_type(CHECKOUT / "tests" / "data" / "nhs" / "kh03")
    token = path_to_type(settings.stack.folder / "token")
    stack_file = path_to_type(settings.stack_file)
    api = read_state(settings.stack.folder)["api"]["url"]
    workflows = f"/namespaces/{settings.temporal.namespace}/workflows"  # without it a browser opens an empty namespace
    records = f"""
  Post records    {wardflow} simulate records --rate 50 --duration 20 --verify
                  {wardflow} streams list      lag, rate and state of each partition"""
    records = records if settings.kafka.enabled else ""
    out.print(
        f"""
Up after {up_after:.1f} s, all done after {seconds:.1f} s. What to look at next:

  Runs            {wardflow} runs list
                  {wardflow} runs show {outcomes[0].run}      decoded inputs and results of each step
  Temporal UI     {api}/temporal{workflows}      sign in with the token in {token}:
                  inputs and results are decoded; at {settings.temporal.ui_url}{workflows} they are encrypted
  SQL, read-only  {wardflow} sql "SELECT financial_year, quarter, round(sum(available)) AS beds
                      FROM beds.current_occupancy WHERE sector = 'total' GROUP BY 1, 2 ORDER BY 1, 2"
                  {sql}      password: postgres.read_only_url in {stack_file}
  REST            curl -H "Authorization: Bearer $(cat {token})" \\
                      "{api}/nhs-data/occupancy?sector=total&sort=rate&descending=true&limit=3"
                  curl -H "Authorization: Bearer $(cat {token})" \\
                      "{api}/patients?zipcode={ZIPCODE}"      and /patients/ID/observations
                  curl -H "Authorization: Bearer $(cat {token})" \\
                      -H 'Content-Type: application/json' -d '{{"zipcodes": ["02302"]}}' "{api}/zipcodes"
                  {api}/docs      every route
  All 25 files    {wardflow} ingest workbook {workbooks}
  More patients   {wardflow} import zipcode 00000 02302 02114
                  {wardflow} quarantine list      what was refused, and why{records}
  Health          {wardflow} doctor
  Stop            {wardflow} down
""".rstrip()
    )
