"""What of the log a person sees on the console while a run goes on. The log file of a run has all of it."""

import contextlib
import logging
import sys
from collections.abc import Iterator

CHANGES_RESULTS = False  # shows what is done
DETAILS = tuple(  # whose figures the last lines of a run tell in words
    f"worldmodels.pipeline.stages.{name}" for name in ("probe", "measure", "measure_vision")
)


@contextlib.contextmanager
def arranged(verbose: bool, viewed: bool, job: str | None) -> Iterator[None]:
    """Leave out details, and beside a live view (``viewed``) all that is no warning, unless ``verbose``. ``job``: what
    the lines of a job begin with that runs beside others.
    """

    def chosen(record: logging.LogRecord) -> bool:
        if verbose or record.levelno >= logging.WARNING:
            return True
        return not viewed and record.name not in DETAILS

    handlers = [
        handler
        for handler in (*logging.getLogger().handlers, *logging.getLogger("worldmodels").handlers)
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)
    ]
    formatters = [handler.formatter for handler in handlers]
    for handler in handlers:
        handler.addFilter(chosen)
        form = handler.formatter
        if job and form is not None:
            named = (form._fmt or "%(message)s").replace("%(message)s", f"[{job.replace('%', '%%')}] %(message)s")
            handler.setFormatter(logging.Formatter(named, form.datefmt))
    try:
        yield
    finally:
        for handler, formatter in zip(handlers, formatters, strict=True):
            handler.removeFilter(chosen)
            handler.setFormatter(formatter)
