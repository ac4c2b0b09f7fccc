"""Held-out frames above what several V's make of them."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from worldmodels.envs import task_class, task_spec
from worldmodels.factory import make_vision
from worldmodels.rollouts.storage import RolloutStore
from worldmodels.store.runs import FinishedRun
from worldmodels.utils import media
from worldmodels.utils.files import write_bytes
from worldmodels.vision.scaling import to_pixels, to_unit

FRAMES, FACTOR = 8, 2  # pictured frames, and how much larger they are than V's
WIDTH, HEIGHT = 170, 28  # of a label
LARGEST = 300_000  # bytes of a file; a larger picture is given fewer colours


@torch.inference_mode()
def reconstructions(runs: Mapping[str, FinishedRun]) -> np.ndarray:
    """A picture (H, W, 3) with a row for each label: the same held-out frames, reconstructed from μ by each run's V,
    and above them the frames. They are from the middle of what counts for the probes, in rollouts evenly apart. Raises
    `ValueError` where the runs were judged on different rollouts.
    """
    first = next(iter(runs.values()))
    heldout = first.heldout_folder("heldout")
    if heldout is None or len({run.results["heldout"]["heldout"] for run in runs.values()}) > 1:
        raise ValueError("expected runs whose V was probed, all on the same held-out rollouts")
    store, config = RolloutStore(heldout), first.config
    task, fps = task_class(config.env), task_spec(config.env).fps
    frames = []
    for i in np.linspace(0, len(store) - 1, FRAMES).astype(int):
        visible = np.flatnonzero(task.shown(store.read(int(i), "states"), fps))
        frames.append(store.read(int(i), "frames")[visible[len(visible) // 2] if len(visible) else 0])
    rows = {"held-out frames": np.stack(frames)}
    for label, run in runs.items():
        network = make_vision(run.config, run.vision.weights).eval()
        inputs = to_unit(torch.from_numpy(rows["held-out frames"]))
        rows[label] = to_pixels(network.decode(network.encode(inputs).mu)).numpy()
    return np.vstack([np.hstack([_words(label), media.grid([row], factor=FACTOR)]) for label, row in rows.items()])


def save(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) as PNG, in 256 colours where all would make a large file."""
    image = Image.fromarray(picture)
    data = _png(image)
    write_bytes(path, data if len(data) <= LARGEST else _png(image.quantize(256)))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()


def _words(label: str) -> np.ndarray:
    cell = np.full((64 * FACTOR, WIDTH, 3), 255, np.uint8)
    top = (len(cell) - HEIGHT) // 2
    cell[top : top + HEIGHT] = media.lettered(label.replace("×", "x"), HEIGHT, WIDTH)  # Latin letters only
    return cell
