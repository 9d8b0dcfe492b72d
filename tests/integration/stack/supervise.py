"""`wardflow up` without bootstrap and worker, to be started as a process of its own: `python supervise.py`."""

import asyncio
import signal

from config.settings import Settings
from library.contracts.errors import WardflowError
from service.stack.part import StackEvent
from service.stack.runner import run_stack


async def bootstrap(settings: Settings) -> None:
    """Nothing: what tests need, they make."""


def show(progress: StackEvent) -> None:
    """One line each, into the log."""
    print(progress.subject, progress.state, progress.detail, flush=True)  # noqa: T201 - it is the log


def main() -> None:
    """Run until a signal comes, as from a terminal: a test run under `nohup` hands an ignored SIGHUP down."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        asyncio.run(run_stack(Settings(), on_progress=show, bootstrap=bootstrap, with_worker=False))
    except WardflowError as error:
        raise SystemExit(f"{error.message}\n{error.advice}") from error


if __name__ == "__main__":
    main()
