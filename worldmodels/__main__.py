"""``worldmodels COMMAND …``, and ``python -m worldmodels COMMAND …``: as ``python -m worldmodels.COMMAND …``."""

import runpy
import sys

from worldmodels.utils import streams

CHANGES_RESULTS = False
COMMANDS = {
    "train": "train V, M and C, and score the agent",
    "evaluate": "score a finished run's agent on the official task",
    "report": "one page of one run or of many",
    "dream": "M alone, drawn by V, beside reality",
    "play": "drive the dream yourself, in the browser",
    "probe": "how much of the true state V and M tell",
    "export": "a run's agent in a folder of a few MB",
    "benchmark": "how fast this machine is",
}


def main() -> None:
    streams.prepare()
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print("usage: worldmodels COMMAND …, or python -m worldmodels.COMMAND …\n")
        print("\n".join(f"  {name:<10} {meaning}" for name, meaning in COMMANDS.items()))
        print("\nworldmodels COMMAND --help tells a command's settings.")
        return
    if command not in COMMANDS:
        print(f"error: {command} is no command: expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv = [f"worldmodels {command}", *rest]
    runpy.run_module(f"worldmodels.{command}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
