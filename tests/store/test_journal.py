"""What a stage tells people, as files and in TensorBoard."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from worldmodels.store.journal import Journal
from worldmodels.store.loggers import tensorboard

PICTURE = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "artifact", None, "vision")


def epochs(count, start=1):
    return [{"epoch": epoch, "loss": 1 / epoch, "note": "fine"} for epoch in range(start, start + count)]


def fill(journal, count=3):
    for row in epochs(count):
        journal.row("epochs", "epoch", row)
        journal.picture("seen", row["epoch"], PICTURE + row["epoch"])


def pictures(journal):
    return sorted(path.name for path in (journal.folder / "pictures").iterdir())


def test_rows_are_kept_in_order_and_by_table(journal, tmp_path):
    fill(journal)
    journal.row("batches", "batch", {"batch": 10, "loss": 0.5})
    for reader in (journal, Journal(tmp_path / "artifact", None, "vision")):
        assert reader.rows("epochs") == epochs(3)
        assert reader.rows("batches") == [{"batch": 10, "loss": 0.5}]
        assert reader.rows("nothing") == []


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_last_row_cut_short_by_a_kill_is_dropped(journal, cut):
    fill(journal)
    table = journal.folder / "epochs.jsonl"
    table.write_bytes(table.read_bytes()[:-cut])
    assert journal.rows("epochs") == epochs(2)


def test_work_goes_on_after_a_row_cut_short(journal):
    fill(journal)
    table = journal.folder / "epochs.jsonl"
    table.write_bytes(table.read_bytes()[:-5])
    journal.rewind(epochs=2)
    journal.row("epochs", "epoch", epochs(1, start=3)[0])
    assert journal.rows("epochs") == epochs(3)


def test_rewinding_forgets_what_came_after_a_checkpoint(journal):
    fill(journal)
    for batch in range(1, 31):
        journal.row("batches", "batch", {"batch": batch, "loss": 0.1})
    journal.rewind(epochs=2, batches=20)
    assert journal.rows("epochs") == epochs(2)
    assert [row["batch"] for row in journal.rows("batches")] == list(range(1, 21))
    assert pictures(journal) == ["seen.000001.png", "seen.000002.png"]
    journal.rewind(epochs=0, batches=0)
    assert journal.rows("epochs") == journal.rows("batches") == pictures(journal) == []


def test_a_picture_is_kept_to_the_pixel(journal):
    journal.picture("seen", 12, PICTURE)
    (path,) = (journal.folder / "pictures").iterdir()
    assert path.name == "seen.000012.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), PICTURE)


def test_an_animation_has_its_frames_and_its_speed(journal):
    frames = [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 120, 250)]
    journal.animation("dream", 1, frames, fps=20)
    (path,) = (journal.folder / "pictures").iterdir()
    assert path.name == "dream.000001.gif"
    image = Image.open(path)
    assert image.n_frames == 3
    for i, frame in enumerate(frames):
        image.seek(i)
        assert image.info["duration"] == 50  # milliseconds
        np.testing.assert_allclose(np.asarray(image.convert("RGB"), int), frame, atol=8)


def shown(folder):
    """What TensorBoard would show: scalars and images, as {tag: [(step, value)]}."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    tags = events.Tags()
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags["scalars"]}
    images = {tag: [(event.step, event.encoded_image_string) for event in events.Images(tag)] for tag in tags["images"]}
    return scalars, images


def expect(folder, count):
    scalars, images = shown(folder)
    assert list(scalars) == ["1_vision/loss"]  # neither the axis nor words
    assert scalars["1_vision/loss"] == [(epoch, pytest.approx(1 / epoch)) for epoch in range(1, count + 1)]
    assert list(images) == ["1_vision_pictures/seen"]
    assert [step for step, _ in images["1_vision_pictures/seen"]] == list(range(1, count + 1))
    for step, data in images["1_vision_pictures/seen"]:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), PICTURE + step)


def test_tensorboard_shows_rows_and_pictures_as_they_come(tmp_path):
    with contextlib.closing(tensorboard(tmp_path / "run")) as loggers:
        fill(Journal(tmp_path / "artifact", loggers, "vision"))
    expect(tmp_path / "run", 3)


def test_a_run_that_reuses_an_artifact_shows_its_whole_history(journal, tmp_path):
    fill(journal)
    with contextlib.closing(tensorboard(tmp_path / "second")) as loggers:
        Journal(tmp_path / "artifact", loggers, "vision").show()
    expect(tmp_path / "second", 3)


def test_a_run_that_goes_on_shows_what_was_kept_and_what_is_new_once(journal, tmp_path):
    fill(journal, 3)
    with contextlib.closing(tensorboard(tmp_path / "second")) as loggers:
        resumed = Journal(tmp_path / "artifact", loggers, "vision")
        resumed.rewind(epochs=2)
        for row in epochs(2, start=3):
            resumed.row("epochs", "epoch", row)
            resumed.picture("seen", row["epoch"], PICTURE + row["epoch"])
    expect(tmp_path / "second", 4)


def test_animations_reach_tensorboard_as_they_are(tmp_path):
    with contextlib.closing(tensorboard(tmp_path / "run")) as loggers:
        journal = Journal(tmp_path / "artifact", loggers, "memory")
        journal.animation("dream", 7, [PICTURE, PICTURE + 50], fps=10)
    scalars, images = shown(tmp_path / "run")
    assert scalars == {}
    assert images == {"2_memory_pictures/dream": [(7, (journal.folder / "pictures" / "dream.000007.gif").read_bytes())]}
