"""`wardflow demo`: starts the stack, loads sample data of every source, and compares the results."""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import typer

from config.servers import CHECKOUT
from config.settings import Settings
from service.cli.demonstrating import Demonstrated, Typed
from service.cli.output import err, errors_as_sentences, load_settings, out, path_to_type, run
from service.cli.stack import start_in_background
from service.sources import modules
from service.stack.state import read_state

app = typer.Typer(add_completion=False)


@app.command()
def demo() -> None:
    """Start the stack, bring in sample data of every source; show what came of them beside what was published."""
    began = time.monotonic()
    with errors_as_sentences(), err.status("Starting the stack"):
        start_in_background(load_settings(), write=err.print)
    up_after = time.monotonic() - began

    async def main(settings: Settings) -> list[Demonstrated]:
        shown: list[Demonstrated] = []
        for module in modules("demo"):
            if shown:
                out.print()
            shown.append(await module.demonstrate(settings))
        return shown

    shown = run(main)
    out.print(f"\nUp after {up_after:.1f} s, all done after {time.monotonic() - began:.1f} s. What to look at next:\n")
    for line in _what_next(load_settings(), next((each.run for each in shown if each.run), "")):
        out.print(line)
    raise typer.Exit(0 if all(each.agrees for each in shown) else 1)


def _what_next(settings: Settings, run_id: str) -> Iterator[str]:
    state = read_state(settings.stack.folder)
    wardflow = path_to_type(CHECKOUT / ".venv" / "bin" / "wardflow")
    typed = Typed(wardflow, state["api"]["url"], path_to_type(settings.stack.folder / "token"))
    found: dict[str, list[str]] = {
        "Runs": [
            f"{wardflow} runs list",
            f"{wardflow} runs show {run_id}      decoded inputs and results of each step",
        ],
        "Temporal UI": _temporal(settings, typed),
        "SQL": [],
        "REST": [],
    }
    for module in modules("demo"):
        for title, lines in module.look_at(settings, typed).items():
            found.setdefault(title, []).extend(lines)
    read_only = urlsplit(settings.postgres.read_only_dsn.get_secret_value() if settings.postgres.read_only_dsn else "")
    found["SQL"] += [
        f"postgresql://{read_only.username}@{read_only.hostname}:{read_only.port}{read_only.path}"
        f"      read-only; password: postgres.read_only_url in {path_to_type(settings.stack_file)}"
    ]
    found["REST"] += [f"{typed.api}/docs      every route"]
    found["Refused rows"] = [f"{wardflow} quarantine list      what was refused, and why"]
    found["Health"] = [f"{wardflow} doctor"]
    found["Stop"] = [f"{wardflow} down"]
    for title, lines in found.items():
        for number, line in enumerate(lines):
            yield f"  {'' if number else title:<16}{line}"


def _temporal(settings: Settings, typed: Typed) -> list[str]:
    workflows = f"/namespaces/{settings.temporal.namespace}/workflows"  # without it a browser opens an empty namespace
    return [
        f"{typed.api}/temporal{workflows}      sign in with the token in {typed.token}:",
        f"inputs and results are decoded; at {settings.temporal.ui_url}{workflows} they are encrypted",
    ]
