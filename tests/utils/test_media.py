"""Pictures and films, read back with the libraries people use to read them."""

import io
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from worldmodels.utils import media
from worldmodels.utils.errors import Failure


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def plain(frames: int, height: int, width: int) -> np.ndarray:
    """Frames of one grey each, brighter from frame to frame."""
    greys = np.linspace(20, 235, frames).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (frames, height, width, 3)).copy()


def test_png_is_lossless() -> None:
    image = noise(5, 7, 3)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(media.png_bytes(image)))), image)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_gif_has_every_frame_and_loops(count: int) -> None:
    frames = plain(count, 6, 8)
    gif = Image.open(io.BytesIO(media.gif_bytes(frames, fps=20)))
    assert (gif.n_frames, gif.size) == (count, (8, 6))  # type: ignore[attr-defined]
    for i, frame in enumerate(frames):
        gif.seek(i)
        shown = np.asarray(gif.convert("RGB")).astype(int)
        assert np.abs(shown - frame).max() <= 8, "128 colours are enough for one"
        assert gif.info["duration"] == 50
    assert count == 1 or gif.info["loop"] == 0


@pytest.mark.parametrize(("fps", "milliseconds"), [(5, 200), (50, 20), (60, 20), (1000, 20)])
def test_gif_keeps_time_within_what_viewers_show(fps: float, milliseconds: int) -> None:
    gif = Image.open(io.BytesIO(media.gif_bytes(plain(3, 4, 4), fps)))
    assert gif.info["duration"] == milliseconds


def test_a_still_gif_lasts_as_long_as_its_frames() -> None:
    gif = Image.open(io.BytesIO(media.gif_bytes(np.repeat(plain(1, 4, 4), 10, axis=0), fps=10)))
    total = 0
    for i in range(gif.n_frames):  # type: ignore[attr-defined]
        gif.seek(i)
        total += gif.info["duration"]
    assert total == 10 * 100


@pytest.mark.parametrize(("count", "height", "width"), [(1, 32, 32), (7, 48, 64), (31, 34, 66)])
def test_mp4_decodes_to_the_same_number_of_frames(tmp_path: Path, count: int, height: int, width: int) -> None:
    path = tmp_path / "film.mp4"
    frames = plain(count, height, width)
    media.write_mp4(path, frames, fps=20)
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == count
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    assert meta["size"] == (width, height) and meta["fps"] == 20
    read = [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader]
    assert len(read) == count
    for shown, frame in zip(read, frames, strict=True):
        assert abs(float(shown.mean()) - float(frame.mean())) < 6


def test_a_film_is_whole_or_what_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    frames = plain(9, 32, 32)
    media.write_mp4(path, frames, fps=20)
    before = path.read_bytes()

    def interrupted() -> Iterator[np.ndarray]:
        yield from frames[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        media.write_mp4(path, interrupted(), fps=20)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_of_a_film_is_taken_away(tmp_path: Path) -> None:
    for name in ("film.mp4.1.partial", "other.mp4.1.partial"):
        (tmp_path / name).write_bytes(b"half")
    media.write_mp4(tmp_path / "film.mp4", plain(2, 32, 32), fps=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "other.mp4.1.partial"]


@pytest.mark.parametrize("program", ["/bin/false", "/bin/cat", "/nowhere/ffmpeg"])
def test_without_an_ffmpeg_there_is_one_line_and_no_file(program: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.raises(Failure, match=program) as raised:
        media.write_mp4(tmp_path / "film.mp4", plain(2, 32, 32), fps=20)
    assert "\n" not in str(raised.value) and "film.mp4 could not be made" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_was_cut_off_is_not_playable(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    assert not media.playable(path)
    media.write_mp4(path, noise(30, 64, 64, 3), fps=20)
    whole = path.read_bytes()
    assert media.playable(path)
    for length in (0, 1, 7, 8, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert not media.playable(path), length
    path.write_bytes(bytes(len(whole)))
    assert not media.playable(path)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_enlarge_repeats_pixels(factor: int) -> None:
    images = noise(2, 3, 4, 3)
    large = media.enlarge(images, factor)
    assert large.shape == (2, 3 * factor, 4 * factor, 3)
    for y in range(factor):
        for x in range(factor):
            assert np.array_equal(large[:, y::factor, x::factor], images)


@pytest.mark.parametrize("shapes", [[(64, 64)], [(64, 64), (64, 64)], [(400, 600), (64, 64), (96, 96)], [(64, 33)]])
@pytest.mark.parametrize("height", [128, 192, 256])
def test_pictures_beside_each_other_come_out_even(shapes: list[tuple[int, int]], height: int) -> None:
    row = media.beside([noise(*shape, 3) for shape in shapes], height)
    assert row.dtype == np.uint8 and row.shape[0] == height and row.shape[1] % 2 == 0
    full = sum(round(width * height / high) for high, width in shapes) + 4 * (len(shapes) - 1)
    assert row.shape[1] == full // 2 * 2


def test_pictures_beside_each_other_keep_their_order_and_their_gap() -> None:
    dark, bright = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 100, np.uint8)
    row = media.beside([dark, bright], height=8)
    assert row.shape == (8, 20, 3)
    assert row[0, :, 0].tolist() == [0] * 8 + [255] * 4 + [100] * 8


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 10), (3, 5)])
def test_a_grid_is_even_and_holds_every_picture_in_its_place(rows: int, columns: int) -> None:
    pictures = [noise(columns, 6, 4, 3) + np.uint8(row) for row in range(rows)]
    sheet = media.grid(pictures)
    assert sheet.shape == (rows * 14 - 2, columns * 10 - 2, 3)
    assert sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    for y in range(rows):
        for x in range(columns):
            cell = sheet[y * 14 : y * 14 + 12, x * 10 : x * 10 + 8]
            assert np.array_equal(cell[::2, ::2], pictures[y][x])
    assert rows == 1 or (sheet[12:14] == 255).all()
