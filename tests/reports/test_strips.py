"""Frames are shown once above what each V makes of them."""

import io

import numpy as np
from PIL import Image

from worldmodels.reports import strips
from worldmodels.utils import media


def picture(frames: int, reconstruction: int) -> bytes:
    """As V's own, of two frames."""
    return media.png_bytes(media.grid([np.full((2, 64, 64, 3), value, np.uint8) for value in (frames, reconstruction)]))


def test_shared_frames_come_once():
    shown = list(strips.rows({"scratch": picture(10, 20), "other data": picture(11, 30), "freeze2": picture(10, 40)}))
    values = [(label, int(np.asarray(Image.open(io.BytesIO(data)))[0, 0, 0])) for label, data in shown]
    assert values == [
        *(("the frames", 10), ("scratch", 20), ("freeze2", 40)),
        *(("the frames", 11), ("other data", 30)),
    ]
    assert Image.open(io.BytesIO(shown[0][1])).size == (258, 128)
