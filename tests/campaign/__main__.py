"""``python -m tests.campaign faults``, ``soak`` or ``overrides``, from the root of a checkout: see the modules beside
this file.
"""

import sys
import tempfile
from pathlib import Path

from tests.campaign import faults, overrides, soak

COMMANDS = {"faults": faults.main, "soak": soak.main, "overrides": overrides.main}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:] or ["help"]
    if name not in COMMANDS:
        sys.exit(f"error: {name} is unknown: expected one of {', '.join(COMMANDS)}")
    COMMANDS[name](arguments, Path(tempfile.mkdtemp(prefix="campaign-")))
