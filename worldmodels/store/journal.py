"""What a stage tells people while it works: rows of numbers, pictures and animations.

Kept as plain files in the artifact's ``record/`` and shown in TensorBoard. Because TensorBoard is written from the
record, a run that resumes or reuses an artifact shows its whole history.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from torch.utils.tensorboard.writer import SummaryWriter

from worldmodels.store.artifacts import RECORD, finite, write_bytes
from worldmodels.utils.media import gif_bytes, png_bytes

CHANGES_RESULTS = False


class Journal:
    """Record of one artifact. A table is ``record/<table>.jsonl``; a row's ``axis`` column (epoch, step, generation)
    orders it.
    """

    def __init__(self, folder: Path, writer: SummaryWriter | None, stage: str) -> None:
        self.folder = folder / RECORD
        self.writer = writer
        self.stage = stage

    def row(self, table: str, axis: str, values: Mapping[str, Any]) -> None:
        """Append a row; ``values[axis]`` is its place, counted from 1."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{table}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite({"axis": axis, **values}), allow_nan=False) + "\n")
        self._show_row(table, {"axis": axis, **values})

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
        """Write everything recorded so far to TensorBoard."""
        for path in sorted(self.folder.glob("*.jsonl")):
            for row in self._raw(path.stem):
                self._show_row(path.stem, row)
        for path in self._pictures():
            self._show_picture(path)
        if self.writer:
            self.writer.flush()

    def _show_row(self, table: str, row: Mapping[str, Any]) -> None:
        if self.writer:
            for name, value in row.items():
                if isinstance(value, int | float) and name != row["axis"]:
                    self.writer.add_scalar(f"{self.stage}_{table}/{name}", value, row[row["axis"]])

    def _show_picture(self, path: Path) -> None:
        if self.writer:
            tag, step, _ = path.name.rsplit(".", 2)
            image = Summary.Image(encoded_image_string=path.read_bytes())
            summary = Summary(value=[Summary.Value(tag=f"{self.stage}/{tag}", image=image)])
            assert self.writer.file_writer is not None
            self.writer.file_writer.add_summary(summary, int(step))
