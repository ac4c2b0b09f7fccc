"""What a stage tells people while it works: rows of numbers, pictures and animations.

Kept as plain files in the artifact's ``record/`` and shown by the run's loggers. Because these are written from the
record, a run that resumes or reuses an artifact shows its whole history.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldmodels.store.artifacts import RECORD
from worldmodels.utils import live
from worldmodels.utils.files import finite, write_bytes
from worldmodels.utils.media import gif_bytes, png_bytes

if TYPE_CHECKING:
    from worldmodels.store.loggers import Loggers, StageLogger  # with Lightning, which workers need not load

CHANGES_RESULTS = False
log = logging.getLogger(__name__)


class Journal:
    """Record of one artifact. A table is ``record/<table>.jsonl``; a row's ``axis`` column (epoch, step, generation)
    orders it.
    """

    def __init__(self, folder: Path, loggers: "Loggers | None", stage: str) -> None:
        self.folder = folder / RECORD
        self.loggers = loggers
        self.stage = stage

    @property
    def logs(self) -> Path | None:
        """Where Lightning's own files belong: the run's folder."""
        return self.loggers.folder if self.loggers else None

    def lightning_logger(self) -> "StageLogger | bool":
        """What a Lightning trainer is given as its logger."""
        from worldmodels.store.loggers import StageLogger

        return StageLogger(self.loggers, self.stage) if self.loggers else False

    def row(self, table: str, axis: str, values: Mapping[str, Any]) -> None:
        """Append a row; ``values[axis]`` is its position, counted from 1."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{table}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite({"axis": axis, **values}), allow_nan=False) + "\n")
        self._show_row(table, {"axis": axis, **values})
        if view := live.current():
            view.tell(self.stage, table, values)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows up to the first that cannot be read, such as one cut short by a kill."""
        return [{key: value for key, value in row.items() if key != "axis"} for row in self._raw(table)]

    def _raw(self, table: str) -> list[dict[str, Any]]:
        path = self.folder / f"{table}.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    @contextmanager
    def drawing(self, what: str) -> Iterator[None]:
        """A picture that fails must not cost a model: an error in here is a warning."""
        try:
            yield
        except Exception as error:
            log.warning("  no picture of %s: %s: %s", what, type(error).__name__, str(error).split("\n")[0])

    def picture(self, tag: str, step: int, image: np.ndarray) -> None:
        """image: (H, W, 3) uint8."""
        self._keep(tag, step, "png", png_bytes(image))

    def animation(self, tag: str, step: int, frames: Sequence[np.ndarray] | np.ndarray, fps: float) -> None:
        """frames: T of (H, W, 3) uint8."""
        self._keep(tag, step, "gif", gif_bytes(frames, fps))

    def _keep(self, tag: str, step: int, kind: str, data: bytes) -> None:
        path = self.folder / "pictures" / f"{tag}.{step:06d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
        self._show_picture(path)

    def rewind(self, **last: int) -> None:
        """Forget what came after a checkpoint: ``epochs=3`` keeps rows of table ``epochs`` up to 3, and pictures of
        steps up to the first value given. Then show what is left.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for table, end in last.items():
            rows = [row for row in self._raw(table) if row[row["axis"]] <= end]
            write_bytes(self.folder / f"{table}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        for path in self._pictures():
            if int(path.name.split(".")[-2]) > next(iter(last.values())):
                path.unlink()
        self.show()

    def _pictures(self) -> list[Path]:
        return sorted((self.folder / "pictures").glob("*.[0-9][0-9][0-9][0-9][0-9][0-9]*.*"))

    def show(self) -> None:
        """Write everything recorded so far to the loggers."""
        for path in sorted(self.folder.glob("*.jsonl")):
            for row in self._raw(path.stem):
                self._show_row(path.stem, row)
        for path in self._pictures():
            self._show_picture(path)
        if self.loggers:
            self.loggers.flush()

    def _show_row(self, table: str, row: Mapping[str, Any]) -> None:
        if self.loggers:
            numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
            step = int(numbers.pop(row["axis"]))
            self.loggers.metrics({f"{self.stage}_{table}/{name}": value for name, value in numbers.items()}, step)

    def _show_picture(self, path: Path) -> None:
        if self.loggers:
            tag, step, _ = path.name.rsplit(".", 2)
            self.loggers.picture(f"{self.stage}/{tag}", int(step), path)
