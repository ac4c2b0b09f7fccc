"""``python -m worldmodels.play``: a person in the dream, on a page in the browser."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING, DictConfig

from worldmodels.cli import command, prepare_process
from worldmodels.config import to_config
from worldmodels.playing import COLDEST, HOTTEST, LARGEST_SEED
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require, require_at_least
from worldmodels.utils.disk import no_folder
from worldmodels.utils.errors import ConfigError

LARGEST_PORT = 65535
GENERATOR = b'name="generator" content="worldmodels"'  # in every page of ours


@dataclass
class PlayCommand:
    """Schema of ``conf/play.yaml``."""

    run: str = MISSING
    port: int = 8765
    temperature: float = 1.0
    starts: int = 12
    seed: int = 0
    export: str | None = None
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require(0 <= self.port <= LARGEST_PORT, f"port={self.port} is none: expected 1 to {LARGEST_PORT}, or 0 for any")
        require(
            COLDEST <= self.temperature <= HOTTEST,
            f"temperature={self.temperature} is out of range: expected {COLDEST:g} to {HOTTEST:g}",
        )
        require_at_least("starts", self.starts, 1)
        require(0 <= self.seed <= LARGEST_SEED, f"seed={self.seed} is out of range: expected 0 to {LARGEST_SEED}")
        require(self.export != "", "export is empty: expected a file to write, for example export=page.html")


def play(composed: DictConfig) -> None:
    """Serve the page until Ctrl-C, or write it with the models into a file."""
    request = to_config(composed)
    run = FinishedRun(Path(request.run), request.allow)
    if request.export is None:
        _require_extra()
    else:
        _require_place(Path(request.export))

    # What takes long to import waits until the request has been checked.
    from worldmodels.playing.session import Played
    from worldmodels.utils.console import make_console

    prepare_process(threads=1)  # a step is too small for more
    console = make_console()
    if request.export is None:
        from worldmodels.playing.server import HOST, application, bind, serve

        with bind(request.port) as bound:
            app = application(Played.of(run, request.starts), request.temperature, request.seed)
            console.print(f"http://{HOST}:{bound.getsockname()[1]}/ plays until Ctrl-C", soft_wrap=True)
            serve(app, bound)
        return
    from worldmodels.playing.export import write
    from worldmodels.utils.disk import writing

    path = Path(request.export)
    with writing("a page", path.parent, "export"):
        size = write(Played.of(run, request.starts), path, request.temperature, request.seed)
    console.print(f"{size / 1e6:.1f} MB: {path}", soft_wrap=True)


def _require_place(path: Path) -> None:
    """Raise `ConfigError` where the file cannot be written, or its folder not be made. Nothing is made yet: the run's
    networks may be refused.
    """
    require(not path.is_dir(), f"export={path} is a folder: expected a file to write, for example export=page.html")
    require(
        not path.exists() or GENERATOR in path.read_bytes()[:1000],
        f"export={path} is there and is no page of this command: expected a new file, or a page to write anew",
    )
    there = next(folder for folder in path.absolute().parents if folder.exists())
    code = errno.ENOTDIR if not there.is_dir() else errno.EACCES if not os.access(there, os.W_OK | os.X_OK) else 0
    require(not code, no_folder(f"export={path}", OSError(code, os.strerror(code))))


def _require_extra() -> None:
    """Raise `ConfigError` where what serves the page is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"the live page needs a package that is missing ({error}): expected the extra play; run "
            "pip install 'worldmodels[play]', or write the page into a file by export=page.html"
        ) from error


if __name__ == "__main__":
    command("play", play, "play_schema", PlayCommand)
