"""Pictures, GIFs and videos from arrays of pixels."""

import contextlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worldmodels.utils import interrupts
from worldmodels.utils.errors import Failure, first_line
from worldmodels.utils.files import replacing

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


def write_mp4(path: Path, frames: Iterable[np.ndarray] | np.ndarray, fps: float) -> None:
    """frames: T of (H, W, 3) uint8, H and W even; at least one. ``path`` is either a whole film or what it was before.
    Raises `Failure` where ffmpeg, or the disk, does not do its part.
    """
    for leftover in path.parent.glob(f"{path.name}.*.partial"):  # by a process that was killed
        leftover.unlink()
    with replacing(path) as partial:
        _encode(partial, iter(frames), fps)


def _encode(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    options: dict[str, Any] = {
        "fps": fps,
        "macro_block_size": 2,
        "ffmpeg_log_level": "error",
        "output_params": ["-f", "mp4"],
    }
    problem: BaseException | None = None
    try:
        writer = imageio_ffmpeg.write_frames(str(path), (width, height), **options)
        writer.send(None)
    except Exception as error:  # no ffmpeg, or one that is something else: an IndexError, for example
        raise _no_film(path, error) from error
    try:
        for frame in itertools.chain([first], frames):
            try:
                writer.send(np.ascontiguousarray(frame))
            except (OSError, StopIteration) as error:
                problem = error
                break
    except BaseException:
        with contextlib.suppress(KeyboardInterrupt):
            writer.throw(KeyboardInterrupt)  # which ends ffmpeg rather than wait for it
        raise
    writer.close()
    if problem is not None or not playable(path):
        interrupts.check()  # a signal to the whole group ends ffmpeg too
        raise _no_film(path, problem) from problem


def _no_film(path: Path, error: BaseException | None) -> Failure:
    program = os.environ.get("IMAGEIO_FFMPEG_EXE") or "the ffmpeg of imageio-ffmpeg"
    name = path.name.split(".mp4")[0] + ".mp4"
    why = f" ({type(error).__name__}: {first_line(error)})" if error is not None else ""
    return Failure(
        f"{name} could not be made in {path.parent} by {program}{why}: expected an ffmpeg that writes H.264, and room; "
        "mend it or unset IMAGEIO_FFMPEG_EXE, and the same command makes the film"
    )


def playable(path: Path) -> bool:
    """Whether an mp4 is whole. An interrupted one lacks its table of contents, which comes last, or is cut off.

    ISO/IEC 14496-12, 4.2: a file is a row of boxes, each with its size (4 bytes, big endian; 1: 8 more after the type;
    0: to the end) and its type.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return False
    offset, kinds = 0, set()
    while offset < len(data):
        size, kind, header = int.from_bytes(data[offset : offset + 4]), data[offset + 4 : offset + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[offset + 8 : offset + 16]), 16
        if size < header:
            return False
        kinds.add(kind)
        offset += size
    return offset == len(data) and {b"moov", b"mdat"} <= kinds


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
    pen, centre = ImageDraw.Draw(strip), (width / 2, height / 2)
    size = 0.62 * height / (text.count("\n") + 1)

    def wide(size: float) -> bool:
        left, _, right, _ = pen.textbbox(centre, text, ImageFont.load_default(size), anchor="mm")
        return right - left > 0.96 * width

    while wide(size) and size > 1:
        size *= 0.95
    font = ImageFont.load_default(size)
    pen.text(centre, text, (0, 0, 0), font, anchor="mm", align="center", spacing=height / 20)
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
