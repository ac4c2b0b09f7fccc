"""``python -m tests.campaign COMMAND …``, from the root of a checkout. Each adds rows to its table beside this file.

COMMANDS
"""

import sys
import tempfile
from pathlib import Path

from tests.campaign import faults, overrides, soak

COMMANDS = {"faults": faults.main, "soak": soak.main, "overrides": overrides.main}


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
        with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
            COMMANDS[name](arguments, Path(folder))
