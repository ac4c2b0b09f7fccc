"""Pictures, GIFs and videos from arrays of pixels."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CHANGES_RESULTS = False  # shows what is done


def png_bytes(image: np.ndarray) -> bytes:
    """image: (H, W, 3) uint8 -> a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def gif_bytes(frames: Sequence[np.ndarray] | np.ndarray, fps: float, colours: int = 128) -> bytes:
    """frames: T of (H, W, 3) uint8 -> a looping GIF. GIF counts time in hundredths of a second; viewers want at least
    two.
    """
    images = [
        Image.fromarray(frame).quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        for frame in frames
    ]
    buffer = io.BytesIO()
    duration = 10 * max(2, round(100 / fps))
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    return buffer.getvalue()


def write_mp4(path: Path, frames: Sequence[np.ndarray] | np.ndarray, fps: int) -> None:
    """frames: T of (H, W, 3) uint8, H and W even."""
    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, macro_block_size=2, ffmpeg_log_level="error"
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel ``factor`` times in both directions: (..., H, W, 3) -> (..., factor·H, factor·W, 3)."""
    return image.repeat(factor, axis=-3).repeat(factor, axis=-2)


def beside(pictures: Sequence[np.ndarray], height: int, gap: int = 4) -> np.ndarray:
    """Pictures (H, W, 3) scaled to one even ``height`` and set side by side with a white gap; the width comes out
    even.
    """
    parts: list[np.ndarray] = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        mode = cv2.INTER_NEAREST if picture.shape[0] < height else cv2.INTER_AREA
        parts += [cv2.resize(picture, (width, height), interpolation=mode), np.full((height, gap, 3), 255, np.uint8)]
    row = np.concatenate(parts[:-1], axis=1)
    return row[:, : row.shape[1] // 2 * 2]


def lettered(text: str, height: int, width: int, ground: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """A strip (height, width, 3) with centred black text, as large as fits, on ``ground``. Several lines are as large
    as the longest. Pillow's own font knows Latin letters only.
    """
    strip = Image.new("RGB", (width, height), ground)
    pen, place = ImageDraw.Draw(strip), (width / 2, height / 2)
    size = 0.62 * height / (text.count("\n") + 1)

    def wide(size: float) -> bool:
        left, _, right, _ = pen.textbbox(place, text, ImageFont.load_default(size), anchor="mm")
        return right - left > 0.96 * width

    while wide(size) and size > 1:
        size *= 0.95
    font = ImageFont.load_default(size)
    pen.text(place, text, (0, 0, 0), font, anchor="mm", align="center", spacing=height / 20)
    return np.asarray(strip)


def grid(rows: Sequence[np.ndarray], gap: int = 2, factor: int = 2) -> np.ndarray:
    """rows: R arrays (N, H, W, 3) uint8 -> one picture, a row each, enlarged."""
    cells = np.stack([enlarge(row, factor) for row in rows])
    count, columns, height, width, _ = cells.shape
    sheet = np.full((count * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for y in range(count):
        for x in range(columns):
            top, left = y * (height + gap), x * (width + gap)
            sheet[top : top + height, left : left + width] = cells[y, x]
    return sheet
