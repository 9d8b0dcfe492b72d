"""`wardflow up`, whose worker has the short time-outs of these tests: `python -m tests.faults.stack`."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from service.cli import main
from service.stack import processes, supervisor
from service.stack.part import StackPart


def start(part: StackPart, folder: Path) -> subprocess.Popen[bytes]:
    """Start a part; instead of the worker, the one with short time-outs."""
    if part.name == "worker":
        part = replace(part, command=(sys.executable, "-m", "tests.faults.worker"))
    return processes.start(part, folder)


def run() -> None:
    """Run until a signal comes."""
    os.environ["WARDFLOW_LAKE__APPEND_SECONDS"] = "5"  # instead of a minute
    patch.object(supervisor, "start", start).start()
    sys.argv = ["wardflow", "up"]
    main()


if __name__ == "__main__":
    run()
