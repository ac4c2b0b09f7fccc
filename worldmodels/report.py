"""``python -m worldmodels.report``: tables and figures over finished runs, as one page."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from worldmodels.cli import command
from worldmodels.utils.checks import require


@dataclass
class ReportCommand:
    """Schema of ``conf/report.yaml``."""

    runs: Any = "outputs/**"
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        patterns = self.patterns
        require(
            bool(patterns) and all(isinstance(pattern, str) and pattern for pattern in patterns),
            f"runs={self.runs} is no pattern: expected one such as runs='outputs/**', or a list of them",
        )

    @property
    def patterns(self) -> list[Any]:
        """One or several patterns of run folders."""
        return self.runs if isinstance(self.runs, list) else [self.runs]


def report(composed: DictConfig) -> None:
    """Write ``index.html``, figures and tables."""
    import logging
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from worldmodels.config import to_config
    from worldmodels.reports.tidy import find_runs
    from worldmodels.utils.console import make_console

    request = to_config(composed)
    runs, problems = find_runs(request.patterns, request.allow)
    from worldmodels.reports.build import Report  # brings matplotlib

    for problem in problems:
        logging.getLogger(__name__).warning("%s", problem)
    path = Report(Path(HydraConfig.get().runtime.output_dir), runs, problems).write()
    count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
    make_console().print(f"{count}; results: {path}", soft_wrap=True)


if __name__ == "__main__":
    command("report", report, "report_schema", ReportCommand)
