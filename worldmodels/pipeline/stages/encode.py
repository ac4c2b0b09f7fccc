"""Encode: μ and log σ² of every frame, with the actions, rewards and ends beside them."""

from pathlib import Path
from typing import Any

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.rollouts.storage import RolloutStore, read_entry, write_index, write_rollout
from worldmodels.training.fit import device, resolve_precision
from worldmodels.utils.errors import DamagedFile
from worldmodels.utils.progress import Progress
from worldmodels.vision.inference import FrameEncoder

KEPT = ("actions", "rewards", "terminated", "truncated")
BATCH = 64


def run(config: Config, dataset: Path, vision: Path, folder: Path) -> dict[str, Any]:
    """Write an encoded rollout for each rollout of ``dataset``; keep those that are there. ``vision``: V's weights."""
    where = device(config.trainer)
    encoder = FrameEncoder(make_vision(config, vision).to(where), resolve_precision(config.trainer), BATCH)
    store = RolloutStore(dataset)
    for path in folder.glob("*.partial"):
        path.unlink()
    entries = []
    with Progress("encode", int(store.lengths.sum()), "frames") as progress:
        for rollout, entry in enumerate(store.entries):
            path = folder / entry.file
            if not path.exists() or not _whole(path):
                latent = encoder(store.read(rollout, "frames"))
                arrays = {
                    "mu": latent.mu.cpu().numpy(),
                    "log_var": latent.log_var.cpu().numpy(),
                    **{name: store.read(rollout, name) for name in KEPT},
                }
                write_rollout(path, arrays, entry.seed, entry.total_reward)
            entries.append(entry)
            progress.advance(entry.length)
    write_index(folder, entries)
    return {"rollouts": len(entries), "frames": int(store.lengths.sum())}


def _whole(path: Path) -> bool:
    try:
        read_entry(path)
    except DamagedFile:
        return False
    return True
