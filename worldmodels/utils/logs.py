"""What is logged, and where: quieter libraries, and the same places in a process that is started."""

import logging
import sys
import warnings

CHANGES_RESULTS = False  # shows what is done
Places = list[tuple[str | None, logging.Formatter | None]]


def quiet_lightning() -> None:
    """Lightning tells only what is a warning."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")


def places() -> Places:
    """Where this process logs: files, and None for standard output, each with its format."""
    return [(getattr(handler, "baseFilename", None), handler.formatter) for handler in logging.getLogger().handlers]


def log_to(places: Places) -> None:
    """In a process that was started anew: log there, at the usual level. A forked one does already."""
    root = logging.getLogger()
    if root.handlers or not places:
        return
    root.setLevel(logging.INFO)
    for path, formatter in places:
        handler = logging.FileHandler(path, encoding="utf-8") if path else logging.StreamHandler(sys.stdout)
        handler.setFormatter(formatter)
        root.addHandler(handler)
