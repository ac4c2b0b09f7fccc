"""Encode: μ and log σ² of every frame, with the actions, rewards and ends beside them."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from worldmodels.config import Config
from worldmodels.factory import make_vision
from worldmodels.pipeline.stage import Stage, Work, label_of
from worldmodels.rollouts.mixing import linked
from worldmodels.rollouts.storage import RolloutStore, read_entry, write_index, write_rollout
from worldmodels.store.artifacts import WEIGHTS, Artifact
from worldmodels.store.fingerprint import changes
from worldmodels.store.runs import FinishedRun
from worldmodels.training.hardware import device, resolve_precision
from worldmodels.utils import parts
from worldmodels.utils.errors import ConfigError, DamagedFile
from worldmodels.utils.progress import Progress
from worldmodels.utils.settings import counted
from worldmodels.utils.words import number_of
from worldmodels.vision.config import NETWORK
from worldmodels.vision.inference import FrameEncoder

log = logging.getLogger(__name__)
COPIED = ("actions", "rewards", "terminated", "truncated")
BATCH = 64


def run(config: Config, dataset: Path, vision: Path, folder: Path) -> dict[str, Any]:
    """Write an encoded rollout for each rollout of ``dataset``; keep those that are there. ``vision``: V's weights."""
    where = device(config.trainer)
    encoder = FrameEncoder(make_vision(config, vision).to(where), resolve_precision(config.trainer), BATCH)
    store = RolloutStore(dataset)
    entries = []
    with Progress("encode", int(store.lengths.sum()), "frames") as progress:
        for rollout, entry in enumerate(store.entries):
            path = folder / entry.file
            if not path.exists() or not _readable(path):
                latent = encoder(store.read(rollout, "frames"))
                arrays = {
                    "mu": latent.mu.cpu().numpy(),
                    "log_var": latent.log_var.cpu().numpy(),
                    **{name: store.read(rollout, name) for name in COPIED},
                }
                write_rollout(path, arrays, entry.seed, entry.total_reward)
            entries.append(entry)
            progress.advance(entry.length)
    write_index(folder, entries)
    return {"rollouts": len(entries), "frames": int(store.lengths.sum())}


def _encoded_before(work: Work) -> Artifact | None:
    """The encoded rollouts of the run whose data set is mixed in, if this V and this code encoded them."""
    config = work.config
    if config.collect.mix is None:
        return None
    try:
        before = FinishedRun(Path(config.collect.mix), config.allow)
        artifact, dataset = before.artifact("encode"), before.manifest("collect")
    except (ConfigError, DamagedFile):  # it went no further than V, or is not whole
        return None
    made = artifact.manifest
    same = all(made["inputs"].get(name) == value for name, value in STAGE.inputs(config).items())
    contents = {"dataset": dataset["content"], "vision": work.parents["vision"].content}
    same &= all(made["parents"][role]["content"] == content for role, content in contents.items())
    return artifact if same and not changes(made.get("code"), work.code) else None


def _build(work: Work) -> dict[str, Any]:
    if before := _encoded_before(work):
        log.info("  %s were encoded before", number_of(len(linked(before.path, work.folder)), "rollout"))
    return _encode(work)


def _encode(work: Work) -> dict[str, Any]:
    return run(work.config, work.path("dataset"), work.path("vision") / WEIGHTS, work.folder)


def _readable(path: Path) -> bool:
    try:
        read_entry(path)
    except DamagedFile:
        return False
    return True


STAGE = Stage(
    name="encode",
    parents=lambda config: {"dataset": "collect", "vision": "vision"},
    inputs=lambda config: {
        "network": counted(config.vae)["network"],
        "precision": resolve_precision(config.trainer),
    },
    build=_build,
    label=label_of("vision"),
    parts=lambda config: parts.targets(NETWORK, config.vae.network, "vae.network"),
)
HELDOUT = dataclasses.replace(  # the held-out rollouts as V sees them
    STAGE, name="heldout_encode", parents=lambda config: {"dataset": "heldout", "vision": "vision"}, build=_encode
)
