"""The picture of dreams beside reality, for people."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from worldmodels.utils import media

CONTEXT_GROUND, DREAM_GROUND = (225, 225, 225), (255, 200, 120)


class Column(NamedTuple):
    """What is shown in a column: its two-line title and its frames, T of (64, 64, 3) uint8. ``dreams``: whether they
    come from M alone once the context is over.
    """

    title: str
    frames: np.ndarray
    dreams: bool


def film(columns: Sequence[Column], context: int, height: int, every: int = 1) -> Iterator[np.ndarray]:
    """Every ``every``-th frame of the columns side by side, titles above; below, which frame it is and whether the
    dream has begun. ``height`` (even) is of a frame.
    """
    length = len(columns[0].frames)
    strip, gap = 2 * (height // 10), 4
    titles = [media.lettered(column.title, 2 * strip, height) for column in columns]
    for t in range(0, length, every):
        dreaming = t >= context
        count = f"frame {t + 1} of {length}"
        moment = f"dreamt frame {t + 1 - context}" if dreaming else f"reality; dream begins after frame {context}"
        pictures = []
        for column, title in zip(columns, titles, strict=True):
            ground = DREAM_GROUND if column.dreams and dreaming else CONTEXT_GROUND
            frame = cv2.resize(column.frames[t], (height, height), interpolation=cv2.INTER_NEAREST)
            pictures.append(np.concatenate([title, frame, np.full((gap, height, 3), ground, np.uint8)]))
        row = media.beside(pictures, pictures[0].shape[0] // 2 * 2, gap)
        ground = DREAM_GROUND if dreaming else CONTEXT_GROUND
        yield np.concatenate([row, media.lettered(f"{count}: {moment}", strip, row.shape[1], ground)])
