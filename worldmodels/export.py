"""``python -m worldmodels.export``: a finished run's agent as a small folder that git can hold."""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING, DictConfig

from worldmodels.cli import command
from worldmodels.config import to_config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require


@dataclass
class ExportCommand:
    """Schema of ``conf/export.yaml``."""

    run: str = MISSING
    to: str = MISSING
    half: bool = False
    decoder: bool = False
    allow: list[str] = field(default_factory=list)


def export(composed: DictConfig) -> None:
    """Write the folder ``to``. Nothing of the run is changed."""
    request = to_config(composed)
    require(request.to != "", "to is empty: expected a folder to write, for example to=my_agent")
    run = FinishedRun(Path(request.run), request.allow)

    # What takes long to import waits until the request has been checked.
    from worldmodels.pipeline.export import export
    from worldmodels.utils.console import make_console
    from worldmodels.utils.disk import writing

    folder = Path(request.to)
    with writing("an agent", folder, "to"):
        size = export(run, folder, request.half, request.decoder)
    make_console().print(f"{size / 2**20:.1f} MB: {folder}", soft_wrap=True)


if __name__ == "__main__":
    command("export", export, "export_schema", ExportCommand)
