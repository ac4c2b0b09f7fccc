"""Pictures of V's reconstructions: the frames once, and below them what each V makes of them."""

import io
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from worldmodels.utils import media

GAP = 2  # between the rows of V's own picture: `worldmodels.utils.media.grid`


def rows(pictures: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The rows to show, each a label and a PNG, of pictures with frames above their reconstructions, by label. Frames
    that several pictures share come once, before them.
    """
    shared: dict[bytes, list[str]] = {}
    halves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for label, data in pictures.items():
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        height = (len(picture) - GAP) // 2
        halves[label] = picture[:height], picture[-height:]
        shared.setdefault(halves[label][0].tobytes(), []).append(label)
    for labels in shared.values():
        yield "the frames", media.png_bytes(halves[labels[0]][0])
        for label in labels:
            yield label, media.png_bytes(halves[label][1])
