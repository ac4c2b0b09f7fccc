"""``python -m tests.campaign COMMAND …``, from the root of a checkout with the extra ``dev``. Each adds rows to its
table beside this file; ``faults`` ends with 1 where one of them is no success.

COMMANDS
"""

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.campaign import faults, overrides, soak

COMMANDS: dict[str, Callable[[list[str], Path], int | None]] = {
    "faults": faults.main,
    "soak": soak.main,
    "overrides": overrides.main,
}


def help_text() -> str:
    """What there is, from the commands' own words."""
    described = "\n".join(f"  {' '.join((command.__doc__ or '').split())}" for command in COMMANDS.values())
    return (__doc__ or "").replace("COMMANDS", described).replace("``", "").strip()


if __name__ == "__main__":
    name, *arguments = sys.argv[1:] or ["--help"]
    if {"-h", "--help"} & {name, *arguments}:
        print(help_text())
    elif name not in COMMANDS:
        print(f"error: {name} is unknown: expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it has started ends with it
        with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
            failed = COMMANDS[name](arguments, Path(folder))
        sys.exit(1 if failed else 0)
