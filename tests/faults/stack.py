"""`wardflow up`, whose worker has the short time-outs of these tests: `python -m tests.faults.stack`."""

import sys
from unittest.mock import patch

from service.cli import main
from service.stack import worker


def run() -> None:
    """Run until a signal comes."""
    patch.object(worker, "COMMAND", (sys.executable, "-m", "tests.faults.worker")).start()
    sys.argv = ["wardflow", "up"]
    main()


if __name__ == "__main__":
    run()
